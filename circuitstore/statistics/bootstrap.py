"""Intervals of a mean by resampling the observations, or groups of them: the percentile bootstrap.

Observations of a group are not independent: prompts about one state, or of one minimal pair. Then whole
groups are drawn with replacement, and all observations of a group come with it.

Sources: Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), §13.3; groups: Davison and Hinkley,
*Bootstrap Methods and their Application* (1997), §3.8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def bootstrap_interval(
    values: NDArray[np.floating],
    seed: int,
    draws: int = 2000,
    level: float = 0.95,
    groups: Sequence[str] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(low, high) of the mean over the last axis: percentiles of the means of ``draws`` resamples.

    ``values`` is (…, observation); both results are float64 (…). ``groups`` (observation,) are drawn as a
    whole; without them each observation is its own. Each resample draws the same for all other dims. One
    observation gives its own value twice. None, and observations of one group alone, give NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    count = values.shape[-1]
    if count == 0 or (groups is not None and count > 1 and len(set(groups)) == 1):
        return np.full(values.shape[:-1], np.nan), np.full(values.shape[:-1], np.nan)
    weights = resamples(range(count) if groups is None else groups, seed, draws)
    means = values @ weights.T / weights.sum(1)
    low, high = np.quantile(means, tails(level), axis=-1)
    return low, high


def resamples(groups: Sequence[object], seed: int, draws: int) -> NDArray[np.float64]:
    """How often each observation is drawn in each resample: (draw, observation) float64.

    ``groups`` (observation,) says which observations are drawn together.
    """
    names = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    chance = np.full(len(names), 1 / max(len(names), 1))
    drawn = np.random.default_rng(seed).multinomial(len(names), chance, size=draws)
    weights: NDArray[np.float64] = drawn[:, [names[name] for name in groups]].astype(np.float64)
    return weights


def tails(level: float) -> list[float]:
    """The two quantiles between which an interval of this level lies."""
    return [(1 - level) / 2, (1 + level) / 2]
