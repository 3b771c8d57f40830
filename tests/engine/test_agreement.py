"""When two contents of one cell agree, and when they do not."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from circuitstore.engine.agreement import compare
from circuitstore.engine.task import Task
from tasks.settings.phases import Pairs

TASK = Task("any", Pairs, (), rounding=("rest",), ranked=("kept", "cumulative"))
HALF = {"encoding": "bfloat16"}


def cell(values: object, name: str = "x", **attrs: object) -> xr.Dataset:
    array = np.asarray(values)
    return xr.Dataset({name: (tuple("abc"[: array.ndim]), array, attrs)})


def bits(values: list[float]) -> np.ndarray:
    return (np.array(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


AGREE = [
    (cell(np.float32([100.0, 1e-3])), cell(np.float32([100.00001, 1.1e-3]))),  # of the largest, not of each
    (cell(np.float32([np.nan, 1.0])), cell(np.float32([np.nan, 1.000001]))),
    (cell([0.0, 0.0]), cell([0.0, -0.0])),
    (cell(bits([1.0, 2.0]), **HALF), cell(bits([1.0, 2.0]) + np.uint16(1), **HALF)),  # one step
    (cell(np.float32(7e-7), "rest"), cell(np.float32(2e-6), "rest")),
    (cell(np.arange(100) < 50, "kept"), cell(np.arange(100) < 51, "kept")),
    (cell(np.arange(100) / 100, "cumulative"), cell(np.r_[0.01, 0.0, np.arange(2, 100) / 100], "cumulative")),
]
DISAGREE = [
    (cell(np.float32([100.0, 1.0])), cell(np.float32([100.0, 1.2]))),
    (cell(np.float32([np.nan, 1.0])), cell(np.float32([1.0, np.nan]))),
    (cell(np.float32([np.inf, 1.0])), cell(np.float32([-np.inf, 1.0]))),
    (cell([0.0, 0.0]), cell([0.0, 1e-30])),
    (cell([1, 2]), cell([1, 3])),
    (cell(["a", "b"]), cell(["a", "c"])),
    (cell([True]), cell([False])),
    (cell(np.float32([1.0])), cell(np.float64([1.0]))),
    (cell([1.0, 2.0]), cell([1.0])),
    (cell([1.0]), cell([1.0], "y")),
    (cell([1.0]), cell([1.0], unit="nats")),
    (cell([1.0]), cell([1.0]).assign_attrs(structure="tree")),
    (cell(bits([1.0, 2.0]), **HALF), cell(bits([1.0, 2.0]) + np.uint16(3), **HALF)),
    (cell(np.float32(7e-7), "rest"), cell(np.float32(2e-2), "rest")),
    (cell(np.arange(100) < 50, "kept"), cell(np.arange(100) < 60, "kept")),
    (cell(np.arange(100) / 100, "cumulative"), cell(np.r_[0.5, np.arange(1, 100) / 100], "cumulative")),
]


@pytest.mark.parametrize(("stored", "made"), AGREE)
def test_other_last_bits_agree(stored, made):
    """They are named all the same, with how large they are; with no tolerance they do not agree."""
    assert compare(stored, stored, TASK) == []
    (difference,) = compare(stored, made, TASK)
    assert difference.within
    assert "of" in difference.problem


@pytest.mark.parametrize(("stored", "made"), AGREE[:2] + AGREE[4:])
def test_without_tolerance_only_the_same_bits_agree(stored, made):
    """As they must within one process."""
    assert not any(difference.within for difference in compare(stored, made, TASK, tolerance=0.0))


@pytest.mark.parametrize(("stored", "made"), DISAGREE)
def test_other_numbers_do_not_agree(stored, made):
    """Larger differences; whole numbers and texts; other shapes, dtypes, attributes, NaN elsewhere."""
    found = compare(stored, made, TASK)
    assert found and not any(difference.within for difference in found)


def test_a_phase_that_says_nothing_is_compared_in_every_entry():
    """What may differ is the phase's to say."""
    assert not compare(*AGREE[5])[0].within
