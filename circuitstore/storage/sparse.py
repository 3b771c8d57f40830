"""What a sparse variable must be: compressed sparse rows, as `store/README.md` has them.

Indices that come from a file are checked before anything is indexed with them: a feature of -1 would be the
last one, and a pointer beyond the entries would silently shorten a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from circuitstore.storage.files import damaged

PARTS = POINTER, FEATURE, VALUE = ".pointer", ".feature", ".value"
COUNT = "feature_count"
MOST_FEATURES = 1 << 25  # of one layer; the widest published transcoders have 2²⁴


def check_sparse(
    where: str, pointer: np.ndarray, feature: np.ndarray, value: np.ndarray, count: np.ndarray
) -> None:
    """Check the parts of a sparse variable of one cell.

    pointer (row + 1,) integers from 0 to the number of entries, none less than the one before; feature
    (entry,) integers from 0 to `count` - 1, ascending within a row; value (entry,); count () integer. Raises
    DamageError.
    """
    shapes = pointer.ndim, feature.ndim, value.ndim, count.ndim
    if shapes != (1, 1, 1, 0) or {pointer.dtype.kind, feature.dtype.kind, count.dtype.kind} - {"i", "u"}:
        raise damaged(where, "pointer, feature, value and count of integers", f"{shapes} dims")
    if not 0 <= int(count) <= MOST_FEATURES:
        raise damaged(where, f"0 to {MOST_FEATURES} features", int(count))
    ends = (int(pointer[0]), int(pointer[-1])) if len(pointer) else (0, -1)
    if ends != (0, len(feature)) or len(feature) != len(value) or (pointer[1:] < pointer[:-1]).any():
        raise damaged(where, f"pointers that ascend from 0 to {len(feature)}", f"{ends[0]} to {ends[1]}")
    if len(feature) and not 0 <= int(feature.min()) <= int(feature.max()) < int(count):
        got = f"{int(feature.min())} to {int(feature.max())}"
        raise damaged(where, f"features from 0 to {int(count) - 1}", got)
    inside = np.ones(len(feature), dtype=bool)  # whether the entry before is of the same row
    inside[pointer[:-1][pointer[:-1] < len(feature)]] = False
    if (feature[1:] <= feature[:-1])[inside[1:]].any():
        raise damaged(where, "features that ascend within each row", "others")


class SparseCells(NamedTuple):
    """A sparse variable of several cells, their rows one after the other.

    start (row + 1,) where the entries of each row begin; feature and value (entry,); first (cell + 1,) where
    the rows of each cell begin; width (cell,) how many features each cell could have.
    """

    start: np.ndarray
    feature: np.ndarray
    value: np.ndarray
    first: np.ndarray
    width: np.ndarray

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self)

    def take(self, cells: np.ndarray) -> SparseCells:
        """Some of the cells, in the order in which they are given."""
        if np.array_equal(cells, np.arange(len(self.width))):
            return self
        rows, first = ranges(self.first[cells], self.first[cells + 1])
        entries, start = ranges(self.start[rows], self.start[rows + 1])
        return SparseCells(start, self.feature[entries], self.value[entries], first, self.width[cells])


def joined(cells: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, int]]) -> SparseCells:
    """Several cells, each its pointer, feature, value and feature count, which `check_sparse` has passed."""
    pointers, features, values, counts = zip(*cells, strict=True)
    first = np.cumsum([0, *(len(pointer) - 1 for pointer in pointers)])
    entries = np.concatenate([np.diff(pointer) for pointer in pointers])
    start = np.concatenate([[0], np.cumsum(entries)])
    return SparseCells(start, np.concatenate(features), np.concatenate(values), first, np.array(counts))


def ranges(begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of each range, one range after the other, and (range + 1,) where each begins."""
    sizes = end - begin
    first = np.concatenate([[0], np.cumsum(sizes)])
    return np.arange(first[-1]) + np.repeat(begin - first[:-1], sizes), first
