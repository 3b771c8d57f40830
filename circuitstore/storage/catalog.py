"""Every kind of record in a store: where its files lie, and which struct they hold.

Whoever goes through a whole store, to verify it, to collect garbage, to measure it or to copy it, takes this
table.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from circuitstore.storage.actions import Journal
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.pins import Pin
from circuitstore.storage.records import record_paths
from circuitstore.storage.refs import Ref
from circuitstore.storage.reviews import Review


class Kind(msgspec.Struct, frozen=True):
    """One kind of record: its name, the folder below the store that holds its files, and its struct."""

    name: str
    folder: tuple[str, ...]
    record: type[msgspec.Struct]


KINDS = (
    Kind("journal", ("actions",), Journal),
    Kind("artifact", ("artifacts",), Artifact),
    Kind("ref", ("refs",), Ref),
    Kind("review", ("inputs", "review"), Review),
    Kind("pin", ("inputs", "hub"), Pin),
)


def records(store: Store) -> Iterator[tuple[Kind, str]]:
    """(kind, path) of every record of a store, kind by kind, each kind in order of path."""
    for kind in KINDS:
        for path in record_paths(store.path(*kind.folder)):
            yield kind, path
