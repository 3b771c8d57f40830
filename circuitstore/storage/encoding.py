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


class HashOfList:
    """`digest` of lists that begin alike: `of(rest)` is `digest(kind, [*first, *rest])`."""

    def __init__(self, kind: str, first: list[object]):
        self._kind, self._first = encode(f"circuitstore {kind} 1"), b"".join(map(encode, first))
        self._begun: dict[int, hashlib._Hash] = {}  # by the length of the rest, which stands before all

    def of(self, rest: list[object]) -> str:
        """sha256 (hexadecimal) of the whole list."""
        body = b"".join(map(encode, rest))
        if len(body) not in self._begun:
            size = len(self._first) + len(body)
            inner = b"l" + struct.pack("<Q", size) + self._first
            outer = b"l" + struct.pack("<Q", len(self._kind) + 9 + size) + self._kind
            self._begun[len(body)] = hashlib.sha256(outer + inner)
        found = self._begun[len(body)].copy()
        found.update(body)
        return found.hexdigest()
