"""Intervals of statistics over the prompts of a behaviour.

Prompts are resampled by lexical group: prompts about one state, noun or word are not independent. A prompt
without a group stands with its partner. Intervals of means are percentiles over resamples
(`circuitstore.statistics.bootstrap`). A ratio is a ratio of means and is resampled as a whole: ratios of
single prompts have no finite mean.

Intervals of shares are Wilson's (Brown, Cai and DasGupta, 2001), with as many observations as there are
groups, as if the prompts of a group always agreed: resampling prompts that all agree would claim certainty,
and counting each prompt would claim too much. Where all prompts are of one group, there is no interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from circuitstore.statistics.bootstrap import resamples, tails

Interval = dict[str, float | None]  # value, low, high; None where nothing was measured


def clusters(groups: Sequence[str], ids: Sequence[str], partners: Sequence[str]) -> list[str]:
    """What is resampled together, (prompt,): the lexical group, else the minimal pair, else the prompt."""
    return [
        f"group {group}" if group else f"pair {min(name, partner or name)}"
        for group, name, partner in zip(groups, ids, partners, strict=True)
    ]


class Intervals:
    """Resamples of prompts by cluster, the same for every statistic, and intervals from them.

    `groups` (prompt,) are what `clusters` gives. `draws` resamples are drawn with `seed`; an interval holds
    the share `level` of them.
    """

    def __init__(self, groups: Sequence[str], seed: int, draws: int, level: float):
        self._groups = np.unique(np.asarray(groups), return_inverse=True)[1]
        self._weights = resamples(list(groups), seed, draws)
        self._tails = tails(level)
        self._normal = NormalDist().inv_cdf((1 + level) / 2)

    @property
    def groups(self) -> int:
        """How many groups are resampled."""
        return int(self._groups.max()) + 1 if len(self._groups) else 0

    def _several(self, known: np.ndarray) -> int:
        """Of how many groups the prompts `known` (prompt,) bool are."""
        return len(np.unique(self._groups[known]))

    def mean(self, column: np.ndarray) -> Interval:
        """The mean of a column (prompt,), NaN left out."""
        return self.of(lambda mean: mean, column)

    def of(self, statistic: Callable[..., np.ndarray], *columns: np.ndarray) -> Interval:
        """A statistic of the means of columns (prompt,), NaN left out.

        Where a statistic is infinite in some resamples, such as a ratio to nothing, they count as that large.
        So an end of the interval may be unknown, and it is None.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (np.nanmean(column) if np.isfinite(column).any() else np.nan for column in columns)
            value = float(statistic(*means))
            resampled = (
                self._weights @ np.nan_to_num(column) / (self._weights @ np.isfinite(column))
                for column in columns
            )
            draws = statistic(*resampled)
            known = draws[~np.isnan(draws)]
            several = self._several(np.all([np.isfinite(column) for column in columns], axis=0)) > 1
            low = high = np.nan
            if len(known) and several and np.isfinite(value):
                low, high = np.quantile(known, self._tails)
        return {"value": plain(value), "low": plain(low), "high": plain(high)}

    def median(self, column: np.ndarray) -> Interval:
        """The median of a column (prompt,), NaN left out, with the interval of medians of the resamples."""
        known = np.isfinite(column)
        if not known.any():
            return {"value": None, "low": None, "high": None}
        values = np.sort(column[known])
        counts = self._weights[:, known][:, np.argsort(column[known], kind="stable")].cumsum(axis=1)
        drawn = counts[counts[:, -1] > 0]
        # Of n observations in order, the median is the mean of numbers (n+1)//2 and n//2 + 1.
        ends = [(drawn < np.floor((drawn[:, -1:] + k) / 2)).sum(axis=1) for k in (1, 2)]
        low = high = np.nan
        if self._several(known) > 1:
            low, high = np.quantile((values[ends[0]] + values[ends[1]]) / 2, self._tails)
        return {"value": plain(float(np.median(values))), "low": plain(low), "high": plain(high)}

    def share(self, column: np.ndarray) -> Interval:
        """The share of ones in a column (prompt,) of ones and zeros, NaN left out."""
        known = np.isfinite(column)
        count = self._several(known)
        value = float(column[known].mean()) if count else float("nan")
        if count < 2:
            return {"value": plain(value), "low": None, "high": None}
        square = self._normal**2
        middle, scale = (count * value + square / 2) / (count + square), self._normal / (count + square)
        reach = scale * np.sqrt(count * value * (1 - value) + square / 4)
        return {"value": value, "low": float(max(middle - reach, 0)), "high": float(min(middle + reach, 1))}


def plain(value: float) -> float | None:
    """A number as plain data; None for NaN and infinity."""
    return float(value) if np.isfinite(value) else None
