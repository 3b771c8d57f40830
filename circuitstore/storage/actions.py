"""Journals: which inputs gave which content. One sealed record per committed batch, named by its own hash,
written last.

The first to publish a key wins. A later, different content for the same key is non-determinism and is
reported.
"""

import hashlib
import os
import time
from typing import Any

import msgspec

from circuitstore.errors import DamageError
from circuitstore.storage.layout import Store
from circuitstore.storage.records import read_record, seal, write_record

Coords = dict[str, str | int]


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
    components: dict[str, Any]
    provenance: dict[str, Any]
    time_ns: int


class Place(msgspec.Struct, frozen=True):
    """Where a cell's content lies; `first` is the content first published under its key, another one is
    non-determinism.
    """

    content: str
    object: str
    row: int
    first: str


def write_journal(
    store: Store,
    phase: str,
    behaviour: str,
    name: str,
    cells: list[Entry],
    components: dict,
    provenance: dict,
) -> Journal:
    """Publish the journal of one batch held by object `name`. Raises StoreError."""
    journal = Journal(phase, behaviour, name, cells, components, provenance, time.time_ns())
    identity = hashlib.sha256(seal(journal)).hexdigest()
    write_record(store, os.path.join(store.actions(phase), identity + ".json"), journal)
    return journal


def journal_paths(store: Store, phase: str) -> list[str]:
    """Paths of a phase's journals, sorted."""
    folder = store.actions(phase)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if name.endswith(".json")]


def phases(store: Store) -> list[str]:
    """Names of the phases that have journals, sorted."""
    folder = store.path("actions")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def journals(store: Store, phase: str) -> list[Journal]:
    """All readable journals of a phase, oldest first. A damaged one is a miss here; `verify` names it."""
    found = []
    for path in journal_paths(store, phase):
        try:
            found.append((read_record(path, Journal), path))
        except (DamageError, FileNotFoundError):
            continue
    return [journal for journal, _ in sorted(found, key=lambda pair: (pair[0].time_ns, pair[1]))]


def places(store: Store, phase: str) -> dict[str, list[Place]]:
    """Cell key → the places that hold its content, in order of publication: the first that is intact counts.

    A cell can lie in more than one object, when builds overlapped or damage was mended.
    """
    found: dict[str, list[Place]] = {}
    for journal in journals(store, phase):
        for cell in journal.cells:
            known = found.setdefault(cell.key, [])
            known.append(
                Place(cell.content, journal.object, cell.row, known[0].content if known else cell.content)
            )
    return found
