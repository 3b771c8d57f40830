"""Intervals of a mean by resampling the observations: the percentile bootstrap.

Source: Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), §13.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def bootstrap_interval(
    values: NDArray[np.floating], seed: int, draws: int = 2000, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(low, high) of the mean over the last axis: percentiles of the means of ``draws`` resamples.

    ``values`` is (…, observation); both results are float64 (…). Each resample draws the same observations
    for all other dims. One observation gives its own value twice, and none gives NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    count = values.shape[-1]
    if count == 0:
        return np.full(values.shape[:-1], np.nan), np.full(values.shape[:-1], np.nan)
    weights = resamples(count, seed, draws) / count
    low, high = np.quantile(values @ weights.T, tails(level), axis=-1)
    return low, high


def resamples(count: int, seed: int, draws: int) -> NDArray[np.int64]:
    """How often each of ``count`` observations is drawn in each resample: (draw, observation) int64."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)


def tails(level: float) -> list[float]:
    """The two quantiles between which an interval of this level lies."""
    return [(1 - level) / 2, (1 + level) / 2]
