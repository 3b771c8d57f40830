"""A batch of cells as the files of a Zarr v3 group, as the format has it (`store/README.md`)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import xarray as xr

from circuitstore.errors import StoreError
from circuitstore.storage.chunks import encoded, metadata
from circuitstore.storage.content import STRING, dtype_name, plain
from circuitstore.storage.listed import StoredArray
from circuitstore.storage.manifest import METADATA

SIZE = "size."
CHUNK_BYTES = 1 << 18  # one read of a small cell should not decompress megabytes


def files_of(cells: list[xr.Dataset]) -> Iterator[tuple[str, bytes]]:
    """The path and the bytes of each file of a group of cells.

    Raises StoreError: cells of different variables, dtypes no store may hold.
    """
    attributes = {"cell_attributes": [plain(cell.attrs) for cell in cells]}
    yield METADATA, _json({"attributes": attributes, "zarr_format": 3, "node_type": "group"})
    first = cells[0]
    if any(set(cell.variables) != set(first.variables) for cell in cells):
        raise StoreError(
            "cells of one batch",
            expected="the same variables in each",
            got=sorted({str(set(c.variables)) for c in cells}),
        )
    varying = {d for cell in cells for d, n in cell.sizes.items() if n != first.sizes.get(d)}
    for dim in sorted(map(str, varying)):
        sizes = np.array([cell.sizes[dim] for cell in cells], dtype=np.int64)
        yield from _array(SIZE + dim, sizes, ["cell"], {}, sizes.itemsize)
    for name in sorted(map(str, first.variables)):
        variables = [cell.variables[name] for cell in cells]
        dims, attrs = list(map(str, variables[0].dims)), plain(variables[0].attrs)
        kinds = {(v.dims, dtype_name(np.asarray(v.data)), repr(plain(v.attrs))) for v in variables}
        if len(kinds) > 1:
            raise StoreError(
                f"variable {name}",
                expected="the same dims, dtype and attributes in each cell",
                got=sorted(map(str, kinds)),
            )
        if varying.intersection(dims[1:]):
            raise StoreError(
                f"variable {name}{tuple(dims)}", expected="only the first dimension to differ between cells"
            )
        arrays = [np.asarray(v.data) for v in variables]
        if varying.intersection(dims):
            joined = np.concatenate(arrays)
            yield from _array(name, joined, dims, attrs, joined[:1].nbytes)
        else:
            yield from _array(name, np.stack(arrays), ["cell", *dims], attrs, arrays[0].nbytes)


def _array(
    name: str, values: np.ndarray, dims: list[str], attrs: dict[str, Any], row_bytes: int
) -> Iterator[tuple[str, bytes]]:
    if dtype_name(values) == STRING:
        values = values.astype(np.dtypes.StringDType())
    rows = len(values)
    per_chunk = max(1, min(rows, CHUNK_BYTES // max(1, row_bytes)))
    chunk = (per_chunk, *(max(1, n) for n in values.shape[1:]))
    shard = (per_chunk * max(1, math.ceil(rows / per_chunk)), *chunk[1:])
    # Texts differ in length, so a shard could not have an index of them.
    file = chunk if values.dtype.kind == "T" else shard
    array = StoredArray(name, values.shape, values.dtype, tuple(dims), attrs, file, chunk)
    yield f"{name}/{METADATA}", _json(metadata(array))
    yield from encoded(array, values)


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)
