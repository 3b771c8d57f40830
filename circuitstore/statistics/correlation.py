"""Correlations of series: of many features with one series, with p-values, or of one pair of series.

Ties share their mean rank in Spearman's correlation, which is Pearson's correlation of the ranks.

scipy.stats has all of this, and takes seconds to import, which every build of figures would wait for. The
tests compare with it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from circuitstore.errors import UsageError


def correlations(
    x: NDArray[np.floating], y: NDArray[np.floating], method: Literal["pearson", "spearman"] = "pearson"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(r, two-sided p) of each row of ``x`` with ``y``, float64 (feature,) or a scalar.

    ``x`` is (observation,) or (feature, observation), ``y`` (observation,). p is that of Student's t with
    n − 2 degrees of freedom, which is exact for Pearson under normality and an approximation for Spearman.
    Both are NaN for fewer than three observations and for a constant series. Raises UsageError for other
    shapes and methods.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if method not in ("pearson", "spearman"):
        raise UsageError("correlation method", expected="pearson or spearman", got=repr(method))
    if x.ndim not in (1, 2) or y.shape != x.shape[-1:]:
        raise UsageError(
            "series to correlate", expected="(n,) or (feature, n), and (n,)", got=f"{x.shape} and {y.shape}"
        )
    rows = np.atleast_2d(x)
    r, p = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    varied = (np.ptp(rows, axis=1) > 0) & (np.ptp(y) > 0) if len(y) >= 3 else np.zeros(len(rows), dtype=bool)
    if varied.any():
        pair = rows[varied], y[None]
        if method == "spearman":
            pair = np.apply_along_axis(ranks, 1, pair[0]), np.apply_along_axis(ranks, 1, pair[1])
        a, b = (_unit(series) for series in pair)
        r[varied] = np.clip((a * b).sum(axis=1), -1, 1)
        shape = len(y) / 2 - 1  # of the distribution of r under independence, a beta distribution on [-1, 1]
        p[varied] = 2 * special.betainc(shape, shape, (1 - np.abs(r[varied])) / 2)
    return r.reshape(x.shape[:-1]), p.reshape(x.shape[:-1])


def spearman(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two series (n,); NaN for fewer than three or where one is constant."""
    if len(x) < 3:
        return float("nan")
    a, b = (ranks(values) - (len(x) + 1) / 2 for values in (x, y))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else float("nan")


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rank of each value (n,), from 1; equal values share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank: NDArray[np.float64] = np.cumsum(count) - (count - 1) / 2
    return mean_rank[place]


def _unit(series: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each row less its mean, with norm 1: (row, observation)."""
    centred = series - series.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))
