"""Matched controls: what they are matched by, what is scaled, and a planted effect beside noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from minimal_pairs import SETTINGS, candidates_in

from circuitstore.circuits.intervene import intervene
from tasks.parts.case import Case
from tasks.parts.edits import Candidates, Units, first_units
from tasks.parts.intervention_summary import summarise
from tasks.parts.matching import Likeness, likeness, matched_controls


def planted(sizes: list[float], position: list[int] | None = None) -> tuple[Candidates, Likeness]:
    """Candidates of one layer with decoder rows of norm 1, and activations of these sizes."""
    count = len(sizes)
    value, whole = np.array(sizes), np.arange(count)
    at = np.zeros(count, dtype=np.int64) if position is None else np.array(position)
    zeros = np.zeros(count, dtype=np.int64)
    candidates = Candidates(zeros, at, whole, value, np.full(count, np.nan), whole, whole, whole)
    return candidates, Likeness(np.abs(value), whole)


def drawn(candidates: Candidates, alike: Likeness, chosen: list[int], draws: int = 50, caliper: float = 1.25):
    return matched_controls(
        candidates, alike, np.array(chosen, dtype=np.int64), draws, 3, caliper, np.random.default_rng(456)
    )


def test_controls_are_like_the_features_and_seeded(cells_of, reading):
    """Active at the same layer and position, not chosen, no twin, none twice in a draw."""
    candidates = candidates_in(cells_of, "p2a")
    alike = likeness(candidates, reading[-1])
    chosen = np.flatnonzero(candidates.active)[::5][:12]
    controls = drawn(candidates, alike, chosen.tolist())
    assert controls.index.shape == (50, 12) and (controls.index >= 0).mean() > 0.5
    for draw in controls.index:
        used = draw[draw >= 0]
        assert len(set(used.tolist())) == len(used) and not np.isin(used, chosen).any()
        assert candidates.active[used].all()
        here, there = chosen[draw >= 0], used
        np.testing.assert_array_equal(candidates.layer[here], candidates.layer[there])
        np.testing.assert_array_equal(candidates.position[here], candidates.position[there])
    np.testing.assert_array_equal(drawn(candidates, alike, chosen.tolist()).index, controls.index)
    other = matched_controls(candidates, alike, chosen, 50, 3, 1.25, np.random.default_rng(457))
    assert (other.index != controls.index).any()


def test_size_is_what_a_feature_writes(cells_of, reading):
    """The norm of activation times decoder row, one by one."""
    candidates = candidates_in(cells_of, "p2a")
    alike = likeness(candidates, reading[-1])
    for i in range(0, len(candidates.value), 7):
        row = reading[-1].layer(int(candidates.layer[i])).decoder_rows([int(candidates.feature[i])])[0]
        assert alike.size[i] == pytest.approx(float((candidates.value[i] * row).norm()), rel=1e-5)


def test_a_control_is_of_the_nearest_size_at_its_position():
    """Of many draws, just the three nearest sizes occur, by ratio; another position never."""
    sizes, position = [10.0, 9.0, 12.0, 30.0, 1.0, 10.0, 8.0], [0, 0, 0, 0, 0, 1, 0]
    controls = drawn(*planted(sizes, position), [0], draws=200)
    assert set(controls.index.ravel().tolist()) == {1, 2, 6}


def test_what_is_outside_the_caliper_is_scaled_to_the_same_size():
    """A control half as large is edited twice as far; one within the caliper is zeroed as it is."""
    controls = drawn(*planted([10.0, 5.0]), [0], draws=1)
    assert controls.scale(0).tolist() == [2.0] and not controls.inside.any()
    controls = drawn(*planted([10.0, 9.0]), [0], draws=1)
    assert controls.scale(0).tolist() == [1.0] and controls.inside.all()
    assert drawn(*planted([10.0, 9.0]), [0], draws=1, caliper=1.0).scale(0)[0] == pytest.approx(10 / 9)


@pytest.mark.filterwarnings("error")
def test_of_a_feature_that_writes_nothing_a_control_takes_nothing_away():
    """A dead decoder row has no size to be matched; the edits of its controls are as small."""
    controls = drawn(*planted([0.0, 5.0, 7.0]), [0], draws=20)
    assert set(controls.index.ravel().tolist()) == {1, 2} and not controls.inside.any()
    assert all(controls.scale(draw).tolist() == [0.0] for draw in range(20))


def test_a_twin_is_no_control():
    """A feature that repeats the chosen one is passed over, and so is its twin's twin."""
    candidates, alike = planted([10.0, 10.0, 4.0])
    same = replace(alike, twin=np.array([0, 0, 2]))
    assert set(drawn(candidates, alike, [0]).index.ravel().tolist()) == {1, 2}
    assert set(drawn(candidates, same, [0]).index.ravel().tolist()) == {2}


def test_twins_are_found_in_the_weights(cells_of):
    """Two features of one encoder and decoder row are one; all others are told apart."""
    candidates = candidates_in(cells_of, "p2a")
    rows = torch.randn(int(candidates.feature.max()) + 1, 16, generator=torch.Generator().manual_seed(0))
    one, other = np.unique(candidates.feature[candidates.layer == 0])[:2].tolist()
    rows[other] = rows[one]

    class Layers:
        def layer(self, index: int) -> Layers:
            return self

        def encoder_rows(self, features: np.ndarray) -> torch.Tensor:
            return rows[features]

        decoder_rows = encoder_rows

    first = candidates.layer == 0
    twin, feature = likeness(candidates, Layers()).twin[first], candidates.feature[first]
    np.testing.assert_array_equal(twin, np.where(feature == other, one, feature))


def test_a_set_without_all_of_its_controls_is_not_compared():
    """Two chosen features and one other: no draw is complete, and half of the controls are missing."""
    controls = drawn(*planted([10.0, 9.0, 8.0]), [0, 1], draws=4)
    assert not any(controls.complete(draw) for draw in range(4))
    assert (controls.index < 0).mean() == 0.5
    assert not drawn(*planted([10.0]), [], draws=1).complete(0)


def test_planted_and_noise_effects_of_sets_beside_controls(intervened):
    """An effect of −3 beside ±1 gives ratio 3 that no control reaches; the same noise on both gives 1."""
    generator, cells = np.random.default_rng(0), list(intervened.values())

    def outcome(effect: float, noise: bool) -> dict:
        made = []
        for cell in cells:
            signs = generator.choice([-1.0, 1.0], cell.control_margin.shape)
            shape = cell.set_margin.shape
            change = generator.choice([-1.0, 1.0], shape) if noise else np.full(shape, effect)
            base = float(cell.base_margin)
            made.append(
                cell.assign(
                    control_margin=cell.control_margin.copy(data=(base + signs).astype(np.float32)),
                    set_margin=cell.set_margin.copy(data=(base + change).astype(np.float32)),
                )
            )
        return summarise(made, SETTINGS)["train"]["controls"][0]

    row = outcome(-3.0, noise=False)
    assert row["ratio"]["value"] == pytest.approx(3, rel=1e-5) and row["exceeded"]["value"] == 0
    assert row["signed"]["value"] == pytest.approx(-3, rel=1e-5)
    assert abs(row["control_signed"]["value"]) < 0.4 and 0.3 < row["opposite"]["value"] < 0.7
    row = outcome(0.0, noise=True)
    assert row["ratio"]["value"] == pytest.approx(1, rel=1e-5)
    assert 0.3 < row["opposite"]["value"] < 0.7 and abs(row["signed"]["value"]) < 0.8


def test_prompts_without_controls_do_not_enter_the_ratio(intervened):
    """The effect is taken over the prompts that have controls; how many are missing is said."""
    cells = list(intervened.values())
    made = [
        cell.assign(
            control_margin=cell.control_margin * np.nan if i % 2 else cell.control_margin * 0 + 1,
            set_margin=cell.set_margin * 0 + (100 if i % 2 else 2),
            base_margin=cell.base_margin * 0,
        )
        for i, cell in enumerate(cells)
    ]
    row = summarise(made, SETTINGS)["train"]["controls"][0]
    assert row["ratio"]["value"] == pytest.approx(2) and row["prompts"] == 8


def test_steered_controls_are_changed_by_as_much_as_the_set(intervened, cells_of, reading):
    """Strength −1 is the zeroed control, 0 nothing, and 2 is measured again by an edit of its own."""
    cell = intervened["p2a"]
    steered = cell.steered_control_margin
    assert dict(steered.sizes) == {"size": 3, "strength": 3, "steered_draw": 5}
    zeroed = cell.control_margin.sel(choice="train").values[:, :5]
    np.testing.assert_array_equal(steered.sel(strength=-1.0), zeroed)
    known = np.isfinite(zeroed)
    assert known.any()
    np.testing.assert_allclose(steered.sel(strength=0.0).values[known], float(cell.base_margin), atol=1e-4)
    candidates, (model, transcoders) = candidates_in(cells_of, "p2a"), reading[-2:]
    alike = likeness(candidates, transcoders)
    chosen = first_units(candidates, candidates.active, 1)
    units = Units(cells_of["circuit"].one({}))
    controls = Case("p2a", SETTINGS, units, candidates, alike, {}).controls(chosen, "train 1")
    index, scale = controls.index[0], controls.scale(0)
    added = alike.size[index] * 2 * scale
    limit = SETTINGS.control_caliper
    assert (added <= 2 * alike.size[chosen] * limit).all() and (added >= 2 * alike.size[chosen] / limit).all()
    prompt = cells_of["prompts"].one({"prompt": "p2a"})
    edits = candidates.edits(index, candidates.value[index] * (1 + 2 * scale))
    logits = intervene(model, transcoders, prompt.tokens.values.tolist(), [edits]).logits[0, -1]
    margin = float(logits[int(prompt.correct_id)] - logits[int(prompt.incorrect_id)])
    assert float(steered.sel(size=1, strength=2.0)[0]) == pytest.approx(margin, abs=1e-3)


def test_summary_of_steering(intervened):
    """Planted: the set rises by the strength, the controls by half of it, in prompts that have controls."""
    cells = []
    for i, cell in enumerate(intervened.values()):
        planted, random = cell.set_margin.copy(deep=True), cell.steered_control_margin.copy(deep=True)
        for t, strength in enumerate(SETTINGS.strengths):
            kind = cell.kind.values.tolist().index(f"steer {strength:+g}")
            planted.values[1, :, kind, 0] = float(cell.base_margin) + strength
            random.values[:, t] = np.nan if i == 0 else float(cell.base_margin) + strength / 2
        cells.append(cell.assign(set_margin=planted, steered_control_margin=random))
    rows = summarise(cells, SETTINGS)["train"]["steering"]
    assert len(rows) == 9
    for row in rows:
        assert row["change"]["value"] == pytest.approx(row["strength"], abs=1e-4)
        assert row["control"]["value"] == pytest.approx(row["strength"] / 2, abs=1e-4)
        assert row["prompts"] == 15
