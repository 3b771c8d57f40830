"""Sealed JSON records: small files that carry the sha256 of what they say.

    {"sha256":"<64 hexadecimal digits>","record":{…}}

The seal covers the bytes of the record as written, so any JSON reader can use the file and any change is
noticed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from circuitstore.errors import DamageError, StoreError, UnreadableError
from circuitstore.storage.files import damaged, listing, read_bytes
from circuitstore.storage.layout import Store, is_hash, is_name

ENDING = ".json"
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


def seal_of(raw: bytes) -> str:
    """The seal of a record, which its file states: the sha256 of the record's bytes."""
    return raw[len(HEAD) : len(HEAD) + 64].decode(errors="replace")


def unseal(raw: bytes, kind: type[T], where: str) -> T:
    """The record in a file's bytes. Raises DamageError."""
    body = raw[BODY : -len(TAIL)]
    stated, found = raw[len(HEAD) : len(HEAD) + 64], hashlib.sha256(body).hexdigest().encode()
    if raw[: len(HEAD)] != HEAD or stated != found:
        raise damaged(where, "its stated sha256", found[:12].decode() + "…")
    return decoded(body, kind, where)


def decoded(body: bytes | msgspec.Raw, kind: type[T], where: str) -> T:
    """JSON as what it should hold. Raises DamageError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        name = getattr(kind, "__name__", str(kind))
        raise damaged(where, f"a {name} record", str(error).splitlines()[0]) from error


def combined_hash(parts: list[str], label: str) -> str:
    """sha256 of an ordered list of hashes; the label keeps lists of different meaning apart."""
    return hashlib.sha256(msgspec.json.encode([label, parts])).hexdigest()


def record_paths(
    store: Store,
    *folder: str,
    depth: int = 0,
    hashed: bool = True,
    problems: list[StoreError] | None = None,
) -> list[str]:
    """Paths of all that lies where records of a kind lie, `depth` folders deep, sorted.

    Files whose names the store never gives, a system's or a synchroniser's, are passed over: `hashed` names
    are sha256, others what `safe_name` allows. Whatever else lies in the place of a record or of a folder is
    listed, and to read it names it. A folder that cannot be read is added to `problems`; without such a list
    it raises DamageError.
    """
    return list(_paths(store, store.path(*folder), depth, hashed, problems))


def _paths(
    store: Store, folder: str, depth: int, hashed: bool, problems: list[StoreError] | None
) -> Iterator[str]:
    try:
        entries = listing(store.root, folder)
    except (DamageError, UnreadableError) as error:
        if problems is None:
            raise
        problems.append(error)
        return
    for entry in entries:
        stem = entry.name.removesuffix(ENDING)
        if depth and is_name(entry.name):
            inside = entry.is_dir(follow_symlinks=False)
            below = _paths(store, entry.path, depth - 1, hashed, problems) if inside else [entry.path]
            yield from below
        elif not depth and entry.name != stem and (is_hash if hashed else is_name)(stem):
            yield entry.path


def read_record(store: Store, path: str, kind: type[T]) -> T:
    """Read one sealed record. That it is the one which was asked for, the reader of its kind checks.

    Raises FileNotFoundError when there is none, DamageError when it was altered.
    """
    return unseal(read_bytes(store.root, path), kind, path)


def read_named(store: Store, path: str, kind: type[T]) -> T:
    """Read one sealed record whose file is named by the sha256 of its bytes.

    Raises FileNotFoundError when there is none, DamageError when it was altered or is another one.
    """
    raw = read_bytes(store.root, path)
    expect(path, "name", os.path.basename(path), hashlib.sha256(raw).hexdigest() + ENDING)
    return unseal(raw, kind, path)


def expect(path: str, what: str, stated: object, found: object) -> None:
    """Raise DamageError unless something that a record is asked for by is what the record says of itself."""
    if stated != found:
        raise damaged(path, f"{what} {str(stated)[:40]!r}", f"the record of {str(found)[:40]!r}")


def write_record(store: Store, path: str, record: object) -> None:
    """Publish one sealed record under `path`, replacing an earlier one. Raises StoreError."""
    publish_all(store, {path: seal(record)})


def publish_all(store: Store, files: Mapping[str, bytes]) -> None:
    """Publish files (path → bytes), replacing what differs from them. Raises StoreError, DamageError."""
    try:
        with store.scratch() as scratch:
            drafts = {}
            for number, (path, raw) in enumerate(files.items()):
                drafts[path] = os.path.join(scratch, f"{number}{ENDING}")
                with open(drafts[path], "wb") as file:
                    file.write(raw)
            store.publish_all(drafts)
    except OSError as error:
        raise store.unwritable(error) from error
