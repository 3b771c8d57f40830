"""The index of a phase: it finds what the journals hold, and nothing depends on its being there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from circuitstore.storage import index
from circuitstore.storage.actions import Copy, Entry, journals, write_journal
from circuitstore.storage.encoding import digest
from circuitstore.storage.index import COUNTS, ENTRY, HEAD, Index, update
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Components

PHASE, KEYS = "first", 300


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """A store with journals of a hundred batches. Every third key was computed twice."""
    monkeypatch.setattr(index, "LOOSE", 10)
    made = Store(tmp_path / "store").create()
    for batch in range(100):
        add(made, [3 * batch + i for i in range(3)])
    for batch in range(10):
        add(made, range(30 * batch, 30 * batch + 30, 3), second=1)
    return made


def key(number: int) -> str:
    return digest("key", number)


def add(store: Store, numbers, second: int = 0) -> None:
    """A journal of one batch."""
    entries = [
        Entry(key(number), {"item": number}, digest("content", [number, second]), row)
        for row, number in enumerate(numbers)
    ]
    write_journal(store, PHASE, "b", digest("object", [list(numbers), second]), entries, Components(), {})


def slowly(store: Store) -> dict[str, list[Copy]]:
    """Key → copies, from all journals."""
    found: dict[str, list[Copy]] = {}
    for journal in journals(store, PHASE):
        for cell in journal.cells:
            found.setdefault(cell.key, []).append(Copy(cell.content, journal.object, cell.row))
    return found


def assert_finds_all(store: Store) -> None:
    found, expected = Index(store, PHASE), slowly(store)
    assert len(expected) >= KEYS
    assert {each: found.copies(each) for each in expected} == expected
    assert found.copies("0" * 64) == found.copies("no key") == []


def read_journals(store: Store, keys: list[str], monkeypatch) -> int:
    """How many journals are read to find some keys."""
    read = []
    original = index.read_named
    monkeypatch.setattr(index, "read_named", lambda *words: read.append(words) or original(*words))
    found = Index(store, PHASE)
    assert all(found.copies(each) for each in keys)
    monkeypatch.setattr(index, "read_named", original)
    return len(read)


def test_a_key_is_found_by_reading_the_journals_that_have_it(store, monkeypatch):
    """With an index; without one, all are read."""
    assert read_journals(store, [key(1)], monkeypatch) >= 110
    assert update(store, PHASE)
    assert read_journals(store, [key(1)], monkeypatch) == 1
    assert_finds_all(store)


def test_what_came_after_the_index_is_found_too(store, monkeypatch):
    """And the index is written anew when an eighth of the journals is not in it."""
    assert update(store, PHASE)
    add(store, [KEYS])
    assert not update(store, PHASE)
    assert read_journals(store, [key(KEYS)], monkeypatch) <= 2
    assert_finds_all(store)
    for number in range(20):
        add(store, [KEYS + 1 + number])
    assert update(store, PHASE) and not update(store, PHASE)
    assert_finds_all(store)


def test_what_this_process_committed_is_found_last(store):
    """Without being looked for in the store."""
    found = Index(store, PHASE)
    before = found.copies(key(0))
    found.learn([Entry(key(0), {"item": 0}, "c" * 64, 5)], "d" * 64)
    assert found.copies(key(0)) == [*before, Copy("c" * 64, "d" * 64, 5)]


def truncated(raw: bytes) -> bytes:
    return raw[:-1]


def flipped(raw: bytes) -> bytes:
    return raw[:500] + bytes([raw[500] ^ 1]) + raw[501:]


def resealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


DAMAGES = {
    "empty": lambda raw: b"",
    "truncated": truncated,
    "flipped": flipped,
    "of nothing": lambda raw: resealed(HEAD + COUNTS.pack(0, 0)),
    "shorter than its counts": lambda raw: resealed(HEAD + COUNTS.pack(2**60, 2**60)),
    "without counts": lambda raw: resealed(HEAD),
    "of another kind": lambda raw: resealed(b"x" * 1000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_counts_as_none(store, damage):
    """And is replaced."""
    assert update(store, PHASE)
    path = Path(store.index(PHASE))
    path.write_bytes(damage(path.read_bytes()))
    assert_finds_all(store)
    assert update(store, PHASE)
    assert_finds_all(store)


@pytest.mark.parametrize("kind", ["link", "folder", "gone"])
def test_what_lies_in_its_place_is_not_read(store, tmp_path, kind):
    """A link out of the store, a folder: journals are read instead."""
    path = Path(store.index(PHASE))
    path.parent.mkdir()
    if kind == "link":
        (tmp_path / "secret").write_bytes(b"x")
        path.symlink_to(tmp_path / "secret")
    elif kind == "folder":
        path.mkdir()
    assert_finds_all(store)
    assert update(store, PHASE)
    assert_finds_all(store)
    assert kind != "link" or (tmp_path / "secret").read_bytes() == b"x"


def test_an_index_that_lies_gives_no_wrong_copy(store):
    """It names other journals, or numbers of none: what is found is still what a journal says of the key."""
    assert update(store, PHASE)
    path = Path(store.index(PHASE))
    raw = path.read_bytes()
    count, keys = COUNTS.unpack_from(raw, len(HEAD))
    at = len(HEAD) + COUNTS.size + 32 * count
    rows = [ENTRY.unpack_from(raw, at + ENTRY.size * row) for row in range(keys)]
    for shift in (1, count, 2**31):
        wrong = b"".join(ENTRY.pack(each, number + shift) for each, number in rows)
        path.write_bytes(resealed(raw[:at] + wrong))
        found, expected = Index(store, PHASE), slowly(store)
        for each, copies in expected.items():
            assert [copy for copy in found.copies(each) if copy not in copies] == []


def test_a_journal_that_is_gone_is_not_found(store):
    """The index still names it."""
    assert update(store, PHASE)
    for path in Path(store.actions(PHASE)).iterdir():
        os.unlink(path)
    assert Index(store, PHASE).copies(key(1)) == []


def test_a_journal_that_is_put_back_is_found(store):
    """It was damaged when the index was made, so that it is in no index."""
    number = 6
    hidden = next(path for path in Path(store.actions(PHASE)).iterdir() if key(number) in path.read_text())
    whole = hidden.read_bytes()
    hidden.write_bytes(whole[:-9])
    assert update(store, PHASE)
    before = len(Index(store, PHASE).copies(key(number)))
    hidden.write_bytes(whole)
    assert len(Index(store, PHASE).copies(key(number))) == before + 1
