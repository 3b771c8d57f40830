"""Intervals of a mean by resampling the observations: the percentile bootstrap.

Source: Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), §13.3.
"""

from __future__ import annotations

import numpy as np


def bootstrap_interval(
    values: np.ndarray, seed: int, draws: int = 2000, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of the mean over the last axis: percentiles of the means of `draws` resamples of the
    observations.

    values: (…, observation); both results are float64 of the other dims, all of which are resampled together.
    One observation gives its own value twice, none gives NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    count = values.shape[-1]
    if count == 0:
        return np.full(values.shape[:-1], np.nan), np.full(values.shape[:-1], np.nan)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws) / count
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(values @ weights.T, tails, axis=-1)
    return low, high
