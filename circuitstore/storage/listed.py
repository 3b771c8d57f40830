"""What zarr is given to read of an object: the files that are listed, and arrays as the format has them.

zarr reads a missing file as fill values, follows links, loads whatever codec an array names, and allocates
whatever shape it states. An object may come from a stranger. So an array is described within the format
(`store/README.md`) and within what its files can hold, and only listed files are opened.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from circuitstore.storage.content import DTYPES, STRING
from circuitstore.storage.files import MOST_BYTES, damaged, read_part, sha256_of
from circuitstore.storage.manifest import METADATA
from circuitstore.storage.records import decoded

# A block of zstd takes at least 4 bytes and gives at most 128 KiB. Source: RFC 8878, section 3.1.1.2.
MOST_EXPANSION = (128 << 10) // 4
ASKED_FOR = (METADATA, ".zgroup", ".zarray", ".zattrs", ".zmetadata")  # by zarr, of any name
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


class ListedStore(Store):
    """The listed files of one object, for zarr. What is not listed does not exist, or is an error."""

    supports_writes = supports_deletes = supports_listing = False

    def __init__(self, root: str, folder: str, files: Mapping[str, tuple[int, str]]):
        """`root` is the store's directory.

        `files` gives size in bytes and sha256 of each file by its path below `folder`; a file whose sha256 is
        "" may hold anything.
        """
        super().__init__(read_only=True)
        self.root, self.folder, self.files = root, folder, files
        self._known: set[str] = set()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ListedStore) and (self.folder, self.files) == (other.folder, other.files)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes of a file, or a part of them. Raises DamageError."""
        if key not in self.files and key.rpartition("/")[2] in ASKED_FOR:
            return None
        start, stop = 0, self.size(key)
        if isinstance(byte_range, RangeByteRequest):
            start, stop = byte_range.start, min(byte_range.end, stop)
        elif isinstance(byte_range, OffsetByteRequest):
            start = byte_range.offset
        elif isinstance(byte_range, SuffixByteRequest):
            start = stop - byte_range.suffix
        start = min(max(0, start), stop)
        return prototype.buffer.from_bytes(self.bytes(key, start, stop))

    def size(self, key: str) -> int:
        """The size in bytes of a file. Raises DamageError for one that is not listed."""
        if key not in self.files:
            raise damaged(os.path.join(self.folder, key), "a file that the manifest lists", "none")
        return self.files[key][0]

    def bytes(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of a file from `start` to `stop`; its sha256 is checked the first time.

        Raises DamageError.
        """
        size, (_, stated) = self.size(key), self.files[key]
        path = os.path.join(self.folder, *key.split("/"))
        if stop is None and size > MOST_BYTES:
            raise damaged(path, f"at most {MOST_BYTES} bytes", f"{size} bytes")
        stop = size if stop is None else stop
        try:
            if stated and key not in self._known:
                found = sha256_of(self.root, path)
                if found != stated:
                    raise damaged(path, f"sha256 {stated[:12]}…", f"{found[:12]}…")
                self._known.add(key)
            return read_part(self.root, path, start, stop - start)
        except FileNotFoundError:
            raise damaged(path, f"{size} bytes", "no such file") from None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Several parts of files."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether a file is listed."""
        return key in self.files

    async def set(self, key: str, value: Buffer) -> None:
        """Nothing is written. Raises NotImplementedError."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Nothing is deleted. Raises NotImplementedError."""
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        """All listed files."""
        for key in self.files:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The listed files that begin so."""
        for key in self.files:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """What lies directly in a folder."""
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in {key[len(start) :].partition("/")[0] for key in self.files if key.startswith(start)}:
            yield name


def count_cells(files: ListedStore) -> int:
    """How many cells an object says it has attributes of. Raises DamageError."""
    where = os.path.join(files.folder, METADATA)
    return len(decoded(files.bytes(METADATA), _Group, where).attributes.cell_attributes)


def check_group(files: ListedStore, cells: int) -> None:
    """Check that an object has attributes of so many cells. Raises DamageError."""
    found = count_cells(files)
    if found != cells:
        where = os.path.join(files.folder, METADATA)
        raise damaged(where, f"attributes of {cells} cells", f"those of {found}")


def check_array(files: ListedStore, name: str, *, complete: bool = True) -> None:
    """Check that an array is one of the format, that its files can hold it, and if `complete` all are there.

    Raises DamageError.
    """
    key = f"{name}/{METADATA}"
    where = os.path.join(files.folder, key)
    array = decoded(files.bytes(key), _Array, where)
    text = array.data_type == STRING
    grid = decoded(msgspec.json.encode(array.chunk_grid.configuration), _Grid, where).chunk_shape
    codecs, chunk = [array.codecs], grid
    if not text and array.codecs[:1]:
        shard = decoded(msgspec.json.encode(array.codecs[0].configuration), _Shard, where)
        codecs, chunk = [*codecs, shard.codecs, shard.index_codecs], shard.chunk_shape
    if (
        array.data_type not in {STRING, *DTYPES}
        or [tuple(codec.name for codec in chain) for chain in codecs] != CODECS[text]
        or array.chunk_grid.name != "regular"
        or array.chunk_key_encoding.name != "default"
        or array.chunk_key_encoding.configuration.get("separator", "/") != "/"
        or not 0 < len(array.shape) == len(grid) == len(chunk) == len(array.dimension_names)
    ):
        raise damaged(where, "an array as the format has it", "another kind of array")
    prefix = f"{name}/c/"
    chunks = {file: size for file, (size, _) in files.files.items() if file.startswith(prefix)}
    item = 4 if text else np.dtype(array.data_type).itemsize  # a text has at least its length
    stated, most = math.prod(array.shape) * item, MOST_EXPANSION * sum(chunks.values())
    if min(array.shape) < 0 or max(array.shape) > MOST_SIZE or stated > most:
        raise damaged(where, f"a shape of at most {most} bytes, which its files can hold", array.shape)
    sizes = zip(array.shape, grid, chunk, strict=True)
    if any(not 0 < inner <= max(1, n) or not inner <= outer <= 2 * max(1, n) for n, outer, inner in sizes):
        raise damaged(where, f"chunks within the shape {array.shape}", grid)
    counts = [math.ceil(n / outer) for n, outer in zip(array.shape, grid, strict=True)]
    if complete and not _all_there(prefix, counts, chunks):
        raise damaged(where, f"{math.prod(counts)} chunks in the manifest", len(chunks))


def _all_there(prefix: str, counts: list[int], chunks: Mapping[str, int]) -> bool:
    if math.prod(counts) != len(chunks):
        return False
    indices = itertools.product(*map(range, counts)) if chunks else ()
    return all(prefix + "/".join(map(str, index)) in chunks for index in indices)
