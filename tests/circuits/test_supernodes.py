"""Supernodes: planted groups are found, noise has none, and each number is what a slow count gives."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from circuitstore.circuits import supernodes as sn

GROUPS, SIZE, NOISE, PROMPTS, D = 4, 5, 30, 40, 24
PLANTED = np.concatenate([np.repeat(np.arange(GROUPS), SIZE), GROUPS + np.arange(NOISE)])


def measured(seed: int, group: np.ndarray, spread: float = 0.5) -> np.ndarray:
    """(measure, unit, unit) of units whose rows are those of their group, and noise of size `spread`."""
    generator = np.random.default_rng(seed)

    def drawn(width: int) -> np.ndarray:
        return generator.normal(size=(group.max() + 1, width))[group] + spread * generator.normal(
            size=(len(group), width)
        )

    count = len(group)
    outside = 12
    weight = drawn(outside)
    target = np.repeat(count + np.arange(outside), count)
    source = np.tile(np.arange(count), outside)
    edges = sn.neighbours(target, source, weight.T.ravel(), np.arange(count))
    return np.stack([sn.cosines(drawn(D)), sn.cosines(drawn(D)), sn.correlations(drawn(PROMPTS)), edges])


def found(measures: np.ndarray, seed: int = 0, level: float = 0.05) -> np.ndarray:
    return sn.grouped(measures.mean(0), sn.needed(measures, 60, level, seed))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_groups_are_found(seed):
    """Four groups of five that write, read, go with and stand beside the same, among thirty of noise."""
    assert sn.agreement(found(measured(seed, PLANTED)), PLANTED) > 0.95


def test_noise_has_no_groups_beyond_chance():
    """Of sixty sets of unrelated units, about a twentieth has a group: six at most, binomial p < 0.05."""
    alone = np.arange(40)
    with_groups = sum(len(np.unique(found(measured(seed, alone), seed))) < len(alone) for seed in range(60))
    assert with_groups <= 6


def test_the_level_is_the_share_that_chance_puts_into_groups():
    """A level of 1 lets noise into groups, one near 0 none; a single unit and none stay by themselves."""
    noise = measured(0, np.arange(40))
    assert len(np.unique(found(noise, level=0.999))) < 40
    assert len(np.unique(found(noise, level=1e-6))) == 40
    for count in (0, 1):
        few = np.ones((4, count, count))
        assert np.isnan(sn.needed(few, 5, 0.05, 0)) and len(sn.grouped(few[0], float("nan"))) == count


def test_likeness_of_rows_without_direction():
    """A unit that writes nothing, or is as active on every prompt, is like no other."""
    rows = np.array([[0.0, 0.0], [3.0, 4.0], [4.0, -3.0]])
    np.testing.assert_allclose(sn.cosines(rows), [[0, 0, 0], [0, 1, 0], [0, 0, 1]], atol=1e-12)
    active = np.array([[0.1, 0.1, 0.1], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 2.0, 4.0]])
    np.testing.assert_allclose(sn.correlations(active)[1:, 1:], np.corrcoef(active[1:]), atol=1e-12)
    assert (sn.correlations(active)[0] == 0).all()


def test_neighbours_are_cosines_of_shares():
    """Each edge as a share of what enters its target; both directions, or the only one that there is."""
    generator = np.random.default_rng(0)
    dense = np.triu(generator.normal(size=(7, 7)), 1).T * (generator.random((7, 7)) < 0.7)
    dense[1] = 0  # nothing enters 0 and 1
    target, source = np.nonzero(dense)
    units = np.array([6, 2, 0, 1])
    total = np.abs(dense).sum(1, keepdims=True)
    share = dense / np.where(total > 0, total, 1)
    made = sn.neighbours(target, source, dense[target, source], units)
    for i, j in combinations(range(4), 2):
        sides = []
        for rows in (share, share.T):
            a, b = rows[units[i]], rows[units[j]]
            if a.any() or b.any():
                norm = np.linalg.norm(a) * np.linalg.norm(b)
                sides.append(a @ b / norm if norm else 0.0)
        assert made[i, j] == pytest.approx(np.mean(sides))
    assert made[2, 3] != 0


def test_groups_are_cut_where_their_mean_likeness_ends():
    """Average linkage by hand: 0 and 1 join at 0.9; 2 joins both at the mean of 0.8 and 0.4."""
    likeness = np.array([[1, 0.9, 0.8, 0], [0.9, 1, 0.4, 0], [0.8, 0.4, 1, 0], [0, 0, 0, 1.0]])
    assert sn.grouped(likeness, 0.61).tolist() == [0, 0, 1, 2]
    assert sn.grouped(likeness, 0.6).tolist() == [0, 0, 0, 1]
    coherence = sn.coherence(likeness, np.array([0, 0, 0, 1]))
    assert coherence[0] == pytest.approx((0.9 + 0.8 + 0.4) / 3) and np.isnan(coherence[1])


def test_agreement_counts_pairs():
    """The adjusted Rand index, from all pairs of units one by one; 1 for the same, whatever the numbers."""
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 3, 30), generator.integers(0, 4, 30)
    pairs = np.array([[one[i] == one[j], other[i] == other[j]] for i, j in combinations(range(30), 2)])
    both, first, second = pairs.all(1).sum(), *pairs.sum(0)
    expected = first * second / len(pairs)
    index = (both - expected) / ((first + second) / 2 - expected)
    assert sn.agreement(one, other) == pytest.approx(index)
    assert sn.agreement(one, 7 - one) == 1.0 and abs(index) < 0.2
    assert sn.agreement(np.arange(5), np.arange(5)) == 1.0 and sn.agreement(np.arange(0), np.arange(0)) == 1.0
    assert sn.agreement(np.arange(5), np.zeros(5, dtype=int)) == 0.0


def test_necessity_and_sufficiency():
    """From a probability of 0.8: 0.2 without the circuit, 0.6 with it alone; more than all is more than 1."""
    assert sn.necessity(np.float32(0.8), np.array([0.2, 0.9])) == pytest.approx([60, -10])
    assert sn.sufficiency(np.float32(0.8), np.array([0.6, 0.96])) == pytest.approx([0.75, 1.2])
