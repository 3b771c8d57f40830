"""What a cell *is*: the hash of its labelled values, whatever bytes hold them.

The content hash covers names, dims, dtypes, shapes, attributes and raw little-endian C-order values. It never
covers compressed bytes, which differ between codec versions, thread counts and writers.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import xarray as xr

from circuitstore.errors import StoreError
from circuitstore.texts import text_array

DTYPES = {
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
}
STRING = "string"
_NAMES = {np.dtype(name): name for name in DTYPES}  # numpy takes long to name a dtype


def dtype_name(array: np.ndarray) -> str:
    """Name of a storable dtype: one of `DTYPES`, or `string` for text.

    Raises StoreError for any other dtype.
    """
    if array.dtype in _NAMES:
        return _NAMES[array.dtype]
    if array.dtype.kind in "UT":
        return STRING
    # objects would need pickle, and nothing read from a store is ever executed
    if array.dtype.name not in DTYPES:
        raise StoreError(
            f"dtype {array.dtype}",
            expected=f"one of {sorted(DTYPES)} or text",
            remedy="convert the array before returning it",
        )
    return array.dtype.name


def as_array(values: Any) -> np.ndarray:
    """What indexing an array gave, as an array: a single text of variable width comes as plain text."""
    return text_array(str(values)) if isinstance(values, str) else np.asarray(values)


def raw_bytes(array: np.ndarray) -> memoryview | bytes:
    """Values as little-endian C-order bytes; text as length-prefixed UTF-8.

    Raises StoreError for text that is not Unicode, such as half of a surrogate pair.
    """
    if array.dtype.kind in "UT":
        try:
            texts = [str(text).encode() for text in array.ravel()]
        except UnicodeEncodeError as error:
            raise StoreError(
                f"text {error.object!r}", expected="Unicode text", got=f"{error.object[error.start]!r}"
            ) from None
        return b"".join(struct.pack("<Q", len(text)) + text for text in texts)
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data  # a view: copying to bytes first would halve the speed


def canonical(value: object) -> bytes:
    """Plain data as canonical JSON."""
    return msgspec.json.encode(value, order="deterministic")


class Values(NamedTuple):
    """A variable of a cell: its dims, its attributes, and its values."""

    dims: tuple[str, ...]
    attrs: Mapping[Any, Any]
    array: np.ndarray


def content_hash(cell: xr.Dataset) -> str:
    """sha256 (hexadecimal) of one cell's content: its variables in order of name, and its attributes."""
    variables = {
        str(name): Values(tuple(map(str, each.dims)), each.attrs, np.asarray(each.data))
        for name, each in cell.variables.items()
    }
    return hash_of(cell.attrs, variables)


def hash_of(attributes: Mapping[Any, Any], variables: Mapping[str, Values]) -> str:
    """The same of a cell that is no dataset."""
    digest = hashlib.sha256(b"circuitstore cell 1\n")
    digest.update(_framed(canonical(plain(attributes))))
    for name in sorted(variables):
        dims, attrs, array = variables[name]
        head = [name, list(dims), dtype_name(array), list(array.shape), plain(attrs)]
        digest.update(_framed(canonical(head)))
        body = raw_bytes(array)
        digest.update(struct.pack("<Q", len(body)))
        digest.update(body)
    return digest.hexdigest()


def plain(attributes: Mapping[Any, Any]) -> dict[str, object]:
    """Attributes as plain data. Raises StoreError for values that JSON cannot carry."""

    def convert(value: object) -> object:
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray):
            return value.tolist()
        raise StoreError(
            f"attribute of type {type(value).__name__}", expected="text, numbers, lists or dicts of them"
        )

    if not attributes:
        return {}
    found = {str(name): msgspec.to_builtins(value, enc_hook=convert) for name, value in attributes.items()}
    _require_finite(found)
    return found


def _require_finite(value: object) -> None:
    """Raise StoreError for NaN or infinity, which JSON has not: it would be read back as nothing."""
    if isinstance(value, float) and not math.isfinite(value):
        raise StoreError(
            "an attribute", expected="a finite number", got=value, remedy="store it as a variable"
        )
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        _require_finite(each)


def _framed(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data
