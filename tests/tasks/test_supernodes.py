"""Phase `supernodes`: its runs against features taken out by hand, its graph and its choice."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
import xarray as xr
from minimal_pairs import Cells, candidates_in

from circuitstore.circuits.supernodes import flows
from circuitstore.models.capture import capture
from circuitstore.statistics.bootstrap import bootstrap_interval
from tasks import supernodes as phase
from tasks.parts import circuit_runs
from tasks.parts.edits import Units
from tasks.parts.halves import Halves
from tasks.parts.likeness_of_units import Measures
from tasks.parts.matching import likeness
from tasks.parts.runs import Runs
from tasks.parts.supernode_graph import Nodes
from tasks.settings.phases import Supernodes

SETTINGS = Supernodes(sizes=(5, 40), sufficiency=100.0, shuffles=20, controls=4, splits=2, bootstrap=50)


def interpreted(circuit: xr.Dataset) -> xr.Dataset:
    """A label for every feature: even or odd."""
    layer, feature = circuit.unit_layer.values, circuit.unit_feature.values
    label = np.array([f"parity={'odd' if i % 2 else 'even'} (r=0.50)" for i in feature.tolist()])
    return xr.Dataset(
        {
            name: ("unit", values)
            for name, values in (("layer", layer), ("feature", feature), ("label", label))
        }
    )


def made_of(reading: list, cells_of: dict, config: Supernodes = SETTINGS) -> xr.Dataset:
    prompts, pairs, circuit, attribution, *loaded = reading
    labels = Cells([({}, interpreted(circuit.one({})))])
    ((_, result),) = phase.supernodes([{}], config, prompts, pairs, labels, circuit, attribution, *loaded)
    return result


@pytest.fixture(scope="module")
def made(reading, cells_of) -> xr.Dataset:
    """The dataset of the phase, with `SETTINGS`."""
    return made_of(reading, cells_of)


def taken_out(model, transcoders, tokens: list[int], silent: set[tuple[int, int, int]]) -> torch.Tensor:
    """Probabilities after the last token while these features, by layer, position and feature, write nothing.

    Each MLP's output less what the features that are active in this run write, by a plain hook.
    """
    handles = []
    for index, layer in enumerate(model.parts.layers):
        rows = [(position, feature) for at, position, feature in silent if at == index]
        weights = transcoders.layer(index)
        thresholds = weights.threshold_of(np.arange(weights.n_features))

        def hook(module, args, output, rows=rows, weights=weights, thresholds=thresholds):
            output = output.clone()
            for position, feature in rows:
                encoder, decoder = weights.encoder_rows([feature])[0], weights.decoder_rows([feature])[0]
                before = args[0][0, position] @ encoder + weights.b_enc[feature]
                output[0, position] -= torch.where(before > thresholds[feature], before, 0) * decoder
            return output

        handles.append(layer.mlp.register_forward_hook(hook))
    try:
        return torch.softmax(capture(model, tokens).logits[-1], dim=0)
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("name", ["p0a", "p2b"])
def test_necessity_and_sufficiency_are_those_of_features_taken_out(made, reading, cells_of, name):
    """The circuit's features taken out of every MLP by a hook of its own, and then all others."""
    model, transcoders = reading[-2:]
    prompt, graph = reading[0].one({"prompt": name}), reading[3].one({"prompt": name})
    role = cells_of["pairs"].one({"prompt": name}).role.values.tolist()
    circuit = reading[2].one({})
    units = zip(
        *(circuit[f"unit_{key}"].values.tolist() for key in ("layer", "feature", "role")), strict=True
    )
    rank = dict(zip(units, circuit.absolute_rank.values.tolist(), strict=True))
    active = [tuple(row) for row in graph.active_features.values.tolist()]
    tokens, correct = prompt.tokens.values.tolist(), int(prompt.correct_id)
    whole = float(taken_out(model, transcoders, tokens, set())[correct])
    row = made.measured_prompt.values.tolist().index(name)
    for size in SETTINGS.sizes:
        inside = {
            (layer, position, feature)
            for layer, position, feature in active
            if 0 <= rank.get((layer, feature, role[position]), -1) < size
        }
        without = float(taken_out(model, transcoders, tokens, inside)[correct])
        alone = float(taken_out(model, transcoders, tokens, set(active) - inside)[correct])
        found = made.isel(measured=row).sel(size=size)
        assert int(found.circuit_count) == len(inside)
        assert float(found.complement_probability_correct) == pytest.approx(without, rel=1e-4)
        assert float(found.necessity) == pytest.approx(100 * (whole - without), abs=1e-4 * 100 * whole)
        assert float(found.sufficiency) == pytest.approx(alone / whole, rel=1e-4)
    assert inside and abs(without / whole - 1) > 1e-3 and abs(alone / whole - 1) > 1e-3


def test_the_circuit_is_chosen_on_train_prompts(made, reading, cells_of):
    """It is the smallest that does; the largest where none does; and no test prompt has a say."""
    assert int(made.circuit_size) == 40 == made.sizes["unit"]
    easy = msgspec.structs.replace(SETTINGS, sufficiency=0.0, necessity=-100.0, splits=0, controls=1)
    assert int(made_of(reading, cells_of, easy).circuit_size) == 5
    circuit = reading[2].one({})
    ranks = Units(circuit).absolute_rank
    keys = ("layer", "feature", "role")
    columns = (made[f"unit_{key}"].values.tolist() for key in keys)
    numbers = [Units(circuit).number[unit] for unit in zip(*columns, strict=True)]
    assert ranks[numbers].tolist() == list(range(40))
    train = made.isel(measured=made.measured_split.values == "train")
    between = float(np.median(train.sufficiency.sel(size=40))), float(np.median(train.necessity.sel(size=40)))
    choose = msgspec.structs.replace(SETTINGS, sizes=(40, 5, 300), splits=0, controls=1)
    exact = msgspec.structs.replace(choose, sufficiency=between[0] - 1e-6, necessity=between[1] - 1e-4)
    prompts = Cells([(c, row) for c, row in reading[0].pairs if str(row.split.values) == "train"])
    graphs = Cells([(c, g) for c, g in reading[3].pairs if c in [coords for coords, _ in prompts.pairs]])
    alone = made_of([prompts, *reading[1:3], graphs, *reading[4:]], cells_of, exact)
    smaller = float(np.median(train.sufficiency.sel(size=5))) >= exact.sufficiency
    smaller &= float(np.median(train.necessity.sel(size=5))) >= exact.necessity
    assert int(alone.circuit_size) == (5 if smaller else 40)


def test_a_random_circuit_is_as_large_and_of_the_same_layers(reading, cells_of):
    """No feature of the circuit, none twice, and as much taken away."""
    candidates = candidates_in(cells_of, "p0a")
    alike = likeness(candidates, reading[-1])
    chosen = np.flatnonzero(candidates.active & (candidates.absolute_rank < 40))
    controls = circuit_runs._controls(candidates, alike, chosen, "p0a", SETTINGS)
    complete = [draw for draw in range(SETTINGS.controls) if controls.complete(draw)]
    assert complete
    for draw in complete:
        index = controls.index[draw]
        assert len(set(index.tolist())) == len(chosen) and not np.isin(index, chosen).any()
        np.testing.assert_array_equal(candidates.layer[index], candidates.layer[chosen])
        taken = alike.size[index] * controls.scale(draw)
        assert (np.abs(np.log(taken / alike.size[chosen])) <= np.log(SETTINGS.control_caliper) + 1e-9).all()
    runs = Runs()
    facts = circuit_runs.at_random(runs, candidates, alike, 40, "p0a", SETTINGS)
    assert float(facts["random_missing"][1]) == (controls.index < 0).mean()


def test_a_circuit_without_active_features_is_measured(reading, cells_of):
    """Nothing is taken away without it, and everything but it; no random circuit is of its size."""
    candidates = candidates_in(cells_of, "p0a")
    runs = Runs()
    counts = circuit_runs.of_sizes(runs, candidates, (0,))
    facts = circuit_runs.at_random(runs, candidates, likeness(candidates, reading[-1]), 0, "p0a", SETTINGS)
    circuit_runs.of_supernodes(runs, candidates, np.full(len(candidates.value), -1), 2)
    found = circuit_runs.make(runs, *reading[-2:], reading[0].one({"prompt": "p0a"}))
    assert counts.tolist() == [0] and np.isnan(facts["random_ratio"][1])
    assert found["complement_margin"][1][0] == found["base_margin"][1]
    assert np.isnan(found["random_circuit_margin"][1]).all()
    assert np.isnan(found["without_supernode_margin"][1]).all()


def test_what_leaves_a_group_is_its_total_contribution(made, reading, cells_of):
    """Of one prompt, node by node; and of the train prompts, in the mean."""
    graph = reading[3].one({"prompt": "p0a"})
    total, direct = graph.total_attribution.values, graph.direct_attribution.values
    n_features, inner = graph.sizes["feature_node"], graph.sizes["node"] - graph.sizes["logit"]
    group = np.random.default_rng(0).integers(0, 4, inner)
    flow = flows(graph, group, 5)
    expected = np.zeros((5, 5))
    value = graph.activation_values.values[graph.selected_features.values]
    for t, s, weight in zip(
        *(graph[f"edge_{k}"].values for k in ("target", "source", "weight")), strict=True
    ):
        if t < n_features:
            expected[group[t], group[s]] += weight * total[t] / value[t]
    for s in range(inner):
        expected[4, group[s]] += direct[s]
    np.testing.assert_allclose(flow, expected, atol=1e-5)
    by_group = np.bincount(group, total[:inner], minlength=5)
    np.testing.assert_allclose(flow.sum(0), by_group, atol=1e-4)
    leaving = np.bincount(made.edge_source, made.edge_weight, minlength=made.sizes["supernode"])
    np.testing.assert_allclose(leaving, made.supernode_total, atol=1e-5)
    train = [g for c, g in reading[3].pairs if str(reading[0].one(c).split.values) == "train"]
    inner_total = np.mean([g.total_attribution.values[: -g.sizes["logit"]].sum() for g in train])
    assert float(made.supernode_total.sum()) == pytest.approx(float(inner_total), abs=1e-3)


def test_every_node_has_its_supernode(made, reading, cells_of):
    """Groups first, by contribution; then single features; each named by a label and a role."""
    kinds = made.supernode_kind.values.tolist()
    assert kinds == sorted(kinds, key=["group", "feature", "others", "error", "embedding", "margin"].index)
    size = np.bincount(made.unit_supernode.values, minlength=len(kinds))
    np.testing.assert_array_equal(made.supernode_units, size)
    assert (size[made.supernode_kind.values == "group"] > 1).all()
    assert (size[made.supernode_kind.values == "feature"] == 1).all()
    weight = np.bincount(
        made.unit_supernode.values, np.abs(made.unit_attribution.values), minlength=len(kinds)
    )
    for kind in ("group", "feature"):
        assert (np.diff(weight[made.supernode_kind.values == kind]) <= 0).all()
    for unit in range(made.sizes["unit"]):
        if size[number := int(made.unit_supernode[unit])] == 1:
            parity = "odd" if int(made.unit_feature[unit]) % 2 else "even"
            assert str(made.supernode_name.values[number]) == f"parity={parity}"
            assert str(made.supernode_role.values[number]) == str(made.unit_role.values[unit])
            assert int(made.supernode_first_layer[number]) == int(made.unit_layer[unit])


def test_a_group_has_the_label_of_most_of_its_contribution():
    """Two weak units of one label against one strong unit of another; unlabelled only where nothing else."""
    members = [(0, 1, "a"), (1, 2, "a"), (1, 3, "b"), (2, 4, "b")]
    labels = xr.Dataset(
        {
            "layer": ("unit", [0, 1, 1, 2]),
            "feature": ("unit", [1, 2, 3, 4]),
            "label": ("unit", ["x=1 (r=1.00)", "x=1 (r=0.40)", "y=2 (r=-0.90)", "unlabelled"]),
        }
    )
    nodes = Nodes(members, np.array([0, 0, 0, 1]), np.array([0.3, -0.3, 0.5, 9.0]), ["last"])
    named = nodes.variables(np.eye(4), labels)
    assert named["supernode_name"][1].tolist()[:2] == ["x=1", "unlabelled"]
    assert named["supernode_role"][1].tolist() == ["a", "b", "", "", "last", ""]
    assert named["supernode_last_layer"][1].tolist()[:3] == [1, 2, -1]


def test_equal_halves_agree_and_others_less(made, reading, cells_of):
    """Stability is 1 of a half and itself; the halves of the train prompts are both less alike."""
    circuit = reading[2].one({})
    columns = (made[f"unit_{key}"].values.tolist() for key in ("layer", "feature", "role"))
    measures = Measures(list(zip(*columns, strict=True)), reading[-1])
    alike = measures.on(circuit)
    group = phase._grouped(alike, SETTINGS, SETTINGS.seed)
    rank_by = str(circuit.attrs["rank_by"])
    same = phase._stability([(circuit, circuit)], measures, group, alike, rank_by, SETTINGS)
    assert same["overlap"][1].tolist() == same["halves_agreement"][1].tolist() == [1.0]
    assert len(made.overlap) == SETTINGS.splits and (made.overlap.values > 0).all()
    assert (made.overlap.values < 1).all()


def test_halves_keep_pairs_together_and_add_up(reading, cells_of):
    """Each prompt is in one half of a split, with its partner; a single cluster has no halves."""
    clusters = {
        name: f"pair {i // 2}" for i, name in enumerate(reading[2].one({}).train_prompt.values.tolist())
    }
    halves = Halves(clusters, 3, 0)
    for name in clusters:
        halves.add(name, reading[3].one({"prompt": name}), reading[1].one({"prompt": name}))
    for second, (one, other) in zip(halves._second, halves.finish(), strict=True):
        names = list(clusters)
        assert all((a in second) == (b in second) for a, b in zip(names[::2], names[1::2], strict=True))
        counts = [int(half.activation_prompt.max()) + 1 for half in (one, other)]
        assert counts == [len(names) - len(second), len(second)] and min(counts) > 0
    assert Halves(dict.fromkeys(clusters, "all"), 3, 0).finish() == []


def test_the_summary_is_counted_again(made):
    """Means, medians and intervals of the chosen circuit, and what random circuits reach."""
    summary = phase.summary([({}, made)], SETTINGS)
    test = made.isel(measured=made.measured_split.values == "test")
    value = test.sufficiency.sel(size=40).values.astype(np.float64)
    row = summary["test"]["sufficiency"]
    assert row["median"] == pytest.approx(np.median(value)) == row["by_size"]["40"]
    assert row["mean"]["value"] == pytest.approx(value.mean())
    random = test.random_sufficiency.values.astype(np.float64)
    assert row["random"]["value"] == pytest.approx(np.nanmean(np.nanmean(random, axis=1)))
    above = [
        np.mean(r[np.isfinite(r)] >= v) for r, v in zip(random, value, strict=True) if np.isfinite(r).any()
    ]
    assert row["exceeded"]["value"] == pytest.approx(np.mean(above))
    names = (test[f"measured_{key}"].values.tolist() for key in ("prompt", "partner"))
    pairs = [min(both) for both in zip(*names, strict=True)]
    low, high = bootstrap_interval(value, SETTINGS.seed, SETTINGS.bootstrap, groups=pairs)
    assert (row["mean"]["low"], row["mean"]["high"]) == pytest.approx((low, high))
    assert len(summary["groups"]) == (made.supernode_kind.values == "group").sum()
    for i, group in enumerate(summary["groups"]):
        change = test.without_supernode_margin.values[:, i] - test.base_margin.values
        if np.isfinite(change).any():
            assert group["change"] == pytest.approx(np.nanmean(change), abs=1e-5)
