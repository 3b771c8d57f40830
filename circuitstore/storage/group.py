"""Writing a batch of cells as a Zarr v3 group, as the format has it (`store/README.md`)."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from circuitstore.errors import StoreError
from circuitstore.storage.content import STRING, dtype_name, plain
from circuitstore.storage.files import sha256_of

SIZE = "size."
CHUNK_BYTES = 1 << 18  # one read of a small cell should not decompress megabytes


def write_group(folder: str, cells: list[xr.Dataset]) -> None:
    """Write cells as the group `folder`.

    Raises StoreError: cells of different variables, dtypes no store may hold.
    """
    group = zarr.create_group(
        folder, zarr_format=3, attributes={"cell_attributes": [plain(cell.attrs) for cell in cells]}
    )
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
        _write_array(group, SIZE + dim, sizes, ["cell"], {}, sizes.itemsize)
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
            _write_array(group, name, joined, dims, attrs, joined[:1].nbytes)
        else:
            _write_array(group, name, np.stack(arrays), ["cell", *dims], attrs, arrays[0].nbytes)


def _write_array(
    group: zarr.Group, name: str, array: np.ndarray, dims: list[str], attrs: dict[str, Any], row_bytes: int
) -> None:
    if dtype_name(array) == STRING:
        array = array.astype(np.dtypes.StringDType())
    rows = len(array)
    per_chunk = max(1, min(rows, CHUNK_BYTES // max(1, row_bytes)))
    chunk = (per_chunk, *(max(1, n) for n in array.shape[1:]))
    shard = (per_chunk * max(1, math.ceil(rows / per_chunk)), *chunk[1:])
    stored = group.create_array(
        name,
        shape=array.shape,
        dtype=array.dtype,
        chunks=chunk,
        shards=None if array.dtype.kind == "T" else shard,  # zarr cannot index shards of variable-length text
        compressors=[ZstdCodec(level=1, checksum=True)],
        dimension_names=dims,
        attributes=attrs,
        config={
            "write_empty_chunks": True
        },  # or a chunk of zeros would leave no file, and a lost file would look the same
    )
    stored[...] = array


def inventory(folder: str) -> dict[str, tuple[int, str]]:
    """Path of every file below a folder → size in bytes and sha256, in order of path."""
    found = {}
    for where, _, files in os.walk(folder):
        for file in files:
            path = os.path.join(where, file)
            found[os.path.relpath(path, folder).replace(os.sep, "/")] = (
                os.path.getsize(path),
                sha256_of(folder, path),
            )
    return dict(sorted(found.items()))
