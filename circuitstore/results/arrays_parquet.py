"""Arrays as a folder of Parquet tables, for pandas, Polars, DuckDB, Spark and R.

Variables over the same dims are the columns of one table, which is named after them: a row for each element.
Its first columns are the dims, with their coordinates, or counted from 0 where they have none. The cells of a
tree stand in the same tables, one below the other, with the cell axes in front. So `prompt-edge.parquet` has
the edges of all graphs, and `prompt.parquet` the single numbers of each. Beside the tables, `attributes.json`
has the attributes of the whole, and of each cell what it has for itself.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import xarray as xr

from circuitstore.errors import InputError
from circuitstore.storage.names import FILE_NAME, is_file_name, shown

if TYPE_CHECKING:
    import pyarrow as pa

ENDING = ".parquet"
ATTRIBUTES, ROOT, CELLS = "attributes.json", "root", "cells"
TOLD = ("phase", "profile", "behaviour", "key", "content")  # attributes that are in every table, too
NO_DIMS = "scalars"  # the table of the single numbers of a dataset without cells
MOST_ROWS = 1 << 20  # that are in memory at once, if the first dim can be cut so
DIMS, COORDINATES, CELLS = (
    "dims",
    "coordinates",
    "cells",
)  # in a table's metadata, beside the root's attributes


class Part(msgspec.Struct, frozen=True):
    """What one dataset gives to one table: its dims, its place on the cell axes, and its columns."""

    labels: dict[str, Any]
    dims: tuple[str, ...]
    indexes: dict[str, xr.Variable]  # dim → its coordinates
    columns: dict[str, xr.Variable]
    coordinates: set[str]  # which of both are coordinates, not data

    @property
    def shape(self) -> tuple[int, ...]:
        """How long each dim is."""
        return tuple(len(self.indexes[dim]) for dim in self.dims)


def write_tables(tree: xr.DataTree, axes: Sequence[str], path: str) -> None:
    """The tree as tables. `axes` are those of the cells of a tree.

    Metadata of a table say whose it is, and as JSON the names of its dims and which of its columns are
    coordinates. Those of a column are its attributes.
    Raises InputError for a dim that cannot be a file's name, and where a column would have the name of a dim.
    """
    os.mkdir(path)
    tables: dict[tuple[str, ...], list[Part]] = {}
    cells = {}
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        labels = _labels(tree, node, axes)
        if labels:
            own = {name: value for name, value in dataset.attrs.items() if name not in tree.attrs}
            cells[node.path] = own
        for part in _parts(dataset, labels):
            tables.setdefault((*labels, *part.dims), []).append(part)
    for dims, parts in tables.items():
        coordinates = sorted(set[str]().union(*(part.coordinates for part in parts)))
        told = {name: tree.attrs[name] for name in TOLD} | {DIMS: dims, COORDINATES: coordinates}
        _write_table(os.path.join(path, _file(dims)), dims, parts, told)
    with open(os.path.join(path, ATTRIBUTES), "xb") as file:
        file.write(msgspec.json.encode({ROOT: tree.attrs, CELLS: cells}))


def _labels(tree: xr.DataTree, node: xr.DataTree, axes: Sequence[str]) -> dict[str, Any]:
    """Where a node stands on the cell axes; nothing if the nodes are not cells."""
    names = node.path.strip("/").split("/")
    return dict(zip(axes, names, strict=True)) if not tree.dataset.variables and node.is_leaf else {}


def _file(dims: Sequence[str]) -> str:
    name = ("-".join(dims) or NO_DIMS) + ENDING
    if not is_file_name(name, ending=True):
        raise InputError("dims of a variable", expected=FILE_NAME, got=shown(name))
    return name


def _parts(dataset: xr.Dataset, labels: Mapping[str, Any]) -> Iterator[Part]:
    """The variables by their dims, in whatever order a variable has them."""
    found: dict[frozenset[str], dict[str, xr.Variable]] = {}
    for name, variable in dataset.variables.items():
        if name not in dataset.indexes:
            if {str(name)} & {*labels, *map(str, variable.dims)}:
                expected = "other names than those of its dims"
                raise InputError(f"variable {shown(str(name))}", expected=expected)
            found.setdefault(frozenset(map(str, variable.dims)), {})[str(name)] = variable
    covered = frozenset[str]().union(*found)
    found |= {frozenset([str(name)]): {} for name in dataset.indexes if name not in covered}
    for among, columns in found.items():
        dims = tuple(map(str, next(iter(columns.values())).dims)) if columns else tuple(among)
        indexes = {dim: dataset[dim].variable for dim in dims}  # counted from 0 without coordinates
        coordinates = {*map(str, dataset.coords)} & {*dims, *columns}
        yield Part(dict(labels), dims, indexes, columns, coordinates)


def _write_table(path: str, dims: Sequence[str], parts: Sequence[Part], told: Mapping[str, Any]) -> None:
    """One table, of which some rows are in memory at once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(parts, told)
    steps = [dim for dim in dims if pa.types.is_integer(schema.field(dim).type)]
    encodings = {
        "use_dictionary": [name for name in schema.names if name not in steps],
        "column_encoding": dict.fromkeys(steps, "DELTA_BINARY_PACKED"),
        "compression": "zstd",
    }
    with pq.ParquetWriter(path, schema, write_page_checksum=True, **encodings) as writer:
        waiting: list[pa.Table] = []
        for part in parts:
            for rows in _pieces(part):
                waiting.append(_table(part, rows, schema))
                if sum(table.num_rows for table in waiting) >= MOST_ROWS:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
        writer.write_table(pa.concat_tables(waiting) if waiting else schema.empty_table())


def _schema(parts: Sequence[Part], told: Mapping[str, Any]) -> pa.Schema:
    """Columns of all parts with their attributes; the type that holds the values of each."""
    import pyarrow as pa

    found: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
    for part in parts:
        for axis, label in part.labels.items():
            found.setdefault(axis, []).append((np.asarray(label).dtype, {}))
        for name, variable in {**part.indexes, **part.columns}.items():
            found.setdefault(name, []).append((variable.dtype, variable.attrs))
    fields = [pa.field(name, _type(kinds), metadata=_texts(kinds[0][1])) for name, kinds in found.items()]
    return pa.schema(fields, metadata=_texts(told))


def _type(kinds: Sequence[tuple[Any, dict[str, Any]]]) -> pa.DataType:
    import pyarrow as pa

    dtypes = {dtype for dtype, _ in kinds}
    if any(dtype.kind in "UTO" for dtype in dtypes):
        return pa.string()
    return pa.from_numpy_dtype(np.result_type(*dtypes))


def _texts(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Attributes as metadata of Parquet, which are text: what is none becomes JSON."""
    return {
        str(name): value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in attributes.items()
    }


def _pieces(part: Part) -> Iterator[slice]:
    """Stretches of the first dim, each of up to `MOST_ROWS` rows or of one index."""
    if not part.dims:
        yield slice(0, 1)
        return
    step = max(1, MOST_ROWS // max(1, math.prod(part.shape[1:])))
    for first in range(0, part.shape[0], step):
        yield slice(first, first + step)


def _table(part: Part, rows: slice, schema: pa.Schema) -> pa.Table:
    """The rows of a part at a stretch of its first dim."""
    import pyarrow as pa

    indexes = [
        part.indexes[dim].values[rows if not number else slice(None)] for number, dim in enumerate(part.dims)
    ]
    shape = tuple(map(len, indexes))
    count = math.prod(shape)
    columns: dict[str, pa.Array] = {
        axis: pa.array([label] * count, schema.field(axis).type) for axis, label in part.labels.items()
    }
    for number, (dim, values) in enumerate(zip(part.dims, indexes, strict=True)):
        along = np.arange(len(values)).reshape([-1 if i == number else 1 for i in range(len(shape))])
        taken = np.broadcast_to(along, shape).ravel()
        columns[dim] = _column(values, schema.field(dim).type).take(pa.array(taken))
    for name, variable in part.columns.items():
        chosen = variable.transpose(*part.dims)
        values = chosen.isel({part.dims[0]: rows}).values if part.dims else chosen.values
        columns[name] = _column(np.ravel(values), schema.field(name).type)
    absent = {name: pa.nulls(count, schema.field(name).type) for name in schema.names if name not in columns}
    columns |= absent
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _column(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    text = values.dtype.kind in "UTO"
    return pa.array(values.tolist() if text else values, kind, from_pandas=False)


def names_in_tables(path: str) -> set[str]:
    """The names of the root's attributes; none where anything else lies in the folder."""
    import pyarrow.parquet as pq

    files = {entry.name: entry.path for entry in os.scandir(path) if entry.is_file(follow_symlinks=False)}
    with open(files.pop(ATTRIBUTES), "rb") as file:
        root = msgspec.json.decode(file.read())[ROOT]
    if len(files) + 1 < len(os.listdir(path)):
        return set()
    told = (pq.read_schema(file).metadata or {} for file in files.values())
    same = all(each.get(name.encode()) == root[name].encode() for each in told for name in TOLD)
    return set(root) if same else set()
