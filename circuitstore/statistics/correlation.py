"""Correlations of series: of many features with one series, with p-values, or of one pair of series.

Ties share their mean rank in Spearman's correlation, which is Pearson's correlation of the ranks.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import stats

from circuitstore.errors import UsageError


def correlations(
    x: np.ndarray, y: np.ndarray, method: Literal["pearson", "spearman"] = "pearson"
) -> tuple[np.ndarray, np.ndarray]:
    """(r, p) of each row of x, (observation,) or (feature, observation), with y (observation,); p two-sided,
    float64 (feature,).

    p is that of Student's t with n - 2 degrees of freedom: exact for Pearson under normality, scipy's
    approximation for Spearman. Both are NaN for fewer than three observations and for a constant series.
    Raises UsageError for other shapes and methods.
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
        a, b = rows[varied], y[None]
        if method == "spearman":
            a, b = stats.rankdata(a, axis=1), stats.rankdata(b, axis=1)
        found = stats.pearsonr(a, b, axis=1)
        r[varied], p[varied] = found.statistic, found.pvalue
    return r.reshape(x.shape[:-1]), p.reshape(x.shape[:-1])


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of two series (n,); NaN for fewer than three or where one is constant."""
    if len(x) < 3:
        return float("nan")
    a, b = (stats.rankdata(values) - (len(x) + 1) / 2 for values in (x, y))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else float("nan")
