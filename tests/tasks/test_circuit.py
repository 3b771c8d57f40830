"""Phase `circuit`: means over train graphs, added up again one by one; nothing of a test prompt enters."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from minimal_pairs import N_TRAIN, Cells
from scipy import stats

from circuitstore.errors import PromptError
from tasks.circuit import circuit
from tasks.settings.phases import Circuit


@pytest.fixture(scope="module")
def data(cells_of) -> xr.Dataset:
    """The dataset of the phase."""
    return cells_of["circuit"].one({})


@pytest.fixture(scope="module")
def train_graphs(cells_of) -> list[tuple[str, xr.Dataset, list[int]]]:
    """Id, graph, and the unit of each feature node, for every train prompt."""
    data = cells_of["circuit"].one({})
    columns = (data[f"unit_{name}"].values.tolist() for name in ("kind", "layer", "feature", "role"))
    units = {unit: i for i, unit in enumerate(zip(*columns, strict=True))}
    result = []
    for coords, graph in cells_of["attribution"].pairs:
        if str(cells_of["prompts"].one(coords).split.values) == "train":
            role = cells_of["pairs"].one(coords).role.values.tolist()
            nodes = graph.active_features.values[graph.selected_features.values].tolist()
            numbers = [units["feature", layer, feature, role[position]] for layer, position, feature in nodes]
            result.append((str(coords["prompt"]), graph, numbers))
    return result


def test_units_hold_means_over_train_prompts(cells_of, data, train_graphs):
    """Contributions, activations and frequencies, each added up again node by node."""
    assert data.train_prompt.values.tolist() == [name for name, *_ in train_graphs]
    assert len(train_graphs) == N_TRAIN
    names = ("gradient_attribution", "influence", "activation", "active", "kept")
    total = {name: np.zeros(data.sizes["unit"]) for name in names}
    positions = dict.fromkeys(data.unit_role.values.tolist(), 0)
    for name, graph, units in train_graphs:
        for role in cells_of["pairs"].one({"prompt": name}).role.values.tolist()[1:]:
            positions[role] = positions.get(role, 0) + 1
        for node, unit in enumerate(units):
            total["gradient_attribution"][unit] += float(graph.gradient_attribution[node])
            total["influence"][unit] += float(graph.node_influence[node])
            total["activation"][unit] += float(graph.activation_values[graph.selected_features[node]])
        kept = graph.prune_node_mask.values[: len(units)]
        total["active"][list(set(units))] += 1
        total["kept"][list({unit for unit, k in zip(units, kept, strict=True) if k})] += 1
    features = data.unit_kind.values == "feature"
    for name in ("gradient_attribution", "influence"):
        np.testing.assert_allclose(data[name][features], total[name][features] / N_TRAIN, atol=1e-6)
    np.testing.assert_allclose(data.active_frequency[features], total["active"][features] / N_TRAIN)
    np.testing.assert_allclose(data.kept_frequency[features], total["kept"][features] / N_TRAIN)
    count = np.array([positions[role] for role in data.unit_role.values.tolist()])
    means = total["activation"] / np.maximum(count, 1)
    np.testing.assert_allclose(data.mean_activation[features], means[features], rtol=1e-5)


def test_edges_hold_means_over_train_prompts(data, train_graphs):
    """The weights of the edges that pruning kept, each added up again."""
    total: dict[tuple[int, int], tuple[float, set[str]]] = {}
    names = ("edge_target", "edge_source", "edge_weight", "prune_edge_mask")
    for name, graph, units in train_graphs:
        for t, s, weight, kept in zip(*(graph[n].values.tolist() for n in names), strict=True):
            if kept and t < len(units) and s < len(units):
                sum_so_far, prompts = total.get((units[t], units[s]), (0.0, set()))
                total[units[t], units[s]] = sum_so_far + weight, prompts | {name}
    features = data.unit_kind.values == "feature"
    columns = (data[f"edge_{n}"].values.tolist() for n in ("target", "source", "weight", "frequency"))
    edges = {
        (t, s): (weight, frequency)
        for t, s, weight, frequency in zip(*columns, strict=True)
        if features[t] and features[s]
    }
    assert edges.keys() == total.keys() and len(total) > 20
    for key, (weight, prompts) in total.items():
        assert edges[key] == pytest.approx((weight / N_TRAIN, len(prompts) / N_TRAIN), abs=1e-5)


def test_features_are_ranked_by_their_mean_attribution(data):
    """Rank 0 supports the answer most."""
    features = data.unit_kind.values == "feature"
    order = np.argsort(data["rank"].values[features])
    assert (np.diff(data.gradient_attribution.values[features][order]) <= 0).all()


def test_importance_is_the_correlation_with_the_margin(cells_of, data):
    """r and p are scipy's, with 0 where a feature is not active; q controls the whole family."""
    margins = [
        float(cells_of["baseline"].one({"prompt": name}).logit_difference)
        for name in data.train_prompt.values
    ]
    tested = np.flatnonzero(np.isfinite(data.spearman.values))
    assert len(tested) > 20
    assert (data.active_frequency.values[tested] * N_TRAIN >= 4.99).all()
    for unit in tested[:10]:
        activation = np.zeros(N_TRAIN)
        here = data.activation_unit.values == unit
        activation[data.activation_prompt.values[here]] = data.activation_value.values[here]
        for kind, test in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
            ours = float(data[kind][unit]), float(data[f"{kind}_p"][unit])
            assert ours == pytest.approx(tuple(test(activation, margins)), abs=1e-6)
    q = stats.false_discovery_control(data.spearman_p.values[tested])
    np.testing.assert_allclose(data.spearman_q.values[tested], q)


def test_test_prompts_change_nothing_of_a_circuit(cells_of):
    """With every number of every test prompt replaced the circuit is the same to the bit.

    With those of train prompts replaced it is another.
    """
    split = {coords["prompt"]: str(row.split.values) for coords, row in cells_of["prompts"].pairs}

    def spoilt(cells: Cells, changed: str, *names: str) -> Cells:
        return Cells(
            [
                (coords, cell.assign({name: cell[name] * -3 + 1 for name in names}))
                if split[coords["prompt"]] == changed
                else (coords, cell)
                for coords, cell in cells.pairs
            ]
        )

    def rebuilt(changed: str) -> xr.Dataset:
        names = ("gradient_attribution", "direct_attribution", "activation_values", "node_influence")
        graphs = spoilt(cells_of["attribution"], changed, *names)
        margins = spoilt(cells_of["baseline"], changed, "logit_difference")
        reading = cells_of["prompts"], margins, cells_of["pairs"], graphs
        ((_, result),) = circuit([{}], Circuit(), *reading)
        return result

    assert rebuilt("test").identical(rebuilt("nothing"))
    assert not rebuilt("train").identical(rebuilt("nothing"))


def test_a_circuit_needs_train_prompts(cells_of):
    """Else features would be chosen on the prompts they are tested on."""
    prompts = Cells([(c, row.assign(split=((), np.array("test")))) for c, row in cells_of["prompts"].pairs])
    reading = prompts, cells_of["baseline"], cells_of["pairs"], cells_of["attribution"]
    with pytest.raises(PromptError, match="train"):
        list(circuit([{}], Circuit(), *reading))
