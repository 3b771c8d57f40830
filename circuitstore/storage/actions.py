"""Journals: which inputs gave which content.

One sealed record per committed batch, named by its own hash, written last.

The first to publish a key wins. A later, different content for the same key is reported
(`circuitstore/engine/twins.py`).
"""

import hashlib
import os
import time
from typing import Any

import msgspec

from circuitstore.errors import DamageError, UnreadableError
from circuitstore.storage.files import damaged, listing
from circuitstore.storage.layout import Store, is_hash, is_name
from circuitstore.storage.records import (
    Components,
    Coords,
    expect,
    read_named,
    record_paths,
    seal,
    write_record,
)


class Entry(msgspec.Struct, frozen=True):
    """One finished cell: its key, where it lies on the axes, its content, and the content of what it read."""

    key: str
    coords: Coords
    content: str
    row: int
    upstream: dict[str, str] = {}


class Journal(msgspec.Struct, frozen=True):
    """One committed batch of cells."""

    phase: str
    behaviour: str
    object: str
    cells: list[Entry]
    components: Components
    provenance: dict[str, Any]
    time_ns: int


class Copy(msgspec.Struct, frozen=True):
    """One copy of a cell's content in the store."""

    content: str
    object: str
    row: int


def write_journal(
    store: Store,
    phase: str,
    behaviour: str,
    name: str,
    cells: list[Entry],
    components: Components,
    provenance: dict[str, Any],
) -> Journal:
    """Publish the journal of one batch held by object `name`. Raises StoreError."""
    journal = Journal(phase, behaviour, name, cells, components, provenance, time.time_ns())
    identity = hashlib.sha256(seal(journal)).hexdigest()
    write_record(store, os.path.join(store.actions(phase), identity + ".json"), journal)
    return journal


def read_journal(store: Store, path: str) -> Journal:
    """The journal in a file, which must be of the phase whose folder it lies in.

    Raises FileNotFoundError, DamageError.
    """
    journal = read_named(store, path, Journal)
    expect(path, "phase", os.path.basename(os.path.dirname(path)), journal.phase)
    if not is_hash(journal.object) or any(cell.row < 0 for cell in journal.cells):
        raise damaged(path, "an object id and rows from 0", "others")
    return journal


def phases(store: Store) -> list[str]:
    """Names of the phases that have journals, sorted. Raises DamageError."""
    entries = listing(store.root, store.path("actions"))
    return [each.name for each in entries if each.is_dir(follow_symlinks=False) and is_name(each.name)]


def journals(store: Store, phase: str) -> list[Journal]:
    """All readable journals of a phase, oldest first. Others are left out here; `verify` names them."""
    readable = []
    try:
        paths = record_paths(store, "actions", phase)
    except (DamageError, UnreadableError):
        return []
    for path in paths:
        try:
            readable.append((read_journal(store, path), path))
        except (DamageError, UnreadableError, FileNotFoundError):
            continue
    return [journal for journal, _ in sorted(readable, key=lambda pair: (pair[0].time_ns, pair[1]))]
