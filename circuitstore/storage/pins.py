"""Pins: which commit a revision of a repository was taken for, and what it held.

They are an input, because a branch moves and cannot be asked again what it was.

One sealed record a question (kind of files, repository, revision, subfolder), written when files are first
loaded for a computation:

    inputs/hub/<sha256 of the question>.json

From then on this store means that commit, on whatever machine and without asking the hub, until somebody
follows the revision.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

import msgspec

from circuitstore.errors import StoreError
from circuitstore.storage.files import damaged
from circuitstore.storage.layout import Store
from circuitstore.storage.records import expect, read_record, record_paths, seal, write_record

FOLDER = ("inputs", "hub")
COMMIT = re.compile(r"[0-9a-f]{40}")  # which becomes the name of a folder in the cache
EXPECTED = "a commit of 40 hexadecimal digits"


class Pin(msgspec.Struct, frozen=True):
    """What a kind of files was taken to be.

    `kind` is "model", "tokenizer", "transcoders", "hooks", "architecture", or "linked" for files that
    transcoders list elsewhere.
    """

    kind: str
    repo: str
    revision: str
    subfolder: str
    commit: str
    identity: dict[str, Any]  # as in an artifact's components; {} of what is linked


def pins(store: Store) -> list[Pin]:
    """All pins of a store, in order of path. Raises DamageError."""
    return [read_pin(store, path) for path in record_paths(store, *FOLDER)]


def read_pin(store: Store, path: str) -> Pin:
    """The pin in a file, which must be the answer to the question that the file is named by.

    Raises FileNotFoundError, DamageError.
    """
    pin = read_record(store, path, Pin)
    expect(path, "question", os.path.basename(path), os.path.basename(_path(store, pin)))
    if not COMMIT.fullmatch(pin.commit):
        raise damaged(path, EXPECTED, repr(pin.commit[:60]))
    return pin


def write_pin(store: Store, pin: Pin) -> None:
    """Publish a pin, unless the same one is there, in a store that is made if there is none yet.

    Raises StoreError.
    """
    if not COMMIT.fullmatch(pin.commit):
        raise StoreError(f"{pin.repo} at {pin.revision}", expected=EXPECTED, got=repr(pin.commit[:60]))
    path = _path(store, pin)
    if pin not in pins(store):
        write_record(store.create(), path, pin)


def unpin(store: Store, repo: str, revision: str) -> None:
    """Forget what a revision was taken for. Raises StoreError."""
    for pin in pins(store):
        if (pin.repo, pin.revision) == (repo, revision):
            try:
                os.unlink(_path(store, pin))
            except OSError as error:
                raise store.unwritable(error) from error


def _path(store: Store, pin: Pin) -> str:
    question = hashlib.sha256(seal([pin.kind, pin.repo, pin.revision, pin.subfolder])).hexdigest()
    return os.path.join(store.pins(), question + ".json")
