"""Which features are edited: candidates, sets, and matched random controls."""

from __future__ import annotations

import numpy as np
from minimal_pairs import SETTINGS, Cells, candidates_in

from tasks.interventions import interventions
from tasks.parts.edits import first_units
from tasks.parts.intervention_summary import summarise


def test_candidates_are_what_is_active_in_either(cells_of):
    """With the activation in each, and the rank of their unit on train."""
    candidates = candidates_in(cells_of, "p2a")
    own, theirs = (cells_of["attribution"].one({"prompt": name}) for name in ("p2a", "p2b"))
    np.testing.assert_array_equal(
        np.stack([candidates.layer, candidates.position, candidates.feature], 1)[candidates.active],
        own.active_features,
    )
    np.testing.assert_array_equal(candidates.value[candidates.active], own.activation_values)
    np.testing.assert_array_equal(candidates.partner[candidates.partner != 0], theirs.activation_values)
    circuit, role = cells_of["circuit"].one({}), cells_of["pairs"].one({"prompt": "p2a"}).role.values
    known = np.flatnonzero(candidates.unit >= 0)
    assert 0 < len(known) < len(candidates.unit)
    np.testing.assert_array_equal(
        circuit.unit_feature.values[candidates.unit[known]], candidates.feature[known]
    )
    np.testing.assert_array_equal(
        circuit.unit_role.values[candidates.unit[known]], role[candidates.position[known]]
    )
    np.testing.assert_array_equal(circuit["rank"].values[candidates.unit[known]], candidates.rank[known])
    assert (candidates.rank[candidates.unit < 0] > circuit.sizes["unit"]).all()


def test_first_units_are_the_best_ranked(cells_of):
    """Five units, each at all of its positions, and no other unit is better."""
    candidates = candidates_in(cells_of, "p2a")
    chosen = first_units(candidates, candidates.active, 5)
    assert len(np.unique(candidates.unit[chosen])) == 5 and candidates.active[chosen].all()
    others = candidates.active & (candidates.unit >= 0) & ~np.isin(np.arange(len(candidates.unit)), chosen)
    assert candidates.rank[others].min() > candidates.rank[chosen].max()


def test_own_graph_of_a_test_prompt_does_not_choose_its_circuit_sets(reading, intervened):
    """Other attributions, other sets of its own, the same sets chosen on train."""
    coords = next(c for c, row in reading[0].pairs if str(row.split.values) == "test")
    graph = reading[3].one(coords)
    other = graph.assign(gradient_attribution=graph.gradient_attribution * -1)
    ((_, again),) = interventions([coords], SETTINGS, *reading[:3], Cells([(coords, other)]), *reading[4:])
    before = intervened[str(coords["prompt"])]
    train = {"choice": "train"}
    np.testing.assert_array_equal(again.set_count.sel(train), before.set_count.sel(train))
    np.testing.assert_allclose(again.set_margin.sel(train), before.set_margin.sel(train), atol=1e-4)
    np.testing.assert_allclose(again.circuit_margin, before.circuit_margin, atol=1e-4)
    assert np.abs(again.set_margin - before.set_margin).sel(choice="own", size=3, kind="zero").max() > 0.1


def test_what_two_choices_share_is_counted(intervened, cells_of):
    """The sets that a prompt's own graph chooses are compared with those chosen on train prompts."""
    for name in ("p2a", "p0a"):
        cell, candidates = intervened[name], candidates_in(cells_of, name)
        graph = cells_of["attribution"].one({"prompt": name})
        attribution = graph.gradient_attribution.values[: graph.sizes["feature_node"]]
        own = set(np.argsort(-attribution, kind="stable")[:3].tolist())
        number = np.cumsum(candidates.active) - 1
        train = set(number[first_units(candidates, candidates.active, 3)].tolist())
        assert int(cell.set_shared.sel(size=3)) == len(own & train)
        known = (candidates.unit[candidates.active] >= 0).sum()
        assert int(cell.set_shared.sel(size=10_000)) == known


def test_single_features_have_the_rank_of_their_unit(intervened, cells_of):
    """The rank on train prompts; -1 just where no train prompt has the feature in this role."""
    circuit = cells_of["circuit"].one({})
    columns = (circuit[f"unit_{name}"].values.tolist() for name in ("layer", "feature", "role"))
    ranks = dict(zip(zip(*columns, strict=True), circuit["rank"].values.tolist(), strict=True))
    unranked = 0
    for name, cell in intervened.items():
        role = cells_of["pairs"].one({"prompt": name}).role.values
        features = zip(
            cell.single_layer.values.tolist(),
            cell.single_feature.values.tolist(),
            role[cell.single_position.values].tolist(),
            strict=True,
        )
        expected = [ranks.get(feature, -1) for feature in features]
        assert cell.single_rank.values.tolist() == expected
        unranked += expected.count(-1)
    assert unranked > 0


def test_features_that_no_train_prompt_has_are_only_in_test_prompts(intervened):
    """As the summary counts them."""
    summary = summarise(list(intervened.values()), SETTINGS)
    train, test = (summary[split]["overlap"]["unseen"]["value"] for split in ("train", "test"))
    assert train == 0 < test
