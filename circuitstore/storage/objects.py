"""Objects: one committed batch of cells as a plain Zarr v3 group with a manifest.

Immutable, named by content.

A variable that has the same shape in every cell is stacked, `(cell, *dims)`. One whose first dimension
differs from cell to cell is concatenated along it, and `size.<dim>` says how long each cell's part is. Every
chunk carries a checksum, and the manifest lists every file with its size and sha256, because Zarr by itself
reads a missing file as zeros.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from circuitstore.errors import StoreError
from circuitstore.storage.content import STRING, as_array, content_hash, dtype_name, plain
from circuitstore.storage.layout import Store, sync
from circuitstore.storage.manifest import (
    MANIFEST,
    Manifest,
    check_files,
    file_sha256,
    intact,
    object_id,
    quarantine,
    read_manifest,
)
from circuitstore.storage.records import damaged, seal
from circuitstore.texts import text_array

SIZE = "size."
PRELOAD_BYTES = 1 << 28
KEEP_BYTES = 1 << 24
CHUNK_BYTES = 1 << 18  # one read of a small cell should not decompress megabytes


def write_object(store: Store, cells: list[tuple[dict[str, str | int], xr.Dataset]]) -> Manifest:
    """Commit a batch of cells (coordinates, content) as one object.

    An intact object of the same content is kept.

    Returns its manifest. Raises StoreError: cells of different variables, dtypes no store may hold, disk
    full.
    """
    contents = [content_hash(cell) for _, cell in cells]
    name = object_id(contents)
    if intact(store, name):
        return read_manifest(store, name)
    try:
        with store.scratch() as scratch:
            draft = os.path.join(scratch, name)
            _write_group(draft, [cell for _, cell in cells])
            manifest = Manifest(name, contents, [coords for coords, _ in cells], _inventory(draft))
            with open(os.path.join(draft, MANIFEST), "wb") as file:
                file.write(seal(manifest))
            _publish(store, draft, name)
    except OSError as error:
        raise store.unwritable(error) from error
    return manifest


def _publish(store: Store, draft: str, name: str) -> None:
    for folder, _, files in os.walk(draft):
        for file in files:
            sync(os.path.join(folder, file))
        sync(folder)
    final = store.object(name)
    os.makedirs(os.path.dirname(final), exist_ok=True)
    if os.path.isdir(final) and not intact(store, name):
        quarantine(store, final)
    try:
        os.rename(draft, final)
    except OSError:
        if not intact(store, name):  # else another process published the same content first
            raise
    sync(os.path.dirname(final))


def _write_group(folder: str, cells: list[xr.Dataset]) -> None:
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


def _inventory(folder: str) -> dict[str, tuple[int, str]]:
    found = {}
    for where, _, files in os.walk(folder):
        for file in files:
            path = os.path.join(where, file)
            found[os.path.relpath(path, folder).replace(os.sep, "/")] = (
                os.path.getsize(path),
                file_sha256(path),
            )
    return dict(sorted(found.items()))


class ObjectReader:
    """Reads cells, or parts of them, of one object. Opening checks presence, size and all metadata."""

    def __init__(self, store: Store, name: str, damaged_manifest: Manifest | None = None):
        """Open an object of the store.

        With `damaged_manifest` it may be damaged: only cells that still have the content stated there can be
        read.
        """
        self.store, self.name, self.folder = store, name, store.object(name)
        self.unchecked = damaged_manifest is not None
        self.manifest = damaged_manifest or read_manifest(store, name)
        if not self.unchecked:
            self._check_metadata()
        self.group = zarr.open_group(self.folder, mode="r", zarr_format=3)
        if self.unchecked:
            self.names = sorted(entry.name for entry in os.scandir(self.folder) if entry.is_dir())
        else:  # whatever else lies there is no part of it
            self.names = sorted({file.partition("/")[0] for file in self.manifest.files if "/" in file})
        self.variables = [name for name in self.names if not name.startswith(SIZE)]
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._offsets: dict[str, np.ndarray] = {}
        self._loaded: dict[str, np.ndarray] = {}

    def _check_metadata(self) -> None:
        check_files(self.store, self.manifest)
        for file, (_, stated) in self.manifest.files.items():
            if file.endswith("zarr.json"):
                path = os.path.join(self.folder, file)
                found = file_sha256(path)
                if found != stated:
                    raise damaged(path, f"sha256 {stated[:12]}…", f"{found[:12]}…")

    def preload(self) -> ObjectReader:
        """Read small objects whole, once: each separate Zarr read costs milliseconds, whatever its size."""
        if sum(self.array(name).nbytes for name in self.variables) <= PRELOAD_BYTES:
            self._loaded = {name: self._values(name, slice(None)) for name in self.variables}
        return self

    @property
    def loaded_bytes(self) -> int:
        """How much of the object is kept in memory."""
        return sum(values.nbytes for values in self._loaded.values())

    def array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            array: Any = self.group[name]
            self._arrays[name] = array
        return self._arrays[name]

    def dims(self, name: str) -> tuple[str, ...]:
        """Dims of a variable within one cell."""
        names = self._dimensions(name)
        return names[1:] if names[:1] == ("cell",) else names

    def _dimensions(self, name: str) -> tuple[str, ...]:
        metadata: Any = self.array(name).metadata
        return tuple(map(str, metadata.dimension_names))

    def attributes(self, row: int) -> dict[str, Any]:
        """Attributes of one cell."""
        every: Any = self.group.attrs["cell_attributes"]
        return dict(every[row])

    def offsets(self, name: str) -> np.ndarray | None:
        """(cell + 1,) where each cell's part of a concatenated variable begins; None for a stacked one."""
        first = self._dimensions(name)[0]
        if first == "cell":
            return None
        if first not in self._offsets:
            self._offsets[first] = np.concatenate([[0], np.cumsum(self.whole(SIZE + first))])
        return self._offsets[first]

    def shape(self, name: str, row: int) -> tuple[int, ...]:
        """Shape of a variable in one cell."""
        offsets, shape = self.offsets(name), self.array(name).shape
        return shape[1:] if offsets is None else (int(offsets[row + 1] - offsets[row]), *shape[1:])

    def whole(self, name: str) -> np.ndarray:
        """All rows of a variable, kept in memory for later calls when small. Raises DamageError."""
        values = self._values(name, slice(None))
        if values.nbytes <= KEEP_BYTES:
            self._loaded[name] = values
        return values

    def part(self, name: str, row: int) -> np.ndarray:
        """One cell's values of a variable, from memory when `whole` kept them. Raises DamageError."""
        offsets = self.offsets(name)
        return self._values(name, row if offsets is None else slice(int(offsets[row]), int(offsets[row + 1])))

    def cell(self, row: int) -> xr.Dataset:
        """One whole cell, its content hash checked. Raises DamageError."""
        variables = {}
        for name in self.variables:
            values = np.array(
                self.part(name, row)
            )  # a view would keep all cells of a preloaded object in memory
            variables[name] = xr.Variable(self.dims(name), values, dict(self.array(name).attrs))
        cell = xr.Dataset(variables, attrs=self.attributes(row))
        found, stated = content_hash(cell), self.manifest.cells[row]
        if found != stated:
            raise damaged(f"{self.folder} row {row}", f"content {stated[:12]}…", f"{found[:12]}…")
        return cell

    def _values(self, name: str, key: Any) -> np.ndarray:
        if name in self._loaded:
            return as_array(self._loaded[name][key])
        if not self.unchecked:
            check_files(self.store, self.manifest, name + "/")
        try:
            values = as_array(self.array(name)[key])
        except (
            Exception
        ) as error:  # zarr and its codecs report corruption as whatever error they stumble over
            raise damaged(
                os.path.join(self.folder, name), "readable chunks", f"{type(error).__name__}: {error}"
            ) from error
        if values.dtype.kind in "TO":
            return text_array(values.tolist()).reshape(values.shape)  # an empty list does not tell the shape
        return values


@lru_cache(maxsize=256)
def _cached_reader(root: str, name: str, manifest_mtime: int) -> ObjectReader:
    return ObjectReader(Store(root), name)


def reader(store: Store, name: str) -> ObjectReader:
    """A reader of one object, kept open for later calls as long as the object stays the same.

    Raises DamageError.
    """
    path = os.path.join(store.object(name), MANIFEST)
    try:
        stamp = os.stat(path).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        raise damaged(path, "the object's manifest", "no such file") from None
    return _cached_reader(store.root, name, stamp)
