"""Objects: one committed batch of cells as a plain Zarr v3 group with a manifest.

Immutable, named by content.

A variable that has the same shape in every cell is stacked, `(cell, *dims)`. One whose first dimension
differs from cell to cell is concatenated along it, and `size.<dim>` says how long each cell's part is. Every
chunk carries a checksum, and the manifest lists every file with its size and sha256, because Zarr by itself
reads a missing file as zeros.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
import zarr

from circuitstore.errors import CircuitstoreError, first_line
from circuitstore.storage.content import as_array, content_hash
from circuitstore.storage.files import check_folders, damaged, refused, sync
from circuitstore.storage.group import SIZE, inventory, write_group
from circuitstore.storage.layout import Store, quarantine
from circuitstore.storage.listed import ListedStore, check_array, check_group
from circuitstore.storage.manifest import (
    MANIFEST,
    Manifest,
    check_contents,
    check_files,
    intact,
    object_id,
    read_manifest,
)
from circuitstore.storage.records import seal
from circuitstore.storage.sparse import COUNT, PARTS, POINTER, check_sparse
from circuitstore.texts import text_array

PRELOAD_BYTES = 1 << 28
KEEP_BYTES = 1 << 24


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
            write_group(draft, [cell for _, cell in cells])
            manifest = Manifest(name, contents, [coords for coords, _ in cells], inventory(draft))
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
    store.make_folder(os.path.dirname(final))
    if os.path.lexists(final) and not intact(store, name):
        quarantine(store, final)
    try:
        os.rename(draft, final)
    except OSError:
        if not intact(store, name):  # else another process published the same content first
            raise
    sync(os.path.dirname(final))


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
            check_files(store, self.manifest)
            check_contents(store, self.manifest, metadata_only=True)
        # Whatever else lies there is no part of it.
        self.files = ListedStore(store.root, self.folder, self.manifest.files)
        self.names = sorted({file.partition("/")[0] for file in self.manifest.files if "/" in file})
        self.variables = [name for name in self.names if not name.startswith(SIZE)]
        check_group(self.files, len(self.manifest.cells))
        for array in self.names:
            check_array(self.files, array, complete=not self.unchecked)
        with _reading(self.folder):
            self.group = zarr.open_group(self.files, mode="r", zarr_format=3, use_consolidated=False)
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._offsets: dict[str, np.ndarray] = {}
        self._loaded: dict[str, np.ndarray] = {}

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
            with _reading(os.path.join(self.folder, name)):
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

    def holding(self, content: str, row: int) -> ObjectReader:
        """Itself, if this row holds this content. Raises DamageError."""
        cells = self.manifest.cells
        if not 0 <= row < len(cells) or cells[row] != content:
            got = f"{cells[row][:12]}…" if 0 <= row < len(cells) else f"{len(cells)} rows"
            raise damaged(f"{self.folder} row {row}", f"content {content[:12]}…", got)
        return self

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
            sizes, rows = self.whole(SIZE + first), self.array(name).shape[0]
            if sizes.shape != (len(self.manifest.cells),) or min(sizes, default=0) < 0 or sum(sizes) != rows:
                where = os.path.join(self.folder, SIZE + first)
                raise damaged(where, f"sizes that add up to {rows}", f"{sizes.shape} sizes")
            self._offsets[first] = np.concatenate([[0], np.cumsum(sizes)])
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

    def sparse(self, name: str, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Pointer, feature, value and feature count of a sparse variable in one cell. Raises DamageError."""
        missing = [each for each in (*(name + part for part in PARTS), COUNT) if each not in self.variables]
        if missing:
            raise damaged(os.path.join(self.folder, name), "a sparse variable", f"no {missing[0]}")
        pointer, feature, value = (self.part(name + part, row) for part in PARTS)
        count = self.part(COUNT, row)
        check_sparse(os.path.join(self.folder, name), pointer, feature, value, count)
        return pointer, feature, value, int(count)

    def cell(self, row: int) -> xr.Dataset:
        """One whole cell, its content hash checked. Raises DamageError."""
        variables = {}
        for name in self.variables:
            # A view would keep all cells of a preloaded object in memory.
            values = np.array(self.part(name, row))
            variables[name] = xr.Variable(self.dims(name), values, dict(self.array(name).attrs))
        for name in (name for name in self.variables if name.endswith(POINTER)):
            self.sparse(name.removesuffix(POINTER), row)
        with _reading(self.folder):
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
        array = self.array(name)
        with _reading(os.path.join(self.folder, name)):
            values = as_array(array[key])
        if values.dtype.kind in "TO":
            return text_array(values.tolist()).reshape(values.shape)  # an empty list does not tell the shape
        return values


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Make DamageError of whatever zarr and its codecs stumble over in this block."""
    try:
        yield
    except CircuitstoreError:
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {first_line(error)}"
        raise damaged(where, "readable chunks", got) from error


@lru_cache(maxsize=256)
def _cached_reader(root: str, name: str, manifest_mtime: int) -> ObjectReader:
    return ObjectReader(Store(root), name)


def reader(store: Store, name: str) -> ObjectReader:
    """A reader of one object, kept open for later calls as long as the object stays the same.

    Raises DamageError.
    """
    path = os.path.join(store.object(name), MANIFEST)
    try:
        check_folders(store.root, path)
        stamp = os.lstat(path).st_mtime_ns
    except FileNotFoundError:
        raise damaged(path, "the object's manifest", "no such file") from None
    except OSError as error:
        raise refused(path, error) from error
    return _cached_reader(store.root, name, stamp)
