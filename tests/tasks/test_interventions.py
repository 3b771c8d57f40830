"""Phases pairs, circuit and interventions: roles, what is chosen and on which prompts, identities of edits,
controls, statistics.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

import circuitstore as cs
from circuitstore.circuits.intervene import Edit, intervene
from circuitstore.circuits.methods import MARGIN_METHODS
from circuitstore.errors import PromptError
from circuitstore.models.load import load_model
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.refs import Name, named
from circuitstore.transcoders.per_layer import Transcoders
from tasks import circuit as circuit_phase
from tasks import interventions as phase
from tasks.pairs import roles
from tasks.parts.edits import Candidates, Units, candidates, first_units, matched_controls
from tasks.parts.intervention_summary import summarise
from tasks.settings import config

CONFORMANCE = Path(__file__).parents[1] / "conformance"
NOUNS = [
    ("dog", "cat"),
    ("france", "paris"),
    ("keys", "cabinet"),
    ("big", "small"),
    ("one", "two"),
    ("mat", "sat"),
]
SETTINGS = config.Interventions(
    features=4,
    sizes=(1, 3, 10_000),
    swap_sizes=(3, 10_000),
    circuit_sizes=(5, 10_000),
    strengths=(0.0, -1.0, 2.0),
    controls=5,
    effect_sources=4,
    effect_pairs=60,
    effect_range=1,
    bootstrap=50,
)


def build(goal: str, options: list[str]) -> dict[str, int]:
    """Build a phase in a process of its own: how many cells of each phase were computed."""
    command = [sys.executable, str(Path(__file__).parents[2] / "cli.py"), "build", goal, *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {entry["phase"]: entry["computed"] for entry in json.loads(done.stdout)["phases"]}


class Cells:
    """The cells of a built phase, as a phase above it would read them."""

    def __init__(self, found: list[tuple[dict, xr.Dataset]]):
        self.found = found

    def one(self, cell):
        return next(content for coords, content in self.found if coords.items() <= cell.items())

    def all(self, cell):
        return self.found

    each = all


@pytest.fixture(scope="module")
def where(tmp_path_factory) -> dict:
    """Sixteen train and eight test prompts in minimal pairs, built through `circuit`."""
    folder = tmp_path_factory.mktemp("interventions")
    (folder / "small.toml").write_text(
        f'[model]\npath = "{CONFORMANCE}/model"\n[transcoders]\npath = "{CONFORMANCE}/relu"\n'
        "[activations]\npositions = 0\n[baseline]\ngate = 0.0\n"
    )
    rows = []
    for i, (template, nouns) in enumerate(
        (t, n) for t in ("the {} to the {}", "{} on the {} and") for n in NOUNS
    ):
        split, other = ("test" if i % 3 == 2 else "train"), f"w{i % 4}"
        for side, answers in enumerate(((" are", " is"), (" is", " are"))):
            row = {
                "id": f"p{i}{'ab'[side]}",
                "partner": f"p{i}{'ba'[side]}",
                "text": template.format(nouns[side], other),
            }
            rows.append(
                {**row, "correct": answers[0], "incorrect": answers[1], "template": template, "split": split}
            )
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = [
        "--prompts",
        str(folder / "mine.jsonl"),
        "--store",
        str(folder / "store"),
        "--profile",
        str(folder / "small.toml"),
    ]
    build("circuit", options)
    return {"folder": folder, "options": options}


@pytest.fixture(scope="module")
def built(where) -> dict[str, Cells]:
    store = Store(str(where["folder"] / "store"))
    result = {}
    for name in ("prompts", "baseline", "features", "pairs", "attribution", "circuit"):
        cells = named(store, Name("small", "mine", name)).cells
        result[name] = Cells([(cell.coords, reader(store, cell.object).cell(cell.row)) for cell in cells])
    return result


@pytest.fixture(scope="module")
def reading(built) -> list:
    """What `interventions` reads, in order."""
    torch.set_num_threads(1)
    model, transcoders = load_model(CONFORMANCE / "model"), Transcoders.open(CONFORMANCE / "relu")
    return [*(built[name] for name in ("prompts", "pairs", "circuit", "attribution")), model, transcoders]


@pytest.fixture(scope="module")
def results(reading) -> dict[str, xr.Dataset]:
    """Every prompt's dataset, with a few settings changed."""
    names = [coords for coords, _ in reading[0].found]
    return {str(coords["prompt"]): cell for coords, cell in phase.interventions(names, SETTINGS, *reading)}


def candidates_of(built, name: str) -> tuple[Candidates, Units]:
    units = Units(built["circuit"].one({}))
    return candidates(
        built["attribution"].one({"prompt": name}), built["pairs"].one({"prompt": name}), units
    ), units


# pairs


def test_roles_say_what_a_position_is():
    """first, contrast, words of the template, slots, last; a repeated word is numbered; last comes before
    contrast.
    """
    texts = np.array(["<s>", "The", " keys", " near", " the", " old", " the", " door"])
    tokens, partner = np.array([0, 1, 2, 3, 4, 5, 4, 6]), np.array([0, 1, 9, 3, 4, 5, 4, 7])
    found = roles(tokens, texts, partner, {0, 1, 3, 4})
    assert found.tolist() == ["first", "'The'", "contrast", "' near'", "' the'", "slot 1", "' the' 2", "last"]
    assert roles(tokens, texts, None, {0, 1, 3, 4})[2] == "slot 1"


def test_pairs_hold_the_partner(built):
    """Its tokens, and exactly its active features."""
    for coords, pair in built["pairs"].found:
        row = built["prompts"].one(coords)
        partner = {"prompt": str(row.partner.values)}
        np.testing.assert_array_equal(pair.partner_tokens, built["prompts"].one(partner).tokens)
        theirs = built["attribution"].one(partner)
        ours = np.stack([pair.partner_layer, pair.partner_place, pair.partner_index], axis=1)
        np.testing.assert_array_equal(ours, theirs.active_features)
        np.testing.assert_array_equal(pair.partner_activation, theirs.activation_values)
        assert (
            pair.role.values[0] == "first"
            and pair.role.values[-1] == "last"
            and "contrast" in pair.role.values
        )


# circuit


def test_circuit_is_the_mean_over_train_graphs(built):
    """Means, frequencies and edges, each added up again one by one."""
    data = built["circuit"].one({})
    graphs = [
        (c["prompt"], g)
        for c, g in built["attribution"].found
        if str(built["prompts"].one(c).split.values) == "train"
    ]
    assert data.train_prompt.values.tolist() == [name for name, _ in graphs] and len(graphs) == 16
    units = {
        key: i
        for i, key in enumerate(
            zip(
                *(data[f"unit_{n}"].values.tolist() for n in ("kind", "layer", "feature", "role")),
                strict=True,
            )
        )
    }
    expected = {
        name: np.zeros(len(units))
        for name in ("gradient_attribution", "influence", "mean_activation", "active", "kept")
    }
    places, edges = dict.fromkeys(data.unit_role.values.tolist(), 0), {}
    for name, graph in graphs:
        role = built["pairs"].one({"prompt": name}).role.values.tolist()
        for text in role[1:]:
            places[text] = places.get(text, 0) + 1
        of_node = []
        for node, row in enumerate(graph.selected_features.values.tolist()):
            layer, position, feature = graph.active_features.values[row].tolist()
            unit = units["feature", layer, feature, role[position]]
            of_node.append(unit)
            expected["gradient_attribution"][unit] += float(graph.gradient_attribution[node])
            expected["influence"][unit] += float(graph.node_influence[node])
            expected["mean_activation"][unit] += float(graph.activation_values[row])
        n_features = len(of_node)
        expected["active"][list(set(of_node))] += 1
        expected["kept"][
            list({u for u, k in zip(of_node, graph.prune_node_mask.values, strict=False) if k})
        ] += 1
        columns = (
            graph[n].values.tolist() for n in ("edge_target", "edge_source", "edge_weight", "prune_edge_mask")
        )
        for t, s, w, k in zip(*columns, strict=True):
            if k and t < n_features and s < n_features:
                entry = edges.setdefault((of_node[t], of_node[s]), [0.0, set()])
                entry[0] += w
                entry[1].add(name)
    is_feature = data.unit_kind.values == "feature"
    for name in ("gradient_attribution", "influence"):
        np.testing.assert_allclose(data[name].values[is_feature], expected[name][is_feature] / 16, atol=1e-6)
    np.testing.assert_allclose(data.active_frequency[is_feature], expected["active"][is_feature] / 16)
    np.testing.assert_allclose(data.kept_frequency[is_feature], expected["kept"][is_feature] / 16)
    count = np.array([places[role] for role in data.unit_role.values.tolist()])
    np.testing.assert_allclose(
        data.mean_activation[is_feature],
        (expected["mean_activation"] / np.maximum(count, 1))[is_feature],
        rtol=1e-5,
    )
    ours = {
        (t, s): (w, f)
        for t, s, w, f in zip(
            *(data[f"edge_{n}"].values.tolist() for n in ("target", "source", "weight", "frequency")),
            strict=True,
        )
        if is_feature[t] and is_feature[s]
    }
    assert ours.keys() == edges.keys() and len(edges) > 20
    for key, (weight, names) in edges.items():
        assert ours[key] == pytest.approx((weight / 16, len(names) / 16), abs=1e-5)
    order = np.argsort(data["rank"].values[is_feature])
    assert (np.diff(data.gradient_attribution.values[is_feature][order]) <= 0).all()


def test_importance_is_the_correlation_with_the_margin(built):
    """r and p are scipy's, over train prompts with 0 where a feature is not active; q controls the whole
    family.
    """
    data = built["circuit"].one({})
    margin = [
        float(built["baseline"].one({"prompt": name}).logit_difference) for name in data.train_prompt.values
    ]
    tested = np.flatnonzero(np.isfinite(data.spearman.values))
    assert len(tested) > 20
    assert (data.active_frequency.values[tested] * 16 >= 4.99).all()
    for unit in tested[:10]:
        activation = np.zeros(16)
        here = data.activation_unit.values == unit
        activation[data.activation_prompt.values[here]] = data.activation_value.values[here]
        for method, test in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
            r, p = test(activation, margin)
            assert (float(data[method][unit]), float(data[f"{method}_p"][unit])) == pytest.approx(
                (r, p), abs=1e-6
            )
    q = stats.false_discovery_control(data.spearman_p.values[tested])
    np.testing.assert_allclose(data.spearman_q.values[tested], q)


def test_test_prompts_change_nothing_of_a_circuit(built):
    """Every number of every test prompt replaced: the circuit is the same to the bit; of a train prompt: it
    is not.
    """
    split = {c["prompt"]: str(row.split.values) for c, row in built["prompts"].found}

    def rebuilt(changed: str) -> xr.Dataset:
        def spoil(cells: Cells, *names: str) -> Cells:
            found = []
            for coords, cell in cells.found:
                other = (
                    {name: cell[name] * -3 + 1 for name in names}
                    if split[coords["prompt"]] == changed
                    else {}
                )
                found.append((coords, cell.assign(other)))
            return Cells(found)

        graphs = spoil(
            built["attribution"],
            "gradient_attribution",
            "direct_attribution",
            "activation_values",
            "node_influence",
        )
        margins = spoil(built["baseline"], "logit_difference")
        ((_, result),) = circuit_phase.circuit(
            [{}], config.Circuit(), built["prompts"], margins, built["pairs"], graphs
        )
        return result

    assert rebuilt("test").identical(rebuilt("nothing"))
    assert not rebuilt("train").identical(rebuilt("nothing"))


def test_a_circuit_needs_train_prompts(built):
    """Rather than choosing features on the prompts they are tested on."""
    prompts = Cells([(c, row.assign(split=((), np.array("test")))) for c, row in built["prompts"].found])
    with pytest.raises(PromptError, match="train"):
        list(
            circuit_phase.circuit(
                [{}], config.Circuit(), prompts, built["baseline"], built["pairs"], built["attribution"]
            )
        )


# what is chosen


def test_candidates_are_what_is_active_in_either(built):
    """With the activation in each, and the rank of their unit on train."""
    found, _ = candidates_of(built, "p2a")
    own, theirs = (built["attribution"].one({"prompt": name}) for name in ("p2a", "p2b"))
    np.testing.assert_array_equal(
        np.stack([found.layer, found.position, found.feature], 1)[found.active], own.active_features
    )
    np.testing.assert_array_equal(found.value[found.active], own.activation_values)
    np.testing.assert_array_equal(found.partner[found.partner != 0], theirs.activation_values)
    circuit, role = built["circuit"].one({}), built["pairs"].one({"prompt": "p2a"}).role.values
    known = np.flatnonzero(found.unit >= 0)
    assert 0 < len(known) < len(found.unit)
    np.testing.assert_array_equal(circuit.unit_feature.values[found.unit[known]], found.feature[known])
    np.testing.assert_array_equal(circuit.unit_role.values[found.unit[known]], role[found.position[known]])
    np.testing.assert_array_equal(circuit["rank"].values[found.unit[known]], found.rank[known])
    assert (found.rank[found.unit < 0] > circuit.sizes["unit"]).all()


def test_first_units_are_the_best_ranked(built):
    """Of those asked for only, the same unit at all its positions."""
    found, _ = candidates_of(built, "p2a")
    chosen = first_units(found, found.active, 5)
    assert len(np.unique(found.unit[chosen])) == 5 and found.active[chosen].all()
    others = found.active & (found.unit >= 0) & ~np.isin(np.arange(len(found.unit)), chosen)
    assert found.rank[others].min() > found.rank[chosen].max()


def test_controls_are_matched_and_seeded(built):
    """Same layer and position, active, not chosen, none twice in a draw, among the most similar; the same
    seed, the same draws.
    """
    found, _ = candidates_of(built, "p2a")
    chosen = np.flatnonzero(found.active)[::5][:12]
    drawn = matched_controls(found, chosen, 50, 3, np.random.default_rng(456))
    assert drawn.shape == (50, 12) and (drawn >= 0).mean() > 0.5
    for draw in drawn:
        used = draw[draw >= 0]
        assert (
            len(set(used.tolist())) == len(used)
            and not np.isin(used, chosen).any()
            and found.active[used].all()
        )
        for i, control in zip(chosen, draw, strict=True):
            if control >= 0:
                assert (found.layer[control], found.position[control]) == (found.layer[i], found.position[i])
    lone = matched_controls(found, chosen[:1], 200, 3, np.random.default_rng(1)).ravel()
    same = np.flatnonzero(
        found.active & (found.layer == found.layer[chosen[0]]) & (found.position == found.position[chosen[0]])
    )
    nearest = sorted(
        set(same.tolist()) - {int(chosen[0])},
        key=lambda i: abs(np.log(found.value[i] / found.value[chosen[0]])),
    )[:3]
    assert set(lone.tolist()) == set(nearest)
    np.testing.assert_array_equal(drawn, matched_controls(found, chosen, 50, 3, np.random.default_rng(456)))
    assert (drawn != matched_controls(found, chosen, 50, 3, np.random.default_rng(457))).any()


def test_own_graph_of_a_test_prompt_does_not_choose_its_circuit_sets(reading, results):
    """Other attributions, other sets of its own, the same sets chosen on train."""
    coords = next(c for c, row in reading[0].found if str(row.split.values) == "test")
    graph = reading[3].one(coords)
    other = graph.assign(gradient_attribution=graph.gradient_attribution * -1)
    ((_, again),) = phase.interventions(
        [coords], SETTINGS, *reading[:3], Cells([(coords, other)]), *reading[4:]
    )
    before = results[str(coords["prompt"])]
    train = {"choice": "circuit"}
    np.testing.assert_array_equal(again.set_count.sel(train), before.set_count.sel(train))
    np.testing.assert_allclose(again.set_margin.sel(train), before.set_margin.sel(train), atol=1e-4)
    np.testing.assert_allclose(again.circuit_margin, before.circuit_margin, atol=1e-4)
    assert np.abs(again.set_margin - before.set_margin).sel(choice="own", size=3, kind="zero").max() > 0.1


# identities of edits


def test_the_own_activation_changes_nothing(results):
    """Steering by 0, of any set, in any regime."""
    for cell in results.values():
        same = cell.set_margin.sel(kind="steer +0")
        np.testing.assert_allclose(same, np.full(same.shape, float(cell.base_margin)), atol=1e-4)


def test_steering_by_minus_one_is_zeroing_and_inhibiting_by_one_more(results):
    """One line of doses: 0 nothing, -1 zero, -2 inhibit with 1."""
    for cell in results.values():
        np.testing.assert_array_equal(cell.set_margin.sel(kind="steer -1"), cell.set_margin.sel(kind="zero"))
        np.testing.assert_array_equal(
            cell.single_margin.sel(kind="steer -1"), cell.single_margin.sel(kind="zero")
        )
    assert (
        abs(
            float(cell.set_margin.sel(choice="own", size=3, kind="inhibit", regime="free") - cell.base_margin)
        )
        > 0.01
    )


def test_the_whole_is_faithful_and_nothing_is_not(results, reading):
    """A circuit of all features keeps the margin, and its complement is the empty circuit: 1 and 0 by
    definition.
    """
    train = [cell for cell in results.values() if str(cell.split.values) == "train"]
    for cell in train:
        assert float(cell.circuit_margin.sel(circuit_size=10_000)) == float(cell.base_margin)
        assert float(cell.complement_margin.sel(circuit_size=10_000)) == float(cell.empty_margin)
        assert abs(float(cell.empty_margin - cell.base_margin)) > 1e-3
    row = summarise(train, SETTINGS)["train"]["faithfulness"][-1]
    assert row["faithfulness"]["value"] == pytest.approx(1) and row["complement"]["value"] == pytest.approx(0)
    assert row["faithfulness"]["low"] == pytest.approx(1)


def test_a_patch_from_oneself_changes_nothing(reading):
    """Every feature set to the activation it has; and from the partner, everything is changed."""
    coords = reading[0].found[0][0]
    pair, graph = reading[1].one(coords), reading[3].one(coords)
    own = dict(zip(("layer", "place", "index"), graph.active_features.values.T.astype(np.int32), strict=True))
    own["activation"] = graph.activation_values.values
    mirror = pair.drop_vars([f"partner_{name}" for name in own]).assign(
        {f"partner_{n}": ("partner_feature", v) for n, v in own.items()}
    )
    ((_, cell),) = phase.interventions(
        [coords], SETTINGS, reading[0], Cells([(coords, mirror)]), *reading[2:]
    )
    same = cell.set_margin.sel(kind="patch")
    np.testing.assert_allclose(same, np.full(same.shape, float(cell.base_margin)), atol=1e-4)
    assert int(cell.patch_count.sel(choice="own", size=10_000)) == len(graph.active_features)


def test_a_patch_sets_what_the_partner_has(reading, results, built):
    """The edits of a patch of everything are the partner's activations at the same places, and zero where it
    has none.
    """
    for name in ("p0a", "p2b"):
        found, _ = candidates_of(built, name)
        model, transcoders = reading[-2:]
        tokens = reading[0].one({"prompt": name}).tokens.values.tolist()
        edits = [
            Edit(*map(int, place), value)
            for *place, value in zip(found.layer, found.position, found.feature, found.partner, strict=True)
        ]
        logits = intervene(model, transcoders, tokens, [edits], regime="frozen_attention").logits[0, -1]
        row = reading[0].one({"prompt": name})
        expected = float(logits[int(row.correct_id)] - logits[int(row.incorrect_id)])
        patched = results[name].set_margin.sel(
            choice="own", size=10_000, kind="patch", regime="frozen_attention"
        )
        assert float(patched) == pytest.approx(expected, abs=1e-4)
        swapped = results[name].swap_margin.sel(choice="own")
        free = results[name].set_margin.sel(choice="own", kind="patch", regime="free")
        np.testing.assert_array_equal(swapped, free.sel(size=[3, 10_000]))


def test_each_measure_is_what_it_says():
    """Margin, probabilities and ranks of a distribution written out."""
    logits = torch.tensor([[2.0, 1.0, 0.0, 3.0]])
    margin, correct, incorrect, rank_correct, rank_incorrect = phase.measured(logits, 1, 3)[0]
    weights = np.exp([2, 1, 0, 3])
    assert (margin, rank_correct, rank_incorrect) == (-2.0, 3, 1)
    assert (correct, incorrect) == pytest.approx((weights[1] / weights.sum(), weights[3] / weights.sum()))


def test_a_prompt_without_partner_is_not_patched(reading):
    """NaN and -1, never the unpatched answer."""
    coords = reading[0].found[0][0]
    pair = reading[1].one(coords)
    empty = {
        f"partner_{name}": pair[f"partner_{name}"][:0] for name in ("layer", "place", "index", "activation")
    }
    alone = pair.drop_vars(list(empty)).assign({**empty, "has_partner": ((), np.bool_(False))})
    ((_, cell),) = phase.interventions([coords], SETTINGS, reading[0], Cells([(coords, alone)]), *reading[2:])
    assert (
        np.isnan(cell.set_margin.sel(kind="patch")).all()
        and (cell.set_rank_correct.sel(kind="patch") == -1).all()
    )
    assert np.isfinite(cell.set_margin.drop_sel(kind="patch")).all() and (cell.patch_count == 0).all()


def test_a_result_does_not_depend_on_its_batch(reading, results):
    """To the bit: alone, and after others."""
    coords = reading[0].found[5][0]
    ((_, alone),) = phase.interventions([coords], SETTINGS, *reading)
    assert alone.identical(results[str(coords["prompt"])])


# effects between features


def test_effects_between_features_are_the_share_of_activation_lost(reading, results, built):
    """Measured again with one edit alone and a whole encoder, in each regime; the edge is the graph's; pruned
    pairs are both kept.
    """
    model, transcoders = reading[-2:]
    cell, name = results["p2a"], "p2a"
    graph, tokens = (
        built["attribution"].one({"prompt": name}),
        reading[0].one({"prompt": name}).tokens.values.tolist(),
    )
    assert {len(set(row[row >= 0].tolist())) for row in cell.feature_source.values} == {4}
    node = {row: i for i, row in enumerate(graph.selected_features.values.tolist())}
    edges = dict(
        zip(
            zip(graph.edge_target.values.tolist(), graph.edge_source.values.tolist(), strict=True),
            graph.edge_weight.values,
            strict=True,
        )
    )
    for among, regime, pair in ((0, 0, 3), (0, 0, 41), (0, 1, 10), (0, 2, 25), (1, 0, 0), (1, 2, 2)):
        source, target = (int(cell[f"feature_{end}"][among, pair]) for end in ("source", "target"))
        (layer, position, feature), place = (
            graph.active_features.values[target].tolist(),
            graph.active_features.values[source].tolist(),
        )
        assert int(cell.feature_layers[among, pair]) == layer - place[0] > 0 and position >= place[1]
        options = {"regime": "free"} if regime == 2 else {"regime": "frozen_attention"}
        options |= {"constrained": [place[0] + 1]} if regime == 0 else {}
        run = intervene(model, transcoders, tokens, [[Edit(*place, 0.0)]], **options)
        after = float(transcoders.layer(layer).encode(run.mlp_input[0, layer])[position, feature])
        before = float(graph.activation_values[target])
        assert float(cell.feature_effect[among, pair, regime]) == pytest.approx(1 - after / before, abs=1e-3)
        edge = edges.get((node[target], node[source]), 0.0)
        assert float(cell.feature_direct[among, pair]) == pytest.approx(edge / before, rel=1e-4)
        assert not among or graph.prune_node_mask.values[[node[source], node[target]]].all()
    pairs = np.stack([cell.feature_source, cell.feature_target], axis=2)[0]
    assert len(np.unique(pairs, axis=0)) == len(pairs) == 60


def test_a_graph_without_pairs_has_no_effects(reading, results):
    """One feature kept: NaN and -1 rather than an error."""
    coords = reading[0].found[0][0]
    graph = reading[3].one(coords)
    mask = graph.prune_node_mask.values.copy()
    mask[: graph.sizes["feature_node"]] = np.arange(graph.sizes["feature_node"]) == 5
    other = Cells([(coords, graph.assign(prune_node_mask=("node", mask)))])
    ((_, cell),) = phase.interventions([coords], SETTINGS, *reading[:3], other, *reading[4:])
    assert np.isnan(cell.feature_effect.values[1]).all() and (cell.feature_source.values[1] == -1).all()
    np.testing.assert_array_equal(
        cell.feature_effect.values[0], results[str(coords["prompt"])].feature_effect.values[0]
    )


def test_planted_effects_between_features(results):
    """Effects that are the influence with any sign: 1 by size at every distance; of pure noise: nothing."""
    generator, cells = np.random.default_rng(3), list(results.values())
    signs = [np.sign(generator.standard_normal(cell.feature_effect.shape)) for cell in cells]
    planted = [
        c.assign(feature_effect=c.feature_effect.copy(data=c.feature_influence.values[..., None] * s))
        for c, s in zip(cells, signs, strict=True)
    ]
    noise = [
        c.assign(feature_effect=c.feature_effect.copy(data=generator.standard_normal(s.shape)))
        for c, s in zip(cells, signs, strict=True)
    ]
    for chosen, wanted, within in ((planted, 1.0, 1e-9), (noise, 0.0, 0.1)):
        row = summarise(chosen, SETTINGS)["train"]["feature_effects"][0]
        assert (row["among"], row["regime"], row["predictor"]) == ("graph", "constrained", "influence")
        assert row["size"]["value"] == pytest.approx(wanted, abs=within) and row["pooled"] == pytest.approx(
            wanted, abs=within
        )
        assert (
            row["pairs"] == 16 * 60
            and row["signed"]["value"] is None
            and set(row["by_layers"]) == {"1", "2", "3"}
        )
    rows = summarise(planted, SETTINGS)["train"]["feature_effects"]
    assert abs(next(row for row in rows if row["predictor"] == "direct")["signed"]["value"]) < 0.2
    assert {row["model"]["value"] for row in rows if row["predictor"] == "response"} == {1.0}


# the whole


def test_summary_of_planted_effects(results):
    """Four of ten prompts flip; effects of 1 and 3 beside controls of 1 and 0.5; predictions that are the
    measured effects.
    """
    generator, planted = np.random.default_rng(0), []
    for i, cell in enumerate(list(results.values())[:10]):
        single, control = (
            generator.standard_normal(cell[f"{name}_margin"].shape).astype(np.float32)
            for name in ("single", "single_control")
        )
        drawn = np.arange(10_000, 10_000 + cell.single_control_index.size).reshape(
            cell.single_control_index.shape
        )
        cell = cell.assign(
            split=((), np.array("test")),
            base_margin=((), np.float32(2.0)),
            set_margin=xr.full_like(cell.set_margin, 1.0 if i % 3 else -1.0),
            control_margin=xr.full_like(cell.control_margin, 1.0 if i % 2 else 1.5),
            single_margin=cell.single_margin.copy(data=single),
            single_control_margin=cell.single_control_margin.copy(data=control),
            single_predicted=cell.single_predicted.copy(
                data=np.repeat(2 - single[:, :1, 0], len(MARGIN_METHODS), 1)
            ),
            single_control_predicted=cell.single_control_predicted.copy(
                data=np.repeat(2 - control[..., None], len(MARGIN_METHODS), 2)
            ),
            single_control_index=cell.single_control_index.copy(data=drawn.astype(np.int32)),
        )
        planted.append(cell)
    settings = msgspec.structs.replace(SETTINGS, bootstrap=2000)  # 50 draws do not settle a 2.5 % tail
    said = summarise(planted, settings)["test"]
    assert said["prompts"] == 10 and said["accuracy"]["value"] == 1
    assert said["controls"][0]["ratio"]["value"] == pytest.approx(1.8 / 0.75)
    row = said["sets"][0]
    assert row["flips"]["value"] == 0.4 and 0 <= row["flips"]["low"] < 0.4 < row["flips"]["high"] <= 0.8
    assert row["change"]["value"] == pytest.approx(-1.8)
    for share, ones in ((row["flips"], 4), (said["accuracy"], 10)):
        wilson = stats.binomtest(ones, 10).proportion_ci(method="wilson")
        assert (share["low"], share["high"]) == pytest.approx((wilson.low, wilson.high))
    assert said["prediction"]["gradient"]["spearman"] == pytest.approx(1) and said["prediction"][
        "features"
    ] == 10 * (4 + 4 * 5)
    json.dumps(said, allow_nan=False)


def test_what_two_choices_share_is_counted(results, built):
    """Of the sets a prompt's own graph chooses, those of the circuit; of its first features, those that no
    train prompt has.
    """
    circuit = built["circuit"].one({})
    for name in ("p2a", "p0a"):
        cell, (found, _) = results[name], candidates_of(built, name)
        graph = built["attribution"].one({"prompt": name})
        own = set(
            np.argsort(-graph.gradient_attribution.values[: graph.sizes["feature_node"]], kind="stable")[
                :3
            ].tolist()
        )
        train = {int(i) for i in np.cumsum(found.active)[first_units(found, found.active, 3)] - 1}
        assert int(cell.set_shared.sel(size=3)) == len(own & train)
        assert int(cell.set_shared.sel(size=10_000)) == (found.unit[found.active] >= 0).sum()
        for layer, feature, rank in zip(
            cell.single_layer, cell.single_feature, cell.single_rank, strict=True
        ):
            same = (circuit.unit_layer == layer) & (circuit.unit_feature == feature)
            assert int(rank) in circuit["rank"].values[same] if rank >= 0 else True
    said = summarise(list(results.values()), SETTINGS)
    assert said["train"]["overlap"]["unseen"]["value"] == 0 < said["test"]["overlap"]["unseen"]["value"]


def test_prediction_is_the_identity_where_it_must_be(results):
    """The gradient of the real model predicts what zeroing single features does, in order."""
    said = summarise(list(results.values()), SETTINGS)["train"]["prediction"]
    assert said["gradient"]["spearman"] > 0.9 and said["features"] > 100


def test_another_setting_recomputes_only_interventions(where):
    """And the store opens with every axis labelled."""
    quick = [
        f"interventions.{name}"
        for name in (
            "features=2",
            "sizes=[1,3]",
            "controls=2",
            "swap_sizes=[5]",
            "circuit_sizes=[5]",
            "strengths=[1]",
        )
    ]
    options = [*where["options"], *(word for setting in quick for word in ("--set", setting))]
    build("interventions", options)
    computed = build("interventions", [*options, "--set", "interventions.inhibit=2.5"])
    assert computed == {**dict.fromkeys(computed, 0), "interventions": 24}
    options += ["--set", "interventions.inhibit=2.5", "--set", "interventions.bootstrap=70"]
    assert sum(build("interventions", options).values()) == 0
    opened = cs.open("interventions", behaviour="mine", store=where["folder"] / "store", profile="small")
    assert opened.set_margin.dims == ("prompt", "choice", "size", "kind", "regime")
    chosen = opened.set_margin.sel(prompt="p2a", kind="zero", size=3, choice="own", regime="free")
    assert np.isfinite(float(chosen)) and opened.kind.values.tolist()[-1] == "steer +1"
    assert set(msgspec.json.decode(opened.attrs["summary"])) == {"prompts", "train", "test"}
    units = cs.open("circuit", behaviour="mine", store=where["folder"] / "store", profile="small")
    assert isinstance(units, xr.Dataset) and units.unit_kind.values[-1] == "margin"
    assert (
        "p2a" in cs.open("pairs", behaviour="mine", store=where["folder"] / "store", profile="small").children
    )
