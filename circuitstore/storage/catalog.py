"""Every kind of record in a store: where its files lie, and which struct they hold.

Whoever goes through a whole store, to verify it, to collect garbage, to measure it or to copy it, takes this
table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import msgspec

from circuitstore.errors import DamageError
from circuitstore.storage import pins, reviews
from circuitstore.storage.actions import read_journal
from circuitstore.storage.artifact import read_artifact
from circuitstore.storage.files import damaged
from circuitstore.storage.layout import Store
from circuitstore.storage.records import ENDING, record_paths
from circuitstore.storage.refs import DEPTH, name_of, read_ref, referred


class Kind(msgspec.Struct, frozen=True):
    """One kind of record: its name, the folder below the store that holds its files, and how one is read.

    `depth` folders lie between that folder and the files, whose names are sha256 unless not `hashed`. `read`
    checks the record at a path; it raises DamageError, FileNotFoundError.
    """

    name: str
    folder: tuple[str, ...]
    read: Callable[[Store, str], object]
    depth: int = 0
    hashed: bool = True


def _read_artifact(store: Store, path: str) -> object:
    artifact = read_artifact(store, os.path.basename(path).removesuffix(ENDING))
    if artifact is None:
        raise FileNotFoundError(path)
    if artifact.cells:  # which proves them
        return artifact
    raise damaged(path, "cells", "none")


def _read_ref(store: Store, path: str) -> object:
    name = name_of(store, path)
    if name is None:
        raise damaged(path, "a folder", "something else")
    ref = read_ref(store, name)
    if ref is None:
        raise FileNotFoundError(path)
    try:
        return referred(store, name, ref)
    except DamageError as error:
        if error.where == path:
            raise
        return None  # the artifact is damaged, not the ref


# In the reverse of the order of publishing: what a record names was published before it, so that what a
# running build is publishing is never missed.
KINDS = (
    Kind("ref", ("refs",), _read_ref, DEPTH, hashed=False),
    Kind("artifact", ("artifacts",), _read_artifact),
    Kind("journal", ("actions",), read_journal, 1),
    Kind("review", reviews.FOLDER, reviews.read_review, 2),
    Kind("pin", pins.FOLDER, pins.read_pin),
)


def records(store: Store, problems: list[DamageError]) -> Iterator[tuple[Kind, str]]:
    """(kind, path) of every record of a store, kind by kind, each kind in order of path.

    Folders that cannot be read are passed over and added to `problems`.
    """
    for kind in KINDS:
        for path in record_paths(
            store, *kind.folder, depth=kind.depth, hashed=kind.hashed, problems=problems
        ):
            yield kind, path
