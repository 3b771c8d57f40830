"""The files of an object that its manifest lists, and arrays described as the format has them.

An object may come from a stranger. So only listed files are opened, and an array is described within the
format (`store/README.md`) and within what its files can hold before anything of it is read
(`circuitstore/storage/chunks.py`).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from circuitstore.storage.content import DTYPES, STRING
from circuitstore.storage.files import MOST_BYTES, damaged, read_bytes, read_part, sha256_of
from circuitstore.storage.manifest import METADATA
from circuitstore.storage.records import decoded

# A block of zstd takes at least 4 bytes and gives at most 128 KiB. Source: RFC 8878, section 3.1.1.2.
MOST_EXPANSION = (128 << 10) // 4
MOST_SIZE = 1 << 31  # of a dim of an array without values
CODECS = {
    True: [("vlen-utf8", "zstd")],
    False: [("sharding_indexed",), ("bytes", "zstd"), ("bytes", "crc32c")],
}


class _Named(msgspec.Struct, frozen=True):
    name: str
    configuration: dict[str, Any] = {}


class _Grid(msgspec.Struct, frozen=True):
    chunk_shape: list[int]


class _Shard(msgspec.Struct, frozen=True):
    chunk_shape: list[int]
    codecs: list[_Named]
    index_codecs: list[_Named]
    index_location: str = "end"


class _Array(msgspec.Struct, frozen=True):
    """The metadata of an array in Zarr v3, as far as reading depends on it."""

    shape: list[int]
    data_type: str
    chunk_grid: _Named
    chunk_key_encoding: _Named
    codecs: list[_Named]
    dimension_names: list[str]
    attributes: dict[str, Any]


class _Attributes(msgspec.Struct, frozen=True):
    cell_attributes: list[dict[str, Any]]


class _Group(msgspec.Struct, frozen=True):
    attributes: _Attributes


class StoredArray(msgspec.Struct, frozen=True):
    """An array of an object, as its metadata describes it.

    file: the shape of what one file holds; chunk: that of what is compressed by itself. Text has no smaller
    chunks in its files. Text has the dtype of variable width.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    attrs: dict[str, Any]
    file: tuple[int, ...]
    chunk: tuple[int, ...]

    @property
    def is_text(self) -> bool:
        return self.dtype.kind == "T"

    @property
    def nbytes(self) -> int:
        """Bytes of all values in memory; of a text, those of its place in the array."""
        return math.prod(self.shape) * self.dtype.itemsize


class ListedFiles:
    """The listed files of one object. What is not listed is an error."""

    def __init__(self, root: str, folder: str, files: Mapping[str, tuple[int, str]]):
        """`root` is the store's directory.

        `files` gives size in bytes and sha256 of each file by its path below `folder`; a file whose sha256 is
        "" may hold anything.
        """
        self.root, self.folder, self.files = root, folder, files
        self._known: set[str] = set()

    def size(self, key: str) -> int:
        """The size in bytes of a file. Raises DamageError for one that is not listed."""
        if key not in self.files:
            raise damaged(self.path(key), "a file that the manifest lists", "none")
        return self.files[key][0]

    def path(self, key: str) -> str:
        """Where a file lies."""
        return os.path.join(self.folder, *key.split("/"))

    def read(self, key: str) -> bytes:
        """All bytes of a file; its sha256 is checked the first time. Raises DamageError."""
        size, path = self.size(key), self.path(key)
        if size > MOST_BYTES:
            raise damaged(path, f"at most {MOST_BYTES} bytes", f"{size} bytes")
        try:
            raw = read_bytes(self.root, path)
        except FileNotFoundError:
            raise damaged(path, f"{size} bytes", "no such file") from None
        if len(raw) != size:
            raise damaged(path, f"{size} bytes", f"{len(raw)} bytes")
        if key not in self._known:
            self._check(key, hashlib.sha256(raw).hexdigest())
        return raw

    def part(self, key: str, start: int, stop: int) -> bytes:
        """The bytes of a file from `start` to `stop`; the sha256 of all is checked the first time.

        Raises DamageError.
        """
        size, path = self.size(key), self.path(key)
        try:
            if key not in self._known:
                self._check(key, sha256_of(self.root, path) if self.files[key][1] else "")
            return read_part(self.root, path, start, stop - start)
        except FileNotFoundError:
            raise damaged(path, f"{size} bytes", "no such file") from None

    def _check(self, key: str, found: str) -> None:
        stated = self.files[key][1]
        if stated and found != stated:
            raise damaged(self.path(key), f"sha256 {stated[:12]}…", f"{found[:12]}…")
        self._known.add(key)


def cell_attributes(files: ListedFiles) -> list[dict[str, Any]]:
    """The attributes of each cell of an object. Raises DamageError."""
    where = os.path.join(files.folder, METADATA)
    return decoded(files.read(METADATA), _Group, where).attributes.cell_attributes


def checked_attributes(files: ListedFiles, cells: int) -> list[dict[str, Any]]:
    """The same of an object that has so many cells. Raises DamageError."""
    found = cell_attributes(files)
    if len(found) != cells:
        where = os.path.join(files.folder, METADATA)
        raise damaged(where, f"attributes of {cells} cells", f"those of {len(found)}")
    return found


def checked_array(files: ListedFiles, name: str, *, complete: bool = True) -> StoredArray:
    """An array of the format that its files can hold, with if `complete` all of them there.

    Raises DamageError.
    """
    key = f"{name}/{METADATA}"
    where = os.path.join(files.folder, key)
    array = decoded(files.read(key), _Array, where)
    text = array.data_type == STRING
    grid = decoded(msgspec.json.encode(array.chunk_grid.configuration), _Grid, where).chunk_shape
    codecs, chunk, at_end = [array.codecs], grid, True
    if not text and array.codecs[:1]:
        shard = decoded(msgspec.json.encode(array.codecs[0].configuration), _Shard, where)
        codecs, chunk = [*codecs, shard.codecs, shard.index_codecs], shard.chunk_shape
        at_end = shard.index_location == "end"
    orders = [codec.configuration.get("endian", "little") for chain in codecs for codec in chain]
    if (
        array.data_type not in {STRING, *DTYPES}
        or [tuple(codec.name for codec in chain) for chain in codecs] != CODECS[text]
        or any(order != "little" for order in orders)
        or not at_end
        or array.chunk_grid.name != "regular"
        or array.chunk_key_encoding.name != "default"
        or array.chunk_key_encoding.configuration.get("separator", "/") != "/"
        or not 0 < len(array.shape) == len(grid) == len(chunk) == len(array.dimension_names)
    ):
        raise damaged(where, "an array as the format has it", "another kind of array")
    dtype = np.dtype(np.dtypes.StringDType() if text else array.data_type)
    prefix = f"{name}/c/"
    chunks = {file: size for file, (size, _) in files.files.items() if file.startswith(prefix)}
    item = 4 if text else dtype.itemsize  # a text has at least its length
    stated, most = math.prod(array.shape) * item, MOST_EXPANSION * sum(chunks.values())
    if min(array.shape) < 0 or max(array.shape) > MOST_SIZE or stated > most:
        raise damaged(where, f"a shape of at most {most} bytes, which its files can hold", array.shape)
    sizes = zip(array.shape, grid, chunk, strict=True)
    if any(not 0 < inner <= max(1, n) or not inner <= outer <= 2 * max(1, n) for n, outer, inner in sizes):
        raise damaged(where, f"chunks within the shape {array.shape}", grid)
    if any(outer % inner for outer, inner in zip(grid, chunk, strict=True)):
        raise damaged(where, f"files of whole chunks {chunk}", grid)
    counts = [math.ceil(n / outer) for n, outer in zip(array.shape, grid, strict=True)]
    if complete and not _all_there(prefix, counts, chunks):
        raise damaged(where, f"{math.prod(counts)} chunks in the manifest", len(chunks))
    dims, attributes = tuple(array.dimension_names), array.attributes
    return StoredArray(name, tuple(array.shape), dtype, dims, attributes, tuple(grid), tuple(chunk))


def _all_there(prefix: str, counts: list[int], chunks: Mapping[str, int]) -> bool:
    if math.prod(counts) != len(chunks):
        return False
    indices = itertools.product(*map(range, counts)) if chunks else ()
    return all(prefix + "/".join(map(str, index)) in chunks for index in indices)
