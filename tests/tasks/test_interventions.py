"""Phase `interventions`: identities of edits, what each measure is, what a patch sets."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
import torch
from minimal_pairs import SETTINGS, Cells, candidates_in
from workspace import BEHAVIOUR, PROFILE

import circuitstore as cs
from circuitstore.circuits.intervene import Edit, intervene
from tasks.interventions import interventions
from tasks.parts.intervention_summary import summarise
from tasks.parts.runs import measured


def test_the_own_activation_changes_nothing(intervened):
    """Steering by 0, of any set, in any regime."""
    for cell in intervened.values():
        same = cell.set_margin.sel(kind="steer +0")
        np.testing.assert_allclose(same, np.full(same.shape, float(cell.base_margin)), atol=1e-4)


def test_steering_by_minus_one_is_zeroing(intervened):
    """The same edits, and so the same run. Inhibiting changes the margin."""
    for cell in intervened.values():
        np.testing.assert_array_equal(cell.set_margin.sel(kind="steer -1"), cell.set_margin.sel(kind="zero"))
        np.testing.assert_array_equal(
            cell.single_margin.sel(kind="steer -1"), cell.single_margin.sel(kind="zero")
        )
        inhibited = cell.set_margin.sel(choice="own", size=3, kind="inhibit", regime="free")
        assert abs(float(inhibited - cell.base_margin)) > 0.01


def test_the_whole_is_faithful_and_nothing_is_not(intervened, reading):
    """A circuit of all features keeps the margin, and its complement is the empty circuit: 1 and 0."""
    train = [cell for cell in intervened.values() if str(cell.split.values) == "train"]
    for cell in train:
        assert float(cell.circuit_margin.sel(circuit_size=10_000)) == float(cell.base_margin)
        assert float(cell.complement_margin.sel(circuit_size=10_000)) == float(cell.empty_margin)
        assert abs(float(cell.empty_margin - cell.base_margin)) > 1e-3
    row = summarise(train, SETTINGS)["train"]["faithfulness"][-1]
    assert row["faithfulness"]["value"] == pytest.approx(1) and row["complement"]["value"] == pytest.approx(0)
    assert row["faithfulness"]["low"] == pytest.approx(1)


@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_a_result_says_what_replaces_features(reading, intervened, fill):
    """Zero takes more away than the mean does, and the summary names what was set."""
    coords = next(iter(intervened.values())).coords
    assert str(coords["fill"].values) == "mean"
    cells = [reading[0].pairs[0][0]]
    settings = msgspec.structs.replace(SETTINGS, fill=fill)
    found = [cell for _, cell in interventions(cells, settings, *reading)]
    summary = summarise(found, settings)[str(found[0].split.values)]
    assert summary["fill"] == fill
    same = float(found[0].empty_margin) == float(intervened[str(found[0].name.values)].empty_margin)
    assert same == (fill == "mean")


def test_a_patch_from_oneself_changes_nothing(reading):
    """Where the partner has the same activations, no edit changes the margin."""
    coords = reading[0].pairs[0][0]
    pair, graph = reading[1].one(coords), reading[3].one(coords)
    own = dict(zip(("layer", "place", "index"), graph.active_features.values.T.astype(np.int32), strict=True))
    own["activation"] = graph.activation_values.values
    mirror = pair.drop_vars([f"partner_{name}" for name in own]).assign(
        {f"partner_{n}": ("partner_feature", v) for n, v in own.items()}
    )
    ((_, cell),) = interventions([coords], SETTINGS, reading[0], Cells([(coords, mirror)]), *reading[2:])
    same = cell.set_margin.sel(kind="patch")
    np.testing.assert_allclose(same, np.full(same.shape, float(cell.base_margin)), atol=1e-4)
    assert int(cell.patch_count.sel(choice="own", size=10_000)) == len(graph.active_features)


def test_a_patch_sets_what_the_partner_has(reading, intervened, cells_of):
    """A patch of everything sets the partner's activations, and zero where it has none."""
    for name in ("p0a", "p2b"):
        candidates = candidates_in(cells_of, name)
        model, transcoders = reading[-2:]
        tokens = reading[0].one({"prompt": name}).tokens.values.tolist()
        columns = candidates.layer, candidates.position, candidates.feature, candidates.partner
        edits = [
            Edit(int(layer), int(position), int(feature), value)
            for layer, position, feature, value in zip(*columns, strict=True)
        ]
        logits = intervene(model, transcoders, tokens, [edits], regime="frozen_attention").logits[0, -1]
        row = reading[0].one({"prompt": name})
        expected = float(logits[int(row.correct_id)] - logits[int(row.incorrect_id)])
        patched = intervened[name].set_margin.sel(
            choice="own", size=10_000, kind="patch", regime="frozen_attention"
        )
        assert float(patched) == pytest.approx(expected, abs=1e-4)
        swapped = intervened[name].swap_margin.sel(choice="own")
        free = intervened[name].set_margin.sel(choice="own", kind="patch", regime="free")
        np.testing.assert_array_equal(swapped, free.sel(size=[3, 10_000]))


def test_each_measure_is_what_it_says():
    """Margin, probabilities and ranks of a distribution written out."""
    logits = torch.tensor([[2.0, 1.0, 0.0, 3.0]])
    margin, correct, incorrect, rank_correct, rank_incorrect = measured(logits, 1, 3)[0]
    weights = np.exp([2, 1, 0, 3])
    assert (margin, rank_correct, rank_incorrect) == (-2.0, 3, 1)
    assert (correct, incorrect) == pytest.approx((weights[1] / weights.sum(), weights[3] / weights.sum()))


def test_a_prompt_without_partner_is_not_patched(reading):
    """NaN and -1, never the unpatched answer."""
    coords = reading[0].pairs[0][0]
    pair = reading[1].one(coords)
    empty = {
        f"partner_{name}": pair[f"partner_{name}"][:0] for name in ("layer", "place", "index", "activation")
    }
    alone = pair.drop_vars(list(empty)).assign({**empty, "has_partner": ((), np.bool_(False))})
    ((_, cell),) = interventions([coords], SETTINGS, reading[0], Cells([(coords, alone)]), *reading[2:])
    assert np.isnan(cell.set_margin.sel(kind="patch")).all()
    assert (cell.set_rank_correct.sel(kind="patch") == -1).all()
    assert np.isfinite(cell.set_margin.drop_sel(kind="patch")).all() and (cell.patch_count == 0).all()


QUICK = ("features=2", "sizes=[1,3]", "controls=2", "swap_sizes=[5]", "circuit_sizes=[5]", "strengths=[1]")


@pytest.mark.slow  # and so do all settings, in tests/settings
def test_another_setting_recomputes_only_interventions(minimal_pairs):
    """A setting of edits recomputes them; one of intervals recomputes nothing; axes are labelled."""
    quick = [word for setting in QUICK for word in ("--set", f"interventions.{setting}")]
    minimal_pairs.computed("interventions", *quick)
    quick += ["--set", "interventions.inhibit=2.5"]
    computed = minimal_pairs.computed("interventions", *quick)
    assert computed == {**dict.fromkeys(computed, 0), "interventions": 24}
    quick += ["--set", "interventions.bootstrap=70"]
    assert sum(minimal_pairs.computed("interventions", *quick).values()) == 0
    opened = cs.open("interventions", behaviour=BEHAVIOUR, store=minimal_pairs.store, profile=PROFILE)
    assert opened.set_margin.dims == ("prompt", "choice", "size", "kind", "regime")
    chosen = opened.set_margin.sel(prompt="p2a", kind="zero", size=3, choice="own", regime="free")
    assert np.isfinite(float(chosen)) and opened.kind.values.tolist()[-1] == "steer +1"
    assert set(json.loads(opened.attrs["summary"])) == {"prompts", "train", "test"}
