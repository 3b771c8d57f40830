"""`du` tells how much room results take."""

from __future__ import annotations

from pathlib import Path

from plain_store import NAME

from circuitstore.storage.refs import named
from circuitstore.storage.tags import write_tag
from circuitstore.storage.usage import usage


def test_usage_adds_up(plain):
    """Folders add up to the whole, and what two names share is counted once in a sum."""
    found = usage(plain.store)
    total = sum(path.lstat().st_size for path in Path(plain.store.root).rglob("*") if path.is_file())
    assert (found.bytes, sum(part.bytes for part in found.parts)) == (total, total)
    assert [room.name for room in found.names] == ["plain/plain/first", "plain/plain/second"]
    assert found.behaviours[0].bytes == sum(room.bytes for room in found.phases)
    assert found.unnamed.bytes > 0 and found.ancestry.bytes == 0
    write_tag(plain.store, "same", NAME, named(plain.store, NAME))
    names = {room.name: room for room in usage(plain.store).names}
    assert names["tag same"].bytes == names["plain/plain/second"].bytes
    assert names["tag same"].own_bytes == 0
