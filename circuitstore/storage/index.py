"""The index of a phase: in which journals a key is, so that finding a few keys reads a few journals.

It is made from the journals alone and may be deleted at any time. It is only a hint: what is found by it is
read from the journal, and journals that it does not cover are read as they are. An index that is damaged
counts as none. One file a phase, replaced when an eighth of the journals is not in it:

    "circuitstore index 1\n", number of journals and number of keys (uint64, little-endian)
    the names of the journals (32 bytes each)
    key (32 bytes) and number of the journal (uint32), ascending, for each key of each journal
    sha256 of all bytes before (32 bytes)
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import os
import struct
from collections.abc import Iterable

import msgspec

from circuitstore.errors import DamageError, StoreError
from circuitstore.storage.actions import Copy, Entry
from circuitstore.storage.files import read_bytes
from circuitstore.storage.layout import Store, is_hash
from circuitstore.storage.records import ENDING, publish_all, read_named, record_paths

HEAD = b"circuitstore index 1\n"
COUNTS, ENTRY = struct.Struct("<QQ"), struct.Struct(">32sI")  # big-endian, to be ascending as bytes
MOST_INDEX = 1 << 34
LOOSE = 64  # so many journals may always be outside of the index


class _Cell(msgspec.Struct, frozen=True):
    key: str
    content: str
    row: int


class _Journal(msgspec.Struct, frozen=True):
    """The part of a journal that says where the cells of keys are."""

    phase: str
    object: str
    cells: list[_Cell]
    time_ns: int


class Index:
    """The copies of the cells of one phase by key, as its journals have them."""

    def __init__(self, store: Store, phase: str):
        self.store, self.phase = store, phase
        self._names, self._entries = _read(store, phase)
        self._known = set(self._names)
        self._filed, self._outside = False, dict[str, list[str]]()  # key → journals, once they are filed
        self._loose: list[str] = []
        self.refresh()
        self._read: dict[str, tuple[int, dict[str, list[Copy]]]] = {}  # journal → its time, key → copies
        self._learned: dict[str, list[Copy]] = {}

    def copies(self, key: str) -> list[Copy]:
        """The copies of the content of a cell, in order of publication; the first that is intact counts.

        A cell has several copies when builds overlapped, or when damage was mended.
        """
        if not is_hash(key):
            return []
        found: list[tuple[int, str, list[Copy]]] = []
        for name in dict.fromkeys([*self._inside(key), *self._in_loose(key)]):
            time_ns, copies = self._journal(name)
            found.append((time_ns, name, copies.get(key, [])))
        published = [copy for _, _, copies in sorted(found, key=lambda each: each[:2]) for copy in copies]
        return [*published, *self._learned.get(key, [])]

    def learn(self, entries: Iterable[Entry], object_id: str) -> None:
        """Take note of cells that were just committed."""
        for entry in entries:
            copy = Copy(entry.content, object_id, entry.row)
            self._learned.setdefault(entry.key, []).append(copy)

    def refresh(self) -> None:
        """Take note of the journals that were published since."""
        fresh = [name for name in _present(self.store, self.phase) if name not in self._known]
        self._known.update(fresh)
        fresh = [name + ENDING for name in fresh]
        self._loose += fresh
        if self._filed:
            self._file(fresh)

    def _inside(self, key: str) -> list[str]:
        """The journals that the index names for a key."""
        wanted, count = bytes.fromhex(key), len(self._entries) // ENTRY.size
        at = bisect.bisect_left(range(count), wanted, key=lambda i: self._entry(i)[0])
        numbers = []
        while at < count and self._entry(at)[0] == wanted:
            numbers.append(self._entry(at)[1])
            at += 1
        return [self._names[number] + ENDING for number in numbers if number < len(self._names)]

    def _entry(self, at: int) -> tuple[bytes, int]:
        key, number = ENTRY.unpack_from(self._entries, at * ENTRY.size)
        return key, number

    def _in_loose(self, key: str) -> list[str]:
        """The journals outside of the index that have a key."""
        if not self._filed:
            self._filed = True
            self._file(self._loose)
        return self._outside.get(key, [])

    def _file(self, names: Iterable[str]) -> None:
        """Note the keys of journals outside of the index."""
        for name in names:
            for found in _keys(self.store, self.phase, name):
                self._outside.setdefault(found, []).append(name)

    def _journal(self, name: str) -> tuple[int, dict[str, list[Copy]]]:
        """When a journal was published, and key → copies of its cells; nothing of a damaged one."""
        if name not in self._read:
            read = _journal(self.store, self.phase, name)
            copies: dict[str, list[Copy]] = {}
            if read is not None:
                for cell in read.cells:
                    copies.setdefault(cell.key, []).append(Copy(cell.content, read.object, cell.row))
            self._read[name] = read.time_ns if read else 0, copies
        return self._read[name]


def renew(store: Store, phase: str) -> None:
    """Make the index anew, since journals that it names are gone. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(store.index(phase))
    update(store, phase)


def update(store: Store, phase: str) -> bool:
    """Write the index anew if many journals are not in it; whether it was written.

    An index that cannot be written is done without. Raises UnreadableError.
    """
    names, entries = _read(store, phase)
    fresh = sorted(set(_present(store, phase)) - set(names))
    if len(fresh) <= max(LOOSE, len(names) // 8):
        return False
    every, rows = names, [entries[at : at + ENTRY.size] for at in range(0, len(entries), ENTRY.size)]
    for name in fresh:
        # One that is damaged stays outside, for it may be put back as it was.
        if keys := _keys(store, phase, name + ENDING):
            rows += [ENTRY.pack(bytes.fromhex(key), len(every)) for key in keys if is_hash(key)]
            every.append(name)
    body = b"".join([HEAD, COUNTS.pack(len(every), len(rows)), *map(bytes.fromhex, every), *sorted(rows)])
    try:
        publish_all(store, {store.index(phase): body + hashlib.sha256(body).digest()})
    except StoreError:
        return False
    return True


def _read(store: Store, phase: str) -> tuple[list[str], bytes]:
    """The names of the journals in an index, and its entries; none of one that is damaged or not there."""
    try:
        raw = read_bytes(store.root, store.index(phase), MOST_INDEX)
    except (StoreError, FileNotFoundError):
        return [], b""
    body, at = raw[:-32], len(HEAD) + COUNTS.size
    if raw[: len(HEAD)] != HEAD or hashlib.sha256(body).digest() != raw[-32:]:
        return [], b""
    journals, keys = COUNTS.unpack_from(raw, len(HEAD))
    if len(body) != at + 32 * journals + ENTRY.size * keys:
        return [], b""
    names = [body[at + 32 * n : at + 32 * (n + 1)].hex() for n in range(journals)]
    return names, body[at + 32 * journals :]


def _present(store: Store, phase: str) -> list[str]:
    """The names of the journals of a phase; none of a folder that cannot be read, which `verify` names."""
    try:
        paths = record_paths(store, "actions", phase)
    except DamageError:
        return []
    return [os.path.basename(path).removesuffix(ENDING) for path in paths]


def _journal(store: Store, phase: str, name: str) -> _Journal | None:
    """A journal in a file of this name; None for a damaged one, which `verify` names."""
    try:
        found = read_named(store, os.path.join(store.actions(phase), name), _Journal)
    except (DamageError, FileNotFoundError):
        return None
    rows = all(cell.row >= 0 for cell in found.cells)
    return found if rows and found.phase == phase and is_hash(found.object) else None


def _keys(store: Store, phase: str, name: str) -> list[str]:
    """The keys in a journal."""
    found = _journal(store, phase, name)
    return [cell.key for cell in found.cells] if found else []
