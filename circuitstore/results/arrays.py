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
from collections.abc import Mapping
from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from circuitstore.errors import LimitError
from circuitstore.results.grid import Grid
from circuitstore.storage.artifact import Cell
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.sparse import COUNT, SparseCells
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
        of_cell = _indexed(np.broadcast_to(np.zeros((), dtype=bool), self.inner_shape), inner).shape
        shape = (*(index.size for index in chosen if index.ndim), *of_cell)
        return self._values(cells, inner).reshape(shape)

    def _values(self, cells: list[Cell | None], inner: Key) -> Array:
        """The values of these cells where they are indexed, cell by cell; any shape of so many values."""
        opened = self._opened(cells)
        for name, count in Counter(cell.object for cell in cells if cell is not None).items():
            if 2 * count >= len(opened[name].manifest.cells):  # read at once what is mostly asked for
                opened[name].whole(self.name)
        parts = [_indexed(self._padded(cell, opened), inner) for cell in cells]
        if self.dtype.kind == "T":
            return text_array([part.tolist() for part in parts])
        return np.array(parts, dtype=self.dtype)

    def _cells(self, chosen: list[Array]) -> list[Cell | None]:
        """The cells at the chosen indices of each axis, in C order."""
        if not chosen:
            return [self.grid.cells[0]]
        flat = np.ravel_multi_index(np.ix_(*map(np.atleast_1d, chosen)), self.grid.shape)
        return [self.grid.cells[number] for number in flat.ravel()]

    def _opened(self, cells: list[Cell | None]) -> dict[str, ObjectReader]:
        """The objects of cells, by name. Raises DamageError if one does not hold a cell as it should."""
        opened: dict[str, ObjectReader] = {}
        for cell in cells:
            if cell is not None:
                if cell.object not in opened:
                    opened[cell.object] = self.grid.reader(cell)
                opened[cell.object].holding(cell.content, cell.row)
        return opened

    def _check(self, cells: list[Cell | None], inner: Key) -> None:
        """Nothing to refuse: what is dense on disk may be read as dense."""

    def _padded(self, cell: Cell | None, opened: Mapping[str, ObjectReader]) -> Array:
        """One cell's values, padded in front."""
        shape = self.inner_shape
        values = None if cell is None else opened[cell.object].part(self.name, cell.row)
        if values is not None and self.is_bfloat16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        if values is not None and values.shape == shape:
            return values
        padded = np.full(shape, _padding(self.dtype), dtype=self.dtype)
        if values is not None:
            ends = zip(shape, values.shape, self.dims, strict=True)
            padded[tuple(slice(n - m, None) if dim == POSITION else slice(None) for n, m, dim in ends)] = (
                values
            )
        return padded


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

    def _values(self, cells: list[Cell | None], inner: Key) -> Array:
        (length, count), (row_key, column_key) = self.inner_shape, inner
        rows, row_again = _asked(row_key, length)
        columns, column_again = _asked(column_key, count)
        dense = np.zeros((len(cells), rows.size, columns.size), dtype=self.dtype)
        wanted: dict[str, list[int]] = {}
        for number, cell in enumerate(cells):
            if cell is None:
                dense[number] = np.nan
            else:
                wanted.setdefault(cell.object, []).append(number)
        opened = self._opened(cells)
        for name, numbers in wanted.items():
            stored = np.array([cell.row for number in numbers if (cell := cells[number]) is not None])
            found = opened[name].sparse_cells(self.name, stored)
            _fill(dense, np.array(numbers), found, rows, columns, length)
        dense = dense if row_again is None else dense[:, row_again]
        return dense if column_again is None else dense[:, :, column_again]


def _asked(key: Any, size: int) -> tuple[Array, Array | None]:
    """The different indices that are asked for, ascending; which of them to take where, None for all."""
    indices = np.arange(size)[key]
    if isinstance(key, slice) and (key.step is None or key.step > 0):
        return indices, None
    asked, again = np.unique(indices, return_inverse=True)
    return asked, again.ravel()


def _fill(dense: Array, numbers: Array, found: SparseCells, rows: Array, columns: Array, length: int) -> None:
    """Put the cells of a sparse variable into the places `numbers` of dense (cell, row, column).

    `rows` and `columns` are the indices that are asked for, ascending, of `length` padded positions and of
    features.
    """
    column, hit = _places(columns, found.feature)
    hits = np.flatnonzero(hit)
    row = np.searchsorted(found.start, hits, side="right") - 1
    lead = length - np.diff(found.first)  # how many positions are padded in front
    cell = np.searchsorted(found.first, row, side="right") - 1
    at, inside = _places(rows, row - found.first[cell] + lead[cell])
    dense[numbers[cell[inside]], at[inside], column[hits[inside]]] = found.value[hits[inside]]
    if lead.any():
        padded = np.zeros(dense.shape[:2], dtype=bool)
        padded[numbers] = rows < lead[:, None]
        dense[padded] = np.nan
    if columns.size and columns[-1] >= found.width.min():
        for number, own in zip(numbers, found.width, strict=True):
            dense[number, :, columns >= own] = np.nan


def _places(asked: Array, indices: Array) -> tuple[Array, Array]:
    """Where indices stand among those that are asked for, ascending, and whether they do."""
    if not asked.size:
        return np.zeros(indices.shape, dtype=np.int64), np.zeros(indices.shape, dtype=bool)
    first, last = int(asked[0]), int(asked[-1])
    if last - first + 1 == asked.size:  # all between: no search
        return indices - first, (indices >= first) & (indices <= last)
    place = np.minimum(np.searchsorted(asked, indices), asked.size - 1)
    return place, asked[place] == indices


def _padding(dtype: np.dtype[Any]) -> Any:
    return np.nan if dtype.kind == "f" else -1 if dtype.kind == "i" else "" if dtype.kind == "T" else 0


def _indexed(array: Array, key: Key) -> Array:
    """An array where each dim is indexed by itself."""
    for axis in range(len(key) - 1, -1, -1):
        array = array[(slice(None),) * axis + (key[axis],)]
    return array
