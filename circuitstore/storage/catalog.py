"""Every kind of record in a store: where its files lie, and which struct they hold.

Whoever goes through a whole store, to verify it, to collect garbage, to measure it or to copy it, takes this
table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import msgspec

from circuitstore.errors import DamageError, MissingError, StoreError
from circuitstore.storage import answers, pins, reviews, tags
from circuitstore.storage.actions import read_journal
from circuitstore.storage.artifact import read_artifact
from circuitstore.storage.files import damaged
from circuitstore.storage.layout import Store, is_hash, is_name
from circuitstore.storage.records import ENDING, record_paths
from circuitstore.storage.refs import DEPTH, name_of, read_ref, referred
from circuitstore.storage.tree import read_piece_file


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
    cells = artifact.cells  # which proves them
    artifact.table.check_cut(cells)
    if cells:
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


def _read_tag(store: Store, path: str) -> object:
    tag = tags.read_tag(store, path)
    try:
        return tags.tagged(store, tag)
    except MissingError as error:
        raise damaged(store.artifact(tag.artifact), f"the artifact of tag {tag.tag}", error.got) from None
    except DamageError as error:
        if error.where == path:
            raise
        return None  # the artifact is damaged, not the tag


# In the reverse of the order of publishing: what a record names was published before it, so that what a
# running build is publishing is never missed.
KINDS = (
    Kind("ref", ("refs",), _read_ref, DEPTH, hashed=False),
    Kind("tag", tags.FOLDER, _read_tag, hashed=False),
    Kind("artifact", ("artifacts",), _read_artifact),
    Kind("piece", ("pieces",), read_piece_file, 1),
    Kind("journal", ("actions",), read_journal, 1),
    Kind("review", reviews.FOLDER, reviews.read_review, 2),
    Kind("answer", answers.FOLDER, answers.read_answer),
    Kind("pin", pins.FOLDER, pins.read_pin),
)


def lies(kind: Kind, path: str) -> bool:
    """Whether a record of this kind may lie at a path, which counts from the store and has `/` in it."""
    *folders, name = path.split("/")
    top = len(kind.folder)
    stem = name.removesuffix(ENDING)
    return (
        tuple(folders[:top]) == kind.folder
        and len(folders) == top + kind.depth
        and all(map(is_name, folders[top:]))
        and name != stem
        and (is_hash if kind.hashed else is_name)(stem)
    )


def records(store: Store, problems: list[StoreError]) -> Iterator[tuple[Kind, str]]:
    """(kind, path) of every record of a store, kind by kind, each kind in order of path.

    Folders that cannot be read are passed over and added to `problems`.
    """
    for kind in KINDS:
        for path in record_paths(
            store, *kind.folder, depth=kind.depth, hashed=kind.hashed, problems=problems
        ):
            yield kind, path
