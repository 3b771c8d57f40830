"""The false discovery rate of many tests.

Source: Benjamini and Hochberg, "Controlling the false discovery rate" (1995).
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from circuitstore.errors import UsageError


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """q-values of all tests of an array together, in its shape: rejecting q ≤ α keeps the expected share of
    false discoveries ≤ α.

    NaN is no test: it is not counted and stays NaN. Raises UsageError for a p outside [0, 1].
    """
    p = np.asarray(p, dtype=np.float64)
    q, tests = np.full(p.shape, np.nan), ~np.isnan(p)
    if np.any((p[tests] < 0) | (p[tests] > 1)):
        raise UsageError(
            "p-values", expected="numbers from 0 to 1", got=f"{p[tests].min()} to {p[tests].max()}"
        )
    if tests.any():
        q[tests] = stats.false_discovery_control(p[tests], method="bh")
    return q
