"""The chunks of arrays as bytes: what the files of an array hold, and its values read from them.

The layout is that of Zarr v3: numbers lie in shards, which are compressed chunks and an index with their
places at the end; text is compressed file by file. It is written and read here, with the codecs that zarr
uses, because zarr takes milliseconds for an array, however small (`docs/decisions.md`). Tests compare both
ways with zarr, bit for bit.

Source: the Zarr v3 core specification, and its extension "sharding-indexed" 1.0.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.vlen import VLenUTF8
from numcodecs.zstd import compress, decompress

from circuitstore.errors import CircuitstoreError, first_line
from circuitstore.storage.content import dtype_name
from circuitstore.storage.files import MOST_BYTES, damaged
from circuitstore.storage.listed import ListedFiles, StoredArray

LEVEL = 1  # of zstd
CHECK = 4  # bytes of the checksum of an index
NOT_THERE = (2**64 - 1, 2**64 - 1)  # offset and size of a chunk that lies beyond the array
WHOLE_BYTES = 1 << 20  # a file of at most so many bytes is read at once, whatever is asked for
_FORM = {"name": "bytes", "configuration": {"endian": "little"}}
_ZSTD = {"name": "zstd", "configuration": {"level": LEVEL, "checksum": True}}

Array = np.ndarray[Any, np.dtype[Any]]
Index = tuple[int, ...]


def metadata(array: StoredArray) -> dict[str, Any]:
    """What the metadata of an array says, as plain data. A reader needs all of it."""
    shards = {
        "chunk_shape": array.chunk,
        "codecs": [_form(array.dtype), _ZSTD],
        "index_codecs": [_FORM, {"name": "crc32c"}],
        "index_location": "end",
    }
    text = [{"name": "vlen-utf8", "configuration": {}}, _ZSTD]
    return {
        "shape": array.shape,
        "data_type": dtype_name(np.empty(0, array.dtype)),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": array.file}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "" if array.is_text else np.zeros((), array.dtype).item(),
        "codecs": text if array.is_text else [{"name": "sharding_indexed", "configuration": shards}],
        "attributes": array.attrs,
        "dimension_names": array.dims,
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def encoded(array: StoredArray, values: Array) -> Iterator[tuple[str, bytes]]:
    """The path of each file of an array, and its bytes."""
    for at in _grid(array.shape, array.file):
        part = values[_box(at, array.file)]
        yield _key(array, at), _text(array, part) if array.is_text else _shard(array, part)


def rows(files: ListedFiles, array: StoredArray, start: int, stop: int) -> Array:
    """The values from row `start` to `stop` of the first dim; text as objects. Raises DamageError."""
    shape = (max(0, stop - start), *array.shape[1:])
    result: Array = np.empty(shape, dtype=object if array.is_text else array.dtype)
    if not result.size:
        return result
    grid = _grid(array.shape, array.file)
    for at in (at for at in grid if _overlaps(at[0], array.file[0], start, stop)):
        path = files.path(_key(array, at))
        try:
            for begin, chunk in _chunks(files, array, at, start, stop):
                if chunk.shape == result.shape and begin == (start, *[0] * (len(shape) - 1)):
                    return chunk  # without copying it
                _put(result, chunk, (begin[0] - start, *begin[1:]))
        except CircuitstoreError:
            raise
        except Exception as error:
            got = f"{type(error).__name__}: {first_line(error)}"
            raise damaged(path, "readable chunks", got) from error
    return result


def _chunks(
    files: ListedFiles, array: StoredArray, at: Index, start: int, stop: int
) -> Iterator[tuple[Index, Array]]:
    """Where each chunk of a file begins in the array, and its values, of those with such rows."""
    key, begin = _key(array, at), tuple(i * n for i, n in zip(at, array.file, strict=True))
    if array.is_text:
        texts = VLenUTF8().decode(_decompressed(files.path(key), files.read(key), range(MOST_BYTES + 1)))
        yield begin, texts.reshape(array.file)
        return
    counts = [outer // inner for outer, inner in zip(array.file, array.chunk, strict=True)]
    size, head = files.size(key), 16 * math.prod(counts) + CHECK
    if head > size:
        raise damaged(files.path(key), f"an index of {head} bytes", f"{size} bytes")
    whole = files.read(key) if size <= WHOLE_BYTES else b""
    index = _index(files.path(key), whole[size - head :] or files.part(key, size - head, size))
    at_first = range(
        max(0, (start - begin[0]) // array.chunk[0]), min(counts[0], -(-(stop - begin[0]) // array.chunk[0]))
    )
    bytes_of_chunk = math.prod(array.chunk) * array.dtype.itemsize
    little = array.dtype.newbyteorder("<")
    for within in itertools.product(at_first, *map(range, counts[1:])):
        first = tuple(b + i * n for b, i, n in zip(begin, within, array.chunk, strict=True))
        if any(i >= n for i, n in zip(first, array.shape, strict=True)):
            continue  # a file may have room for more chunks than there are
        offset, count = index[np.ravel_multi_index(within, counts)].tolist()
        if offset + count > size - head or count > MOST_BYTES:
            raise damaged(files.path(key), "chunks that are there", f"one at {offset}")
        raw = whole[offset : offset + count] or files.part(key, offset, offset + count)
        values = _decompressed(files.path(key), raw, range(bytes_of_chunk, bytes_of_chunk + 1))
        yield first, np.frombuffer(values, little).reshape(array.chunk).astype(array.dtype, copy=False)


def _decompressed(path: str, raw: bytes, sizes: range) -> bytes:
    """The content of a frame of zstd that says that it has one of these sizes. Raises DamageError.

    zstd takes the memory that a frame asks for, so the size is looked at first. Source: RFC 8878, section
    3.1.1.1.
    """
    told = raw[4] if len(raw) > 4 else 0
    begin = 5 + (not told & 0x20) + (0, 1, 2, 4)[told & 3]  # behind the window and the dictionary
    width = (told >> 5 & 1, 2, 4, 8)[told >> 6]
    size = int.from_bytes(raw[begin : begin + width], "little") + 256 * (width == 2)
    if not width or size not in sizes:
        expected = f"chunks of {sizes[0]} bytes" if len(sizes) == 1 else f"at most {sizes[-1]} bytes of text"
        raise damaged(path, expected, f"{size} bytes" if width else "a size that is not said")
    values: bytes = decompress(raw)
    return values


def _index(path: str, raw: bytes) -> Array:
    """(chunk, 2) offset and size of each chunk in a shard. Raises DamageError."""
    if google_crc32c.value(raw[:-CHECK]).to_bytes(CHECK, "little") != raw[-CHECK:]:
        raise damaged(path, "an index with its checksum", "another checksum")
    return np.frombuffer(raw[:-CHECK], "<u8").reshape(-1, 2)


def _shard(array: StoredArray, part: Array) -> bytes:
    body, places, end = list[bytes](), list[tuple[int, int]](), 0
    little = part.dtype.newbyteorder("<")
    for within in _grid(array.file, array.chunk):
        chunk = part[_box(within, array.chunk)]
        if not chunk.size:  # beyond the array
            places.append(NOT_THERE)
            continue
        if chunk.shape != array.chunk:  # the last of a dim is filled up
            full = np.zeros(array.chunk, part.dtype)
            full[tuple(map(slice, chunk.shape))] = chunk
            chunk = full
        body.append(compress(np.ascontiguousarray(chunk, little), LEVEL, True))
        places.append((end, len(body[-1])))
        end += len(body[-1])
    index = np.array(places, dtype="<u8").tobytes()
    return b"".join([*body, index, google_crc32c.value(index).to_bytes(CHECK, "little")])


def _text(array: StoredArray, part: Array) -> bytes:
    texts = np.full(array.file, "", dtype=object)
    texts[tuple(map(slice, part.shape))] = part.astype(object)
    raw: bytes = compress(VLenUTF8().encode(texts.ravel()), LEVEL, True)
    return raw


def _form(dtype: np.dtype[Any]) -> dict[str, Any]:
    """The codec that makes bytes of values; a byte has no order."""
    return _FORM if dtype.itemsize > 1 else {"name": "bytes"}


def _grid(shape: Index, box: Index) -> Iterator[Index]:
    """The indices of the boxes that a shape is cut into; none where it has no values."""
    return itertools.product(*(range(math.ceil(n / m)) for n, m in zip(shape, box, strict=True)))


def _box(at: Index, box: Index) -> tuple[slice, ...]:
    return tuple(slice(i * n, (i + 1) * n) for i, n in zip(at, box, strict=True))


def _overlaps(at: int, size: int, start: int, stop: int) -> bool:
    return at * size < stop and (at + 1) * size > start


def _key(array: StoredArray, at: Index) -> str:
    return os.path.join(array.name, "c", *map(str, at)).replace(os.sep, "/")


def _put(result: Array, chunk: Array, begin: Index) -> None:
    """Copy a chunk to where it begins in the result, which it may lie partly outside of."""
    target = tuple(slice(max(b, 0), b + n) for b, n in zip(begin, chunk.shape, strict=True))
    found = result[target]
    source = tuple(slice(max(-b, 0), max(-b, 0) + n) for b, n in zip(begin, found.shape, strict=True))
    found[...] = chunk[source]
