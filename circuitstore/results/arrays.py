"""Lazy arrays over the cells of a grid.

They are what xarray indexes. Values are read from the store where and when they are indexed.

Any selection gives what NumPy indexing of the dense array would give. Where cells differ in length along
`position`, they are aligned
at the end and padded in front: NaN, -1 or "". A sparse variable reads as an ordinary array, and only the part
that is asked for is ever made dense.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from circuitstore.errors import LimitError
from circuitstore.results.grid import Grid
from circuitstore.storage.artifact import Cell
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.sparse import COUNT, PARTS
from circuitstore.texts import text_array

DENSE_LIMIT = 2 << 30  # bytes one selection of a sparse variable may take when made dense
POSITION, FEATURE_DIM = "position", "feature"

Key = tuple[Any, ...]  # an integer, a slice or an array of indices for each dim
Array = np.ndarray[Any, np.dtype[Any]]


class LazyArray(indexing.LazilyIndexedArray):
    """A `CellArray` that is read when its values are asked for, whatever selections come before.

    xarray 2026.9 takes a backward slice that begins before the first index, such as [-9::-1] of 8 values, for
    the whole backwards. NumPy selects nothing, and so does this.
    """

    __slots__ = ()

    def _updated_key(self, new_key: Any) -> Any:
        sizes = zip(new_key.tuple, self.shape, strict=True)
        empty = [isinstance(k, slice) and not len(range(*k.indices(n))) for k, n in sizes]
        key = tuple(slice(0, 0) if none else k for k, none in zip(new_key.tuple, empty, strict=True))
        return super()._updated_key(type(new_key)(key))


class CellArray(BackendArray):
    """One variable over all cells of a grid: (*axes of the grid, *dims of the variable)."""

    def __init__(self, grid: Grid, name: str, length: int):
        """`length` is the size of `position` in the whole, 0 to keep that of the cells."""
        self.grid, self.name = grid, name
        stored = grid.first.array(name)
        self.dims = grid.first.dims(name)
        self.is_bfloat16 = stored.attrs.get("encoding") == "bfloat16"
        self.dtype = np.dtype("float32") if self.is_bfloat16 else np.dtype(stored.dtype)
        shape = list(grid.first.shape(name, grid.present[0].row))
        if POSITION in self.dims and length:
            shape[self.dims.index(POSITION)] = length
        self.shape = (*grid.shape, *shape)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Array:
        if not isinstance(key, indexing.VectorizedIndexer):
            # xarray would turn negative steps around first, and fails for those that select nothing.
            return self._outer(key.tuple)
        support = indexing.IndexingSupport.OUTER
        values: Array = indexing.explicit_indexing_adapter(key, self.shape, support, self._outer)
        return values

    def eager(self) -> Array:
        """All values; for text, whose width is known only when it was read."""
        return self._outer(tuple(slice(None) for _ in self.shape))

    @property
    def inner_shape(self) -> tuple[int, ...]:
        """Shape of the variable within one cell, padded."""
        return self.shape[len(self.grid.shape) :]

    def _outer(self, key: Key) -> Array:
        """The values where each dim is indexed by itself."""
        outer, inner = key[: len(self.grid.shape)], key[len(self.grid.shape) :]
        chosen = [np.arange(n)[k] for n, k in zip(self.grid.shape, outer, strict=True)]
        cells = self._cells(chosen)
        self._check(cells, inner)
        self._prefetch_most(cells)
        of_cell = _indexed(np.broadcast_to(np.zeros((), dtype=bool), self.inner_shape), inner).shape
        shape = (*(index.size for index in chosen if index.ndim), *of_cell)
        parts = [self._part(cell, inner) for cell in cells]
        if self.dtype.kind == "T":
            return text_array([part.tolist() for part in parts]).reshape(shape)
        return np.array(parts, dtype=self.dtype).reshape(shape)

    def _cells(self, chosen: list[Array]) -> list[Cell | None]:
        """The cells at the chosen indices of each axis, in C order."""
        if not chosen:
            return [self.grid.cells[0]]
        flat = np.ravel_multi_index(np.ix_(*map(np.atleast_1d, chosen)), self.grid.shape)
        return [self.grid.cells[number] for number in flat.ravel()]

    def _prefetch_most(self, cells: list[Cell | None]) -> None:
        """Read an object at once when most of its cells are asked for."""
        wanted = Counter(cell.object for cell in cells if cell is not None)
        for cell in {cell.object: cell for cell in cells if cell is not None}.values():
            opened = self.grid.reader(cell)
            if 2 * wanted[cell.object] >= len(opened.manifest.cells):
                self._prefetch(opened)

    def _check(self, cells: list[Cell | None], inner: Key) -> None:
        """Nothing to refuse: what is dense on disk may be read as dense."""

    def _prefetch(self, opened: ObjectReader) -> None:
        opened.whole(self.name)

    def _part(self, cell: Cell | None, inner: Key) -> Array:
        """One cell's values where they are indexed."""
        shape = self.inner_shape
        padded = np.full(shape, _padding(self.dtype), dtype=self.dtype)
        if cell is not None:
            values = self.grid.reader(cell).part(self.name, cell.row)
            if self.is_bfloat16:
                values = (values.astype(np.uint32) << 16).view(np.float32)
            ends = zip(shape, values.shape, self.dims, strict=True)
            padded[tuple(slice(n - m, None) if dim == POSITION else slice(None) for n, m, dim in ends)] = (
                values
            )
        return _indexed(padded, inner)


class SparseArray(CellArray):
    """A sparse variable (…, position, feature), dense only where it is indexed.

    Layers may differ in their number of features. The widest decides; beyond its own a layer has NaN.
    """

    def __init__(self, grid: Grid, name: str, length: int):
        self.grid, self.name = grid, name
        self.dims, self.is_bfloat16, self.dtype = (POSITION, FEATURE_DIM), False, np.dtype("float32")
        grid.first.sparse(name, grid.present[0].row)  # or DamageError
        objects = {cell.object: cell for cell in grid.present}.values()
        count = max(int(grid.reader(cell).whole(COUNT).max()) for cell in objects)
        self.shape = (*grid.shape, length, count)

    def _check(self, cells: list[Cell | None], inner: Key) -> None:
        sizes = [np.arange(n)[k].size for n, k in zip(self.inner_shape, inner, strict=True)]
        needed = len(cells) * math.prod(sizes) * self.dtype.itemsize
        if needed > DENSE_LIMIT:
            raise LimitError(
                f"{self.name} as a dense array",
                expected=f"at most {DENSE_LIMIT >> 20} MiB in one selection",
                got=f"{needed >> 20} MiB",
                remedy="select layers, prompts or features first, or open the entries with sparse=True",
            )

    def _prefetch(self, opened: ObjectReader) -> None:
        for part in PARTS:
            opened.whole(self.name + part)

    def _part(self, cell: Cell | None, inner: Key) -> Array:
        length, count = self.inner_shape
        rows, columns = np.arange(length)[inner[0]], np.arange(count)[inner[1]]
        shape = (*rows.shape, *columns.shape)
        if cell is None:
            return np.full(shape, np.nan, dtype=self.dtype)
        asked, again = np.unique(columns, return_inverse=True)  # a feature may be asked for twice
        dense = np.zeros((rows.size, asked.size), dtype=self.dtype)
        opened = self.grid.reader(cell)
        pointer, feature, value, own = opened.sparse(self.name, cell.row)
        lead = length - (len(pointer) - 1)
        for i, row in enumerate(np.atleast_1d(rows)):
            if row < lead:
                dense[i] = np.nan
                continue
            entries = slice(pointer[row - lead], pointer[row - lead + 1])
            column = np.searchsorted(asked, feature[entries])
            hit = np.append(asked, -1)[column] == feature[entries]
            dense[i, column[hit]] = value[entries][hit]
        dense[:, asked >= own] = np.nan
        return dense[:, again.ravel()].reshape(shape)


def _padding(dtype: np.dtype[Any]) -> Any:
    return np.nan if dtype.kind == "f" else -1 if dtype.kind == "i" else "" if dtype.kind == "T" else 0


def _indexed(array: Array, key: Key) -> Array:
    """An array where each dim is indexed by itself."""
    for axis in range(len(key) - 1, -1, -1):
        array = array[(slice(None),) * axis + (key[axis],)]
    return array
