"""A sparse variable whose indices lead elsewhere is damage, whoever sealed it, and is never indexed with."""

from __future__ import annotations

import numpy as np
import pytest

from circuitstore.errors import DamageError
from circuitstore.storage.sparse import MOST_FEATURES, check_sparse

POINTER, FEATURE, VALUE = [0, 2, 2, 3], [1, 4, 0], [0.5, 1.0, 2.0]


def check(pointer=POINTER, feature=FEATURE, value=VALUE, count=5) -> None:
    check_sparse(
        "features",
        np.array(pointer, dtype=np.int64),
        np.array(feature, dtype=np.int32),
        np.array(value, dtype=np.float32),
        np.array(count),
    )


def test_rows_as_the_format_has_them():
    """Rows may be empty, and all of them; a feature may be in several rows."""
    check()
    check([0, 0, 0], [], [])
    check([0], [], [], 0)
    check([0, 1, 2], [4, 4], [1, 1])


@pytest.mark.parametrize(
    "change",
    [
        {"pointer": []},
        {"pointer": [1, 2, 2, 3]},
        {"pointer": [0, 2, 1, 3]},
        {"pointer": [0, 2, 2, 2]},
        {"pointer": [0, 2, 2, 10**12]},
        {"pointer": [0, -1, 2, 3]},
        {"pointer": [[0, 3]]},
        {"feature": [-1, 4, 0]},
        {"feature": [1, 5, 0]},
        {"feature": [4, 1, 0]},
        {"feature": [1, 1, 0]},
        {"feature": [1, 4]},
        {"value": [1.0]},
        {"count": 4},
        {"count": -1},
        {"count": MOST_FEATURES + 1},
        {"count": 10**12},
        {"count": 1.5},
        {"count": [5]},
    ],
    ids=str,
)
def test_rows_that_lead_elsewhere(change):
    """Whatever is out of range or out of order."""
    with pytest.raises(DamageError):
        check(**change)
