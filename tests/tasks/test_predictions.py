"""Effects of features on features and on the margin: measured again, planted, and summarised."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
import xarray as xr
from minimal_pairs import N_TRAIN, SETTINGS, Cells
from scipy import stats

from circuitstore.circuits.intervene import Edit, intervene
from circuitstore.circuits.methods import MARGIN_METHODS
from tasks.interventions import interventions
from tasks.parts.intervention_summary import summarise

# among, regime and pair of some effects that are measured again
CHOSEN = ((0, 0, 3), (0, 0, 41), (0, 1, 10), (0, 2, 25), (1, 0, 0), (1, 2, 2))


def test_effects_between_features_are_the_share_of_activation_lost(reading, intervened, cells_of):
    """Measured again with one edit alone and a whole encoder, in each regime."""
    model, transcoders = reading[-2:]
    cell, graph = intervened["p2a"], cells_of["attribution"].one({"prompt": "p2a"})
    tokens = reading[0].one({"prompt": "p2a"}).tokens.values.tolist()
    for among, regime, pair in CHOSEN:
        source, target = (int(cell[f"feature_{end}"][among, pair]) for end in ("source", "target"))
        layer, position, feature = graph.active_features.values[target].tolist()
        zeroed = graph.active_features.values[source].tolist()
        assert int(cell.feature_layers[among, pair]) == layer - zeroed[0] > 0 and position >= zeroed[1]
        options = {"regime": "free"} if regime == 2 else {"regime": "frozen_attention"}
        options |= {"constrained": [zeroed[0] + 1]} if regime == 0 else {}
        run = intervene(model, transcoders, tokens, [[Edit(*zeroed, 0.0)]], **options)
        after = float(transcoders.layer(layer).encode(run.mlp_input[0, layer])[position, feature])
        before = float(graph.activation_values[target])
        assert float(cell.feature_effect[among, pair, regime]) == pytest.approx(1 - after / before, abs=1e-3)


def test_pairs_of_features_are_drawn_from_the_graph(intervened, cells_of):
    """All distinct, of four sources; the direct prediction is the edge; pruned pairs were kept by pruning."""
    cell, graph = intervened["p2a"], cells_of["attribution"].one({"prompt": "p2a"})
    assert {len(set(row[row >= 0].tolist())) for row in cell.feature_source.values} == {4}
    pairs = np.stack([cell.feature_source, cell.feature_target], axis=2)[0]
    assert len(np.unique(pairs, axis=0)) == len(pairs) == 60
    node = {row: i for i, row in enumerate(graph.selected_features.values.tolist())}
    ends = zip(graph.edge_target.values.tolist(), graph.edge_source.values.tolist(), strict=True)
    edges = dict(zip(ends, graph.edge_weight.values.tolist(), strict=True))
    for among, _, pair in CHOSEN:
        source, target = (int(cell[f"feature_{end}"][among, pair]) for end in ("source", "target"))
        edge = edges.get((node[target], node[source]), 0.0) / float(graph.activation_values[target])
        assert float(cell.feature_direct[among, pair]) == pytest.approx(edge, rel=1e-4)
        assert not among or graph.prune_node_mask.values[[node[source], node[target]]].all()


def test_a_graph_without_pairs_has_no_effects(reading, intervened):
    """One feature kept by pruning gives NaN and -1, and no other effect on the pairs of the whole graph.

    These are then run in other company within their prompt, which changes last bits on some CPUs.
    """
    coords = reading[0].pairs[0][0]
    graph = reading[3].one(coords)
    mask = graph.prune_node_mask.values.copy()
    mask[: graph.sizes["feature_node"]] = np.arange(graph.sizes["feature_node"]) == 5
    other = Cells([(coords, graph.assign(prune_node_mask=("node", mask)))])
    ((_, cell),) = interventions([coords], SETTINGS, *reading[:3], other, *reading[4:])
    assert np.isnan(cell.feature_effect.values[1]).all() and (cell.feature_source.values[1] == -1).all()
    whole = intervened[str(coords["prompt"])]
    np.testing.assert_array_equal(cell.feature_source.values[0], whole.feature_source.values[0])
    np.testing.assert_allclose(cell.feature_effect.values[0], whole.feature_effect.values[0], atol=1e-3)


def test_planted_effects_between_features(intervened):
    """Effects that are the influence with random signs correlate by size with 1, pure noise with 0."""
    generator, cells = np.random.default_rng(3), list(intervened.values())
    noises = [generator.standard_normal(cell.feature_effect.shape) for cell in cells]
    noise = [
        cell.assign(feature_effect=cell.feature_effect.copy(data=numbers))
        for cell, numbers in zip(cells, noises, strict=True)
    ]
    planted = [
        cell.assign(
            feature_effect=cell.feature_effect.copy(
                data=cell.feature_influence.values[..., None] * np.sign(numbers)
            )
        )
        for cell, numbers in zip(cells, noises, strict=True)
    ]
    for chosen, wanted, within in ((planted, 1.0, 1e-9), (noise, 0.0, 0.1)):
        row = summarise(chosen, SETTINGS)["train"]["feature_effects"][0]
        assert (row["among"], row["regime"], row["predictor"]) == ("graph", "constrained", "influence")
        assert row["size"]["value"] == pytest.approx(wanted, abs=within)
        assert row["pooled"] == pytest.approx(wanted, abs=within)
        assert row["pairs"] == N_TRAIN * SETTINGS.effect_pairs and row["signed"]["value"] is None
        assert set(row["by_layers"]) == {"1", "2", "3"}
    rows = summarise(planted, SETTINGS)["train"]["feature_effects"]
    assert abs(next(row for row in rows if row["predictor"] == "direct")["signed"]["value"]) < 0.2
    assert {row["model"]["value"] for row in rows if row["predictor"] == "response"} == {1.0}


def test_planted_perturbations(intervened):
    """A response that is the effect has cosine 1 and error 0, its half 1 and 1/4, noise 0 and more than 1."""
    generator, cells = np.random.default_rng(5), list(intervened.values())

    def outcome(response) -> dict:
        made = []
        for cell in cells:
            effect = cell.feature_effect.values
            made.append(cell.assign(feature_response=cell.feature_response.copy(data=response(effect))))
        rows = summarise(made, SETTINGS)["train"]["feature_effects"]
        return next(row for row in rows if row["predictor"] == "response")["perturbation"]

    for response, cosine, error, worse in (
        (lambda effect: effect, 1.0, 0.0, 0.0),
        (lambda effect: effect / 2, 1.0, 0.25, 0.0),
        (lambda effect: -effect, -1.0, 4.0, 1.0),
    ):
        for row in outcome(response).values():
            assert row["cosine"]["value"] == pytest.approx(cosine, abs=1e-5)
            assert row["error"]["value"] == pytest.approx(error, abs=1e-5)
            assert row["worse"] == worse
    noise = outcome(lambda effect: generator.standard_normal(effect.shape) * np.abs(effect))
    assert all(abs(row["cosine"]["value"]) < 0.4 and row["error"]["value"] > 0.7 for row in noise.values())
    assert set(noise) == {"1", "2", "3"}


def test_one_wild_prompt_does_not_make_the_error(intervened):
    """Predictions that halve the effect have error 1/4, however wrong they are in one of the prompts."""
    cells = list(intervened.values())
    made = []
    for i, cell in enumerate(cells):
        scale = 1e4 if i == 0 else 0.5
        made.append(cell.assign(feature_response=cell.feature_effect * scale))
    rows = summarise(made, SETTINGS)["train"]["feature_effects"]
    found = next(row for row in rows if row["predictor"] == "response")["perturbation"]
    for row in found.values():
        assert row["error"]["value"] == pytest.approx(0.25, abs=1e-5) and row["worse"] > 0


def test_one_wild_source_of_a_prompt_does_not_make_the_error(intervened):
    """Ten sources with six targets each: the effect is halved, but of one source told wrong by far."""
    made = []
    for cell in intervened.values():
        pair = np.broadcast_to(np.arange(60), cell.feature_source.shape)
        source = cell.feature_source.copy(data=pair // 6)
        one = cell.feature_layers.copy(data=np.ones_like(pair))
        effect = cell.feature_effect.copy(data=np.ones(cell.feature_effect.shape))
        scale = np.where(pair // 6 == 3, 1e4, 0.5)[..., None]
        response = effect.copy(data=effect.values * scale)
        changed = {"feature_source": source, "feature_layers": one, "feature_effect": effect}
        made.append(cell.assign(changed | {"feature_response": response}))
    rows = summarise(made, SETTINGS)["train"]["feature_effects"]
    found = next(row for row in rows if row["predictor"] == "response")["perturbation"]["1"]
    assert found["error"]["value"] == pytest.approx(0.25, abs=1e-5)
    assert found["worse"] == pytest.approx(0.1) and found["sources"] == 10 * N_TRAIN


def test_features_that_do_nothing_are_told_from_those_that_act(intervened):
    """KL follows influence below what counts and is noise above: those that act do not correlate."""
    generator, made = np.random.default_rng(5), []
    for cell in intervened.values():
        influence, kl = cell.source_influence.values[..., None], cell.source_kl
        acts = generator.random(influence.shape) < 0.5
        small = np.minimum(1e-9 * (influence / np.nanmax(influence)) ** 3, 1e-9)
        large = np.exp(generator.uniform(np.log(1e-5), 0, influence.shape))
        values = np.where(acts, large, small) + 0 * kl.values
        made.append(cell.assign(source_kl=kl.copy(data=values)))
    rows = summarise(made, SETTINGS)["train"]["output"]
    row = next(row for row in rows if (row["predictor"], row["regime"]) == ("influence", "free"))
    assert 0 < row["acting_features"] < row["features"] and abs(row["acting"]) < 0.4
    low, middle, high = row["kl"]
    assert low < middle < high and low < 1e-9 and 1e-2 < high < 1


def test_planted_effects_on_the_output(intervened):
    """KL that is a power of the influence correlates with it by 1 on log axes, and noise by 0."""
    generator, cells = np.random.default_rng(5), list(intervened.values())

    def outcome(made: list) -> dict:
        rows = summarise(made, SETTINGS)["train"]["output"]
        return next(row for row in rows if (row["predictor"], row["regime"]) == ("influence", "free"))

    kl = [cell.source_kl for cell in cells]
    power = [
        c.assign(source_kl=k.copy(data=c.source_influence.values[..., None] ** 2 + 0 * k))
        for c, k in zip(cells, kl, strict=True)
    ]
    assert outcome(power)["pooled"] == pytest.approx(1, abs=1e-4)
    assert outcome(power)["within_prompts"]["value"] == pytest.approx(1, abs=1e-4)
    noise = [
        c.assign(source_kl=k.copy(data=generator.exponential(size=k.shape)))
        for c, k in zip(cells, kl, strict=True)
    ]
    assert abs(outcome(noise)["pooled"]) < 0.35


def test_kl_of_zeroing_a_source_is_that_of_one_edit(reading, intervened, cells_of):
    """Measured again, and what the graph says of the source is read from it."""
    model, transcoders = reading[-2:]
    cell, graph = intervened["p2a"], cells_of["attribution"].one({"prompt": "p2a"})
    tokens = reading[0].one({"prompt": "p2a"}).tokens.values.tolist()
    row = int(cell.source_node[0, 1])
    edit = [Edit(*graph.active_features.values[row].tolist(), 0.0)]
    before, after = (intervene(model, transcoders, tokens, [e]).logits[0, -1].double() for e in ([], edit))
    expected = float((before.softmax(0) * (before.log_softmax(0) - after.log_softmax(0))).sum())
    assert float(cell.source_kl[0, 1].sel(effect_regime="free")) == pytest.approx(
        expected, rel=0.02, abs=1e-6
    )
    node = graph.selected_features.values.tolist().index(row)
    assert float(cell.source_influence[0, 1]) == pytest.approx(float(graph.node_influence[node]))
    assert float(cell.source_activation[0, 1]) == pytest.approx(float(graph.activation_values[row]))
    first = graph.sizes["node"] - graph.sizes["logit"]
    direct = sum(
        abs(weight) * float(graph.logit_weights[target - first])
        for target, source, weight in zip(
            graph.edge_target.values, graph.edge_source.values, graph.edge_weight.values, strict=True
        )
        if target >= first and source == node
    )
    assert float(cell.source_direct[0, 1]) == pytest.approx(float(direct), rel=1e-4)


def test_summary_of_planted_effects(intervened):
    """Four of ten prompts flip; effects of 1 and 3 beside controls of 1 and 0.5; perfect predictions.

    The ten are five minimal pairs, so shares have the intervals of five observations.
    """
    generator, planted = np.random.default_rng(0), []
    for i, cell in enumerate(list(intervened.values())[:10]):
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
    summary = summarise(planted, settings)["test"]
    assert summary["prompts"] == 10 and summary["accuracy"]["value"] == 1
    assert summary["controls"][0]["ratio"]["value"] == pytest.approx(1.8 / 0.75)
    row = summary["sets"][0]
    assert row["flips"]["value"] == 0.4 and 0 <= row["flips"]["low"] < 0.4 < row["flips"]["high"] <= 0.8
    assert row["change"]["value"] == pytest.approx(-1.8)
    for share, ones in ((row["flips"], 2), (summary["accuracy"], 5)):
        wilson = stats.binomtest(ones, 5).proportion_ci(method="wilson")
        assert (share["low"], share["high"]) == pytest.approx((wilson.low, wilson.high))
    prediction = summary["prediction"]
    assert prediction["gradient"]["spearman"] == pytest.approx(1)
    assert prediction["features"] == 10 * SETTINGS.features * (1 + SETTINGS.controls)
    json.dumps(summary, allow_nan=False)


def test_the_gradient_predicts_the_effects_of_single_features(intervened):
    """The gradient of the real model predicts what zeroing single features does, in order."""
    prediction = summarise(list(intervened.values()), SETTINGS)["train"]["prediction"]
    assert prediction["gradient"]["spearman"] > 0.9 and prediction["features"] > 100
