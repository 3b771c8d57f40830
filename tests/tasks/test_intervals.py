"""Intervals resample lexical groups: they hold the truth as often as they say, whatever groups share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from circuitstore.statistics.bootstrap import bootstrap_interval, resamples
from tasks.parts.intervals import Intervals, clusters

NAMES = [f"g{i // 5}" for i in range(100)]  # twenty groups of five


def grouped(rng: np.random.Generator, between: float) -> np.ndarray:
    """A hundred numbers of mean 0; the numbers of a group share a part of this size."""
    return np.repeat(between * rng.normal(size=20), 5) + rng.normal(size=100)


def test_a_group_is_drawn_as_a_whole():
    weights = resamples(NAMES, seed=1, draws=30)
    assert weights.shape == (30, 100) and (weights.sum(1) == 100).all()
    by_group = weights.reshape(30, 20, 5)
    assert (by_group == by_group[..., :1]).all() and len(np.unique(by_group)) > 2


@pytest.mark.parametrize("between", [0.0, 2.0])
def test_intervals_hold_the_mean_whatever_groups_share(between):
    """Planted: 95 % intervals over groups hold 0 in about 95 %; over prompts, they are far too narrow."""
    rng, held = np.random.default_rng(3), {"group": 0, "prompt": 0}
    for _ in range(300):
        values = grouped(rng, between)
        for kind, names in (("group", NAMES), ("prompt", [str(i) for i in range(100)])):
            row = Intervals(names, 456, 300, 0.95).mean(values)
            held[kind] += row["low"] <= 0 <= row["high"]
    assert 0.88 <= held["group"] / 300 <= 0.98
    assert held["prompt"] / 300 >= 0.9 if between == 0 else held["prompt"] / 300 < 0.75


def test_a_ratio_of_a_few_groups_is_as_uncertain_as_they_are():
    """One state of four has all of the effect: the ratio of prompts looks settled, that of states is not."""
    effect = np.repeat([8.0, 0.5, 0.5, 0.5], 5)
    states, prompts = np.repeat(["a", "b", "c", "d"], 5), np.arange(20).astype(str)
    of = {
        kind: Intervals(names.tolist(), 456, 1000, 0.95).of(lambda a, b: a / b, effect, np.ones(20))
        for kind, names in (("states", states), ("prompts", prompts))
    }
    assert of["states"]["value"] == of["prompts"]["value"] == pytest.approx(2.375)
    assert of["states"]["low"] < 0.6 and of["prompts"]["low"] > 0.9
    assert of["states"]["high"] > of["prompts"]["high"] + 0.5


def test_a_ratio_to_nothing_in_some_resamples_has_no_upper_end():
    """Two groups of three have controls of no effect: eight of 27 resamples have a ratio without bound."""
    names, effect = ["a", "a", "b", "b", "c", "c"], np.full(6, 4.0)
    row = Intervals(names, 456, 2000, 0.95).of(lambda a, b: a / b, effect, np.repeat([3.0, 0.0, 0.0], 2))
    assert row == {"value": pytest.approx(4.0), "low": pytest.approx(4 / 3), "high": None}
    row = Intervals(names, 456, 2000, 0.95).of(lambda a, b: a / b, effect, np.zeros(6))
    assert row == {"value": None, "low": None, "high": None}


def test_medians_are_those_of_the_groups_that_are_drawn():
    """Of each resample, as numpy gives it from the observations drawn; one wild value moves it little."""
    rng = np.random.default_rng(7)
    values = rng.exponential(size=11)
    values[[2, 5]] = np.nan, 1e6
    names = ["a", "a", "a", "b", "b", "c", "c", "d", "d", "d", "e"]
    weights = resamples(names, 456, 400).astype(int)
    drawn = [np.nanmedian(np.repeat(values, row)) for row in weights if np.isfinite(values[row > 0]).any()]
    row = Intervals(names, 456, 400, 0.95).median(values)
    assert row["value"] == np.nanmedian(values)
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert Intervals(names, 456, 400, 0.95).mean(values)["value"] > 1e4 > row["high"]
    assert Intervals(["a"] * 11, 456, 50, 0.95).median(values)["low"] is None
    assert Intervals(names, 456, 50, 0.95).median(np.full(11, np.nan))["value"] is None


def test_shares_count_groups_and_not_prompts():
    """Twenty prompts of four states that all flip are four observations."""
    row = Intervals(np.repeat(["a", "b", "c", "d"], 5).tolist(), 1, 50, 0.95).share(np.ones(20))
    wilson = stats.binomtest(4, 4).proportion_ci(method="wilson")
    assert row == {"value": 1.0, "low": pytest.approx(wilson.low), "high": pytest.approx(wilson.high)}


def test_one_group_has_no_interval():
    for row in (
        Intervals(["a"] * 6, 1, 50, 0.95).mean(np.arange(6.0)),
        Intervals(["a"] * 6, 1, 50, 0.95).share(np.ones(6)),
    ):
        assert row["value"] is not None and row["low"] is None and row["high"] is None
    assert np.isnan(bootstrap_interval(np.arange(6.0), 1, groups=["a"] * 6)).all()
    several = Intervals(["a", "a", "b"], 1, 50, 0.95)
    assert several.mean(np.array([1.0, 2.0, np.nan]))["low"] is None


def test_groups_of_different_sizes_keep_the_mean():
    """A resample with more of a large group has more observations, and its mean is over all of them."""
    low, high = bootstrap_interval(np.array([1.0, 1, 1, 1, 1]), 1, groups=["a", "a", "a", "a", "b"])
    assert (low, high) == (1, 1)


def test_prompts_without_a_group_stand_with_their_partner():
    names = clusters(["", "", "", "g", "g"], ["p", "q", "r", "s", "t"], ["q", "p", "", "", ""])
    assert names[0] == names[1] != names[2] != names[3] and names[3] == names[4]
    assert (
        clusters(["pair p", ""], ["x", "p"], ["", ""])[0] != clusters(["pair p", ""], ["x", "p"], ["", ""])[1]
    )
