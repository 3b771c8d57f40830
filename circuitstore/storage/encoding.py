"""Plain data as canonical bytes, and their sha256: what keys and content hashes of artifacts are made of."""

from __future__ import annotations

import hashlib
import struct

import msgspec


def encode(value: object) -> bytes:
    """Plain data as canonical bytes.

    Every value carries its type and length, so no two values share an encoding.

    Raises TypeError for anything but None, bool, int, float, str, bytes, list, tuple, dict with text keys,
    msgspec.Struct.
    """
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, int):
        return _tagged(b"i", str(value).encode())
    if isinstance(value, float):
        return _tagged(b"f", value.hex().encode())
    if isinstance(value, str):
        return _tagged(b"s", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return _tagged(b"b", value)
    if isinstance(value, (list, tuple)):
        return _tagged(b"l", b"".join(map(encode, value)))
    if isinstance(value, msgspec.Struct):
        return encode({name: getattr(value, name) for name in value.__struct_fields__})
    if isinstance(value, dict):
        if any(not isinstance(name, str) for name in value):
            raise TypeError("only text keys have a canonical order")
        return _tagged(b"d", b"".join(encode(name) + encode(value[name]) for name in sorted(value)))
    raise TypeError(f"no canonical encoding for {type(value).__name__}")


def _tagged(tag: bytes, body: bytes) -> bytes:
    return tag + struct.pack("<Q", len(body)) + body


def digest(kind: str, value: object) -> str:
    """sha256 (hexadecimal) of plain data; `kind` keeps hashes of different meaning apart."""
    return hashlib.sha256(encode([f"circuitstore {kind} 1", value])).hexdigest()
