"""Objects: one committed batch of cells as a plain Zarr v3 group with a manifest.

Immutable, named by content.

A variable that has the same shape in every cell is stacked, `(cell, *dims)`. One whose first dimension
differs from cell to cell is concatenated along it, and `size.<dim>` says how long each cell's part is. Every
chunk carries a checksum, and the manifest lists every file with its size and sha256, because Zarr by itself
reads a missing file as zeros.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

from circuitstore.errors import first_line
from circuitstore.storage.chunks import rows
from circuitstore.storage.content import Values, as_array, content_hash, hash_of
from circuitstore.storage.files import check_folders, damaged, refused, sync
from circuitstore.storage.group import SIZE, files_of
from circuitstore.storage.hold import hold
from circuitstore.storage.layout import Store, quarantine
from circuitstore.storage.listed import ListedFiles, StoredArray, checked_array, checked_attributes
from circuitstore.storage.manifest import (
    MANIFEST,
    Manifest,
    check_contents,
    check_files,
    intact,
    object_id,
    read_manifest,
)
from circuitstore.storage.modes import share
from circuitstore.storage.records import seal
from circuitstore.storage.sparse import COUNT, PARTS, POINTER, SparseCells, check_sparse, joined
from circuitstore.texts import text_array

PRELOAD_BYTES = 1 << 28
KEEP_BYTES = 1 << 24
SMALL_BYTES = 1 << 20
CELL_BYTES = 1 << 10  # of a cell in an open object, without values: its hash, coordinates and attributes


def write_object(store: Store, cells: list[tuple[dict[str, str | int], xr.Dataset]]) -> Manifest:
    """Commit a batch of cells (coordinates, content) as one object.

    An intact object of the same content is kept.

    Returns its manifest. Raises StoreError: cells of different variables, dtypes no store may hold, disk
    full.
    """
    contents = [content_hash(cell) for _, cell in cells]
    name = object_id(contents)
    if hold(store.object(name)) and intact(store, name):
        return read_manifest(store, name)
    try:
        with store.scratch() as scratch:
            draft = os.path.join(scratch, name)
            os.mkdir(draft)
            files = {path: _written(draft, path, raw) for path, raw in files_of([cell for _, cell in cells])}
            coords = [coords for coords, _ in cells]
            manifest = Manifest(name, contents, coords, dict(sorted(files.items())))
            _written(draft, MANIFEST, seal(manifest))
            publish_object(store, draft, name)
    except OSError as error:
        raise store.unwritable(error) from error
    return manifest


def _written(folder: str, path: str, raw: bytes) -> tuple[int, str]:
    """Write a file below a folder, and flush it to the disk. Returns its size and sha256."""
    target = os.path.join(folder, *path.split("/"))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "xb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    return len(raw), hashlib.sha256(raw).hexdigest()


def publish_object(store: Store, draft: str, name: str) -> None:
    """Move a draft, all of whose files are on the disk, to where the object belongs. Raises OSError.

    An intact object that is there already is kept.
    """
    for folder, _, files in os.walk(draft):
        share(store.root, [folder, *(os.path.join(folder, file) for file in files)])
        sync(folder)
    final = store.object(name)
    store.make_folder(os.path.dirname(final))
    if os.path.lexists(final) and not intact(store, name):
        quarantine(store, final)
    try:
        os.rename(draft, final)
    except OSError:
        # Else another process published the same content first.
        if not (hold(final) and intact(store, name)):
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
        self.files = ListedFiles(store.root, self.folder, self.manifest.files)
        self.names = sorted({file.partition("/")[0] for file in self.manifest.files if "/" in file})
        self.variables = [name for name in self.names if not name.startswith(SIZE)]
        self._attributes = checked_attributes(self.files, len(self.manifest.cells))
        complete = not self.unchecked
        self._arrays = {each: checked_array(self.files, each, complete=complete) for each in self.names}
        self._offsets: dict[str, np.ndarray] = {}
        self._loaded: dict[str, np.ndarray] = {}
        self._sparse: dict[str, SparseCells] = {}

    def preload(self) -> ObjectReader:
        """Read small objects whole, once."""
        if self.nbytes <= PRELOAD_BYTES:
            self._loaded = {name: self._rows(name) for name in self.variables}
        return self

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in memory."""
        return sum(self.array(name).nbytes for name in self.variables)

    @property
    def loaded_bytes(self) -> int:
        """How much of the object is kept in memory: values, and what is known of each cell."""
        described = len(self.manifest.cells) * CELL_BYTES
        return described + sum(values.nbytes for values in self._loaded.values())

    def array(self, name: str) -> StoredArray:
        """What the metadata of an array says. Raises DamageError."""
        if name not in self._arrays:
            raise damaged(os.path.join(self.folder, name), "an array", "none")
        return self._arrays[name]

    def dims(self, name: str) -> tuple[str, ...]:
        """Dims of a variable within one cell."""
        names = self.array(name).dims
        return names[1:] if names[:1] == ("cell",) else names

    def holding(self, content: str, row: int) -> ObjectReader:
        """Itself, if this row holds this content. Raises DamageError."""
        cells = self.manifest.cells
        if not 0 <= row < len(cells) or cells[row] != content:
            got = f"{cells[row][:12]}…" if 0 <= row < len(cells) else f"{len(cells)} rows"
            raise damaged(f"{self.folder} row {row}", f"content {content[:12]}…", got)
        return self

    def attributes(self, row: int) -> dict[str, Any]:
        """Attributes of one cell."""
        return dict(self._attributes[row])

    def offsets(self, name: str) -> np.ndarray | None:
        """(cell + 1,) where each cell's part of a concatenated variable begins; None for a stacked one."""
        first = self.array(name).dims[0]
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
        values = self._loaded[name] if name in self._loaded else self._rows(name)
        if values.nbytes <= KEEP_BYTES:
            self._loaded[name] = values
        return values

    def part(self, name: str, row: int) -> np.ndarray:
        """One cell's values of a variable. Small variables are read whole and kept. Raises DamageError."""
        offsets = self.offsets(name)
        start, stop = (row, row + 1) if offsets is None else (int(offsets[row]), int(offsets[row + 1]))
        small = name not in self._loaded and self.array(name).nbytes <= SMALL_BYTES
        loaded = self.whole(name) if small else self._loaded.get(name)
        values = self._rows(name, start, stop) if loaded is None else loaded[start:stop]
        return as_array(values[0]) if offsets is None else values

    def sparse(self, name: str, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Pointer, feature, value and feature count of a sparse variable in one cell. Raises DamageError."""
        missing = [each for each in (*(name + part for part in PARTS), COUNT) if each not in self.variables]
        if missing:
            raise damaged(os.path.join(self.folder, name), "a sparse variable", f"no {missing[0]}")
        pointer, feature, value = (self.part(name + part, row) for part in PARTS)
        count = self.part(COUNT, row)
        check_sparse(os.path.join(self.folder, name), pointer, feature, value, count)
        return pointer, feature, value, int(count)

    def sparse_cells(self, name: str, rows: np.ndarray) -> SparseCells:
        """A sparse variable in several cells.

        All cells are read, and kept in memory when small, if most are asked for. Raises DamageError.
        """
        if name not in self._sparse and 2 * len(rows) < len(self.manifest.cells):
            return joined([self.sparse(name, int(row)) for row in rows])
        if name not in self._sparse:
            for part in PARTS:
                self.whole(name + part)
            every = joined([self.sparse(name, row) for row in range(len(self.manifest.cells))])
            if every.nbytes > KEEP_BYTES:
                return every.take(rows)
            self._sparse[name] = every
        return self._sparse[name].take(rows)

    def cell(self, row: int) -> xr.Dataset:
        """One whole cell, its content hash checked. Raises DamageError."""
        variables = {}
        for name, (dims, attrs, array) in self.check(row).items():
            variables[name] = xr.Variable(dims, np.array(array), dict(attrs))  # a view would keep all cells
        try:
            return xr.Dataset(variables, attrs=self.attributes(row))
        except ValueError as error:
            raise damaged(self.folder, "variables that make a cell", first_line(error)) from error

    def check(self, row: int) -> dict[str, Values]:
        """The variables of one cell, whose content is what the manifest says. Raises DamageError."""
        variables, sizes = {}, dict[str, int]()
        for name in self.variables:
            made = variables[name] = Values(self.dims(name), self.array(name).attrs, self.part(name, row))
            if any(
                sizes.setdefault(*pair) != pair[1] for pair in zip(made.dims, made.array.shape, strict=False)
            ):
                raise damaged(self.folder, "variables that make a cell", f"another size of a dim in {name}")
        for name in (name for name in self.variables if name.endswith(POINTER)):
            self.sparse(name.removesuffix(POINTER), row)
        found, stated = hash_of(self.attributes(row), variables), self.manifest.cells[row]
        if found != stated:
            raise damaged(f"{self.folder} row {row}", f"content {stated[:12]}…", f"{found[:12]}…")
        return variables

    def _rows(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        array = self.array(name)
        if not self.unchecked:
            check_files(self.store, self.manifest, name + "/")
        values = rows(self.files, array, start, array.shape[0] if stop is None else stop)
        # An empty list does not tell the shape.
        return text_array(values.tolist()).reshape(values.shape) if array.is_text else values


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
