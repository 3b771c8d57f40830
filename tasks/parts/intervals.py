"""Intervals of statistics over the prompts of a behaviour.

Intervals of means are percentiles over bootstrap resamples of the prompts (Efron and Tibshirani, 1993,
§13.3). A ratio is a ratio of means and is resampled as a whole: ratios of single prompts have no finite mean.
Intervals of shares are Wilson's (Brown, Cai and DasGupta, 2001): resampling prompts that all agree would
claim certainty.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from circuitstore.statistics.bootstrap import resamples, tails

Interval = dict[str, float | None]  # value, low, high; None where nothing was measured


class Intervals:
    """Resamples of `count` prompts, the same for every statistic, and intervals from them.

    `draws` resamples are drawn with `seed`; an interval holds the share `level` of them.
    """

    def __init__(self, count: int, seed: int, draws: int, level: float):
        self._weights = resamples(count, seed, draws).astype(np.float64)
        self._tails = tails(level)
        self._normal = NormalDist().inv_cdf((1 + level) / 2)

    def mean(self, column: np.ndarray) -> Interval:
        """The mean of a column (prompt,), NaN left out."""
        return self.of(lambda mean: mean, column)

    def of(self, statistic: Callable[..., np.ndarray], *columns: np.ndarray) -> Interval:
        """A statistic of the means of columns (prompt,), NaN left out."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (np.nanmean(column) if np.isfinite(column).any() else np.nan for column in columns)
            value = float(statistic(*means))
            resampled = (
                self._weights @ np.nan_to_num(column) / (self._weights @ np.isfinite(column))
                for column in columns
            )
            draws = statistic(*resampled)
        finite = draws[np.isfinite(draws)]
        low, high = np.quantile(finite, self._tails) if len(finite) else (np.nan, np.nan)
        return {"value": plain(value), "low": plain(low), "high": plain(high)}

    def share(self, column: np.ndarray) -> Interval:
        """The share of ones in a column (prompt,) of ones and zeros, NaN left out."""
        count, ones = int(np.isfinite(column).sum()), float(np.nansum(column))
        if not count:
            return {"value": None, "low": None, "high": None}
        value, square = ones / count, self._normal**2
        middle, scale = (ones + square / 2) / (count + square), self._normal / (count + square)
        reach = scale * np.sqrt(count * value * (1 - value) + square / 4)
        return {"value": value, "low": float(max(middle - reach, 0)), "high": float(min(middle + reach, 1))}


def plain(value: float) -> float | None:
    """A number as plain data; None for NaN and infinity."""
    return float(value) if np.isfinite(value) else None
