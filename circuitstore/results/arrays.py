"""Opening results: lazy, labelled arrays over the cells of an artifact, for any analysis script.

Every variable gets the cell axes in front of its own dims. Where cells differ in length along `position`,
they are aligned at the end (position -1 is the last token, where the answer is predicted) and padded in
front: NaN, -1 or "". Sparse features read as an ordinary array of which only the part that is asked for is
ever made dense. Graphs open as a tree.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from circuitstore.errors import LimitError
from circuitstore.storage.artifact import Artifact, Cell
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import SIZE, ObjectReader, reader

DENSE_LIMIT = 2 << 30  # bytes one selection of a sparse variable may take when made dense
POSITION = "position"
POINTER, FEATURE, VALUE = ".pointer", ".feature", ".value"


class Grid:
    """The cells of one or more artifacts on their axes; a place without a cell is None."""

    def __init__(self, store: Store, axes: list[str], labels: list[list], cells: dict[tuple, Cell]):
        self.store, self.axes, self.labels = store, axes, labels
        self.shape = tuple(len(values) for values in labels)
        self.cells = [cells.get(place) for place in itertools.product(*(range(n) for n in self.shape))]
        self.present = [cell for cell in self.cells if cell is not None]
        self.first: ObjectReader = reader(store, self.present[0].object)

    def reader(self, cell: Cell) -> ObjectReader:
        return reader(self.store, cell.object)

    def sizes(self, dim: str) -> list[int]:
        """Size of one dim in each object or cell, whichever differ."""
        found = set()
        for name in {cell.object for cell in self.present}:
            opened = reader(self.store, name)
            if SIZE + dim in opened.names:
                found.update(opened.whole(SIZE + dim).tolist())
            else:
                variable = next(v for v in opened.variables if dim in opened.dims(v))
                found.add(opened.shape(variable, 0)[opened.dims(variable).index(dim)])
        return sorted(found)


def open_artifacts(
    store: Store, artifacts: dict[str, Artifact], all_behaviours: bool = False
) -> xr.Dataset | xr.DataTree:
    """The cells of one behaviour's artifact, or of all behaviours (behaviour → artifact) with a `behaviour`
    dim in front.
    """
    grid = _grid_of_all(store, artifacts) if all_behaviours else _grid(store, next(iter(artifacts.values())))
    if grid.axes and grid.first.attributes(grid.present[0].row).get("structure") in (
        "graph",
        "tree",
    ):  # cells of unlike sizes
        return _tree(grid)
    sparse = [name.removesuffix(POINTER) for name in grid.first.variables if name.endswith(POINTER)]
    attributes = {"phase": next(iter(artifacts.values())).phase}
    for behaviour, artifact in artifacts.items():
        if artifact.summary:
            attributes[f"summary_{behaviour}" if all_behaviours else "summary"] = msgspec.json.encode(
                artifact.summary
            ).decode()
    return _dataset(grid, sparse, attributes)


def open_sparse(store: Store, artifact: Artifact, name: str) -> xr.Dataset:
    """A sparse variable as a table of its entries: prompt, layer, position, feature and the value, all with
    dim `entry`.
    """
    columns: dict[str, list[np.ndarray]] = {axis: [] for axis in (*artifact.axes, POSITION, "feature", name)}
    for cell in artifact.cells:
        opened = reader(store, cell.object)
        pointer, feature, value = (opened.part(name + part, cell.row) for part in (POINTER, FEATURE, VALUE))
        rows = np.repeat(np.arange(len(pointer) - 1) - (len(pointer) - 1), np.diff(pointer))
        for axis in artifact.axes:
            columns[axis].append(np.full(len(value), cell.coords[axis]))
        for column, values in ((POSITION, rows), ("feature", feature), (name, value)):
            columns[column].append(values)
    return xr.Dataset({column: ("entry", np.concatenate(parts)) for column, parts in columns.items()})


def _grid(store: Store, artifact: Artifact) -> Grid:
    labels = [artifact.coordinates(axis) for axis in artifact.axes]
    places = [{value: i for i, value in enumerate(values)} for values in labels]
    cells = {
        tuple(p[cell.coords[axis]] for p, axis in zip(places, artifact.axes, strict=True)): cell
        for cell in artifact.cells
    }
    return Grid(store, artifact.axes, labels, cells)


def _grid_of_all(store: Store, artifacts: dict[str, Artifact]) -> Grid:
    axes = next(iter(artifacts.values())).axes
    labels: list[list] = [list(artifacts)]
    cells: dict[tuple, Cell] = {}
    shared = {
        axis: sorted({v for a in artifacts.values() for v in a.coordinates(axis)})
        for axis in axes
        if axis != "prompt"
    }
    most = max(len(a.coordinates("prompt")) for a in artifacts.values()) if "prompt" in axes else 0
    labels += [list(range(most)) if axis == "prompt" else shared[axis] for axis in axes]
    for i, artifact in enumerate(artifacts.values()):
        order = {axis: artifact.coordinates(axis) if axis == "prompt" else shared[axis] for axis in axes}
        index = {axis: {value: k for k, value in enumerate(values)} for axis, values in order.items()}
        cells.update(
            {(i, *(index[axis][cell.coords[axis]] for axis in axes)): cell for cell in artifact.cells}
        )
    return Grid(store, ["behaviour", *axes], labels, cells)


def _dataset(grid: Grid, sparse: list[str], attributes: dict) -> xr.Dataset:
    variables: dict[str, Any] = {}
    length = (
        max(grid.sizes(POSITION))
        if any(POSITION in grid.first.dims(name) for name in grid.first.variables)
        else 0
    )
    for base in sparse:
        variables[base] = _variable(grid, SparseArray(grid, base, length), (POSITION, "feature"), {})
    coordinates: dict[str, Any] = {}
    for name in grid.first.variables:
        if grid.first.dims(name) == (name,):  # labels of a dim of the phase's own, the same in every cell
            coordinates[name] = grid.first.part(name, grid.present[0].row)
        elif not any(name.startswith(base + ".") for base in sparse):
            array: Any = CellArray(grid, name, length)
            if array.dtype.kind == "T":
                array = array.eager()
            variables[name] = _variable(
                grid, array, grid.first.dims(name), dict(grid.first.array(name).attrs)
            )
    for axis, labels in zip(grid.axes, grid.labels, strict=True):
        if not (axis == "prompt" and "behaviour" in grid.axes):
            coordinates[axis] = np.array(labels)
    if "behaviour" in grid.axes and "prompt" in grid.axes:
        coordinates["prompt_id"] = (("behaviour", "prompt"), _prompt_ids(grid))
    if length:
        coordinates[POSITION] = np.arange(-length, 0)
    return xr.Dataset(variables, coordinates, attributes)


def _prompt_ids(grid: Grid) -> np.ndarray:
    ids = np.full(grid.shape, "", dtype=object)
    for place, cell in zip(np.ndindex(*grid.shape), grid.cells, strict=True):
        ids[place] = str(cell.coords["prompt"]) if cell else ""
    by_axes = np.moveaxis(ids, [grid.axes.index("behaviour"), grid.axes.index("prompt")], [0, 1])
    return by_axes.reshape(*by_axes.shape[:2], -1)[:, :, 0].astype(str)


def _tree(grid: Grid) -> xr.DataTree:
    nodes = {}
    for place, cell in zip(np.ndindex(*grid.shape), grid.cells, strict=True):
        if cell is not None:
            single = Grid(grid.store, [], [], {(): cell})
            opened = grid.reader(cell)
            variables = {}
            for name in opened.variables:
                array: Any = CellArray(single, name, 0)
                array = array.eager() if array.dtype.kind == "T" else array
                variables[name] = _variable(single, array, opened.dims(name), dict(opened.array(name).attrs))
            path = "/".join(str(cell.coords.get(axis, grid.labels[0][place[0]])) for axis in grid.axes)
            nodes[path] = xr.Dataset(variables, attrs=opened.attributes(cell.row))
    return xr.DataTree.from_dict(nodes)


def _variable(grid: Grid, array: Any, dims: tuple[str, ...], attributes: dict) -> xr.Variable:
    encoding = attributes.pop("encoding", None)
    assert encoding in (None, "bfloat16")
    data = array if isinstance(array, np.ndarray) else indexing.LazilyIndexedArray(array)
    return xr.Variable((*grid.axes, *dims), data, attributes)


class CellArray(BackendArray):
    """One variable over all cells of a grid, read when and where it is indexed."""

    def __init__(self, grid: Grid, name: str, length: int):
        self.grid, self.name = grid, name
        stored = grid.first.array(name)
        self.dims = grid.first.dims(name)
        self.is_bfloat16 = stored.attrs.get("encoding") == "bfloat16"
        self.dtype = np.dtype("float32") if self.is_bfloat16 else np.dtype(stored.dtype)
        shape = list(grid.first.shape(name, grid.present[0].row))
        if POSITION in self.dims and length:
            shape[self.dims.index(POSITION)] = length
        self.shape = (*grid.shape, *shape)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def eager(self) -> np.ndarray:
        """All values; for text, whose width is known only when it was read."""
        return self._outer(tuple(slice(None) for _ in self.shape))

    def _outer(self, key: tuple) -> np.ndarray:
        outer, inner = key[: len(self.grid.shape)], key[len(self.grid.shape) :]
        chosen = [np.arange(n)[k] for n, k in zip(self.grid.shape, outer, strict=True)]
        places = (
            np.ravel_multi_index(np.ix_(*map(np.atleast_1d, chosen)), self.grid.shape).ravel()
            if chosen
            else np.array([0])
        )
        cells = [self.grid.cells[place] for place in places]
        self._check(cells, inner)
        counts: dict[str, int] = {}
        for cell in cells:
            if cell is not None:
                counts[cell.object] = counts.get(cell.object, 0) + 1
        for name, count in counts.items():
            opened = reader(self.grid.store, name)
            if 2 * count >= len(opened.manifest.cells):  # most of it: one read for all
                self._prefetch(opened)
        parts = [self._part(cell, inner) for cell in cells]
        joined = np.array(parts)
        if self.dtype.kind == "T":
            joined = np.array([part.tolist() for part in parts], dtype=str).reshape(joined.shape)
        return joined.reshape((*(len(c) for c in chosen if c.ndim), *joined.shape[1:]))

    def _check(self, cells: list, inner: tuple) -> None:
        """Nothing to refuse: what is dense on disk may be read as dense."""

    def _prefetch(self, opened: ObjectReader) -> None:
        opened.whole(self.name)

    def _part(self, cell: Cell | None, inner: tuple) -> np.ndarray:
        shape = self.shape[len(self.grid.shape) :]
        padded = np.full(shape, _padding(self.dtype), dtype=self.dtype)
        if cell is not None:
            values = self.grid.reader(cell).part(self.name, cell.row)
            if self.is_bfloat16:
                values = (values.astype(np.uint32) << 16).view(np.float32)
            if values.shape == shape:
                padded = values
            else:  # shorter: aligned at the end of `position`
                padded[
                    tuple(
                        slice(n - m, None) if d == POSITION else slice(None)
                        for n, m, d in zip(shape, values.shape, self.dims, strict=True)
                    )
                ] = values
        return _outer_index(padded, inner)


class SparseArray(CellArray):
    """A sparse variable (…, position, feature), dense only where it is indexed."""

    def __init__(self, grid: Grid, name: str, length: int):
        self.grid, self.name = grid, name
        self.dims, self.is_bfloat16, self.dtype = (POSITION, "feature"), False, np.dtype("float32")
        self.shape = (*grid.shape, length, int(grid.first.part("feature_count", grid.present[0].row)))

    def _check(self, cells: list, inner: tuple) -> None:
        sizes = [np.atleast_1d(np.arange(n)[k]).size for n, k in zip(self.shape[-2:], inner, strict=True)]
        needed = len(cells) * math.prod(sizes) * self.dtype.itemsize
        if needed > DENSE_LIMIT:
            raise LimitError(
                f"{self.name} as a dense array",
                expected=f"at most {DENSE_LIMIT >> 20} MiB in one selection",
                got=f"{needed >> 20} MiB",
                remedy='select layers, prompts or features first, or ask for the entries: cs.open("features", sparse=True)',
            )

    def _prefetch(self, opened: ObjectReader) -> None:
        for part in (POINTER, FEATURE, VALUE):
            opened.whole(self.name + part)

    def _part(self, cell: Cell | None, inner: tuple) -> np.ndarray:
        length, count = self.shape[-2:]
        rows, columns = np.arange(length)[inner[0]], np.arange(count)[inner[1]]
        dense = np.zeros((rows.size, columns.size), dtype=self.dtype)
        if cell is None:
            return np.full(dense.shape, np.nan, dtype=self.dtype).reshape(*rows.shape, *columns.shape)
        opened = self.grid.reader(cell)
        pointer, feature, value = (
            opened.part(self.name + part, cell.row) for part in (POINTER, FEATURE, VALUE)
        )
        lead = length - (len(pointer) - 1)
        where = np.full(count, -1)
        where[columns.ravel()] = np.arange(columns.size)
        for i, row in enumerate(np.atleast_1d(rows)):
            if row < lead:
                dense[i] = np.nan
                continue
            entries = slice(pointer[row - lead], pointer[row - lead + 1])
            target = where[feature[entries]]
            dense[i, target[target >= 0]] = value[entries][target >= 0]
        return dense.reshape(*rows.shape, *columns.shape)


def _padding(dtype: np.dtype) -> Any:
    return np.nan if dtype.kind == "f" else -1 if dtype.kind == "i" else "" if dtype.kind == "T" else 0


def _outer_index(array: np.ndarray, key: tuple) -> np.ndarray:
    for axis in range(len(key) - 1, -1, -1):
        array = array[(slice(None),) * axis + (key[axis],)]
    return array
