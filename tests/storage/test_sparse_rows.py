"""A sparse variable whose indices lead elsewhere is damage, whoever sealed it, and is never indexed with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitstore.errors import DamageError
from circuitstore.storage.sparse import MOST_FEATURES, check_sparse, joined

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


@st.composite
def several(draw) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """A sparse variable in some cells: pointer, feature, value and feature count of each."""
    cells = []
    for width in draw(st.lists(st.integers(1, 9), min_size=1, max_size=5)):
        rows = draw(st.lists(st.sets(st.integers(0, width - 1)), max_size=4))
        feature = np.array([number for row in rows for number in sorted(row)], dtype=np.int32)
        pointer = np.cumsum([0, *map(len, rows)])
        cells.append((pointer, feature, np.arange(1, len(feature) + 1, dtype=np.float32), width))
    return cells


@settings(deadline=None)
@given(several(), st.data())
def test_cells_taken_from_many_are_those_that_were_joined(cells, data):
    """Any of them, in any order, also twice."""
    chosen = data.draw(st.lists(st.integers(0, len(cells) - 1), max_size=6))
    taken = joined(cells).take(np.array(chosen, dtype=np.int64))
    assert taken.width.tolist() == [cells[number][3] for number in chosen]
    for place, number in enumerate(chosen):
        pointer, feature, value, _ = cells[number]
        start = taken.start[taken.first[place] : taken.first[place + 1] + 1]
        entries = slice(int(start[0]), int(start[-1]))
        assert (start - start[0]).tolist() == pointer.tolist()
        assert taken.feature[entries].tolist() == feature.tolist()
        assert taken.value[entries].tolist() == value.tolist()
