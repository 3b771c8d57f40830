"""Sealed JSON records: small files that carry the sha256 of what they say.

    {"sha256":"<64 hexadecimal digits>","record":{…}}

The seal covers the bytes of the record as written, so any JSON reader can use the file and any change is
noticed.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, TypeVar

import msgspec

from circuitstore.errors import DamageError
from circuitstore.storage.layout import Store, publish_file

HEAD, MIDDLE, TAIL = b'{"sha256":"', b'","record":', b"}\n"
BODY = len(HEAD) + 64 + len(MIDDLE)
T = TypeVar("T")

Coords = dict[
    str, str | int
]  # cell axis → where a cell lies on it, {"prompt": "plural-3fa92c1b", "layer": 3}


class Components(msgspec.Struct, frozen=True):
    """Everything that a key is made of, by value, so that two keys can be compared part by part.

    code: module → hash of its normalised source, and file that a phase declares → sha256; config: field →
    value of the phase's settings; resources: name → identity of an input that no phase computes; upstream:
    phase → content hash of the output that was read.
    """

    code: dict[str, str] = {}
    config: dict[str, Any] = {}
    resources: dict[str, dict[str, Any]] = {}
    upstream: dict[str, str] = {}


def seal(record: object) -> bytes:
    """The file's bytes for one record (a msgspec struct or plain data)."""
    body = msgspec.json.encode(record, order="deterministic")
    return HEAD + hashlib.sha256(body).hexdigest().encode() + MIDDLE + body + TAIL


def unseal(raw: bytes, kind: type[T], where: str) -> T:
    """The record in a file's bytes. Raises DamageError."""
    body = raw[BODY : -len(TAIL)]
    stated, found = raw[len(HEAD) : len(HEAD) + 64], hashlib.sha256(body).hexdigest().encode()
    if raw[: len(HEAD)] != HEAD or stated != found:
        raise damaged(where, "its stated sha256", found[:12].decode() + "…")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise damaged(where, f"a {kind.__name__} record", error) from error


def combined_hash(parts: list[str], label: str) -> str:
    """sha256 of an ordered list of hashes; the label keeps lists of different meaning apart."""
    return hashlib.sha256(msgspec.json.encode([label, parts])).hexdigest()


def damaged(where: str, expected: object, got: object) -> DamageError:
    return DamageError(
        where, expected=expected, got=got, remedy="run `circuitstore verify`, then build again"
    )


def record_paths(folder: str) -> list[str]:
    """Paths of all records below a folder, at any depth, sorted; none when there is no such folder."""
    walked = os.walk(folder)
    return sorted(
        os.path.join(at, name) for at, _, names in walked for name in names if name.endswith(".json")
    )


def read_record(path: str, kind: type[T]) -> T:
    """Read one sealed record.

    Raises FileNotFoundError when there is none, DamageError when it was altered.
    """
    with open(path, "rb") as file:
        return unseal(file.read(), kind, path)


def write_record(store: Store, path: str, record: object) -> None:
    """Publish one sealed record under `path`, replacing an earlier one. Raises StoreError."""
    try:
        with store.scratch() as scratch:
            draft = os.path.join(scratch, "record.json")
            with open(draft, "wb") as file:
                file.write(seal(record))
            publish_file(draft, path)
    except OSError as error:
        raise store.unwritable(error) from error
