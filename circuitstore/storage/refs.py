"""Refs: the newest artifact of a phase under a human name, `refs/PROFILE/BEHAVIOUR/PHASE.json`.

A ref is the last thing that a build writes, and the first thing that a reader opens.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import msgspec

from circuitstore.errors import MissingError
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.files import damaged
from circuitstore.storage.layout import Store, is_hash, is_name
from circuitstore.storage.records import ENDING, expect, read_record, record_paths, write_record


class Ref(msgspec.Struct, frozen=True):
    """The newest artifact of a phase: its key, its content hash, and when it was named.

    `profile`, `behaviour` and `phase` are its own name. Refs of version 1 have none.
    """

    artifact: str
    content: str
    time_ns: int
    profile: str = ""
    behaviour: str = ""
    phase: str = ""


class Name(NamedTuple):
    """The human name of a result."""

    profile: str
    behaviour: str
    phase: str

    def __str__(self) -> str:
        return "/".join(self)


DEPTH = len(Name._fields) - 1


def names(store: Store) -> list[Name]:
    """The names of all refs, sorted. Raises DamageError."""
    paths = record_paths(store, "refs", depth=DEPTH, hashed=False)
    return sorted(name for path in paths if (name := name_of(store, path)))


def name_of(store: Store, path: str) -> Name | None:
    """The name that the path of a ref stands for; None if no ref can lie there."""
    parts = os.path.relpath(path, store.path("refs")).removesuffix(ENDING).split(os.sep)
    return Name(*parts) if len(parts) == len(Name._fields) and all(map(is_name, parts)) else None


def read_ref(store: Store, name: Name) -> Ref | None:
    """The ref of this name, or None. Raises DamageError."""
    path = store.ref(*name)
    try:
        ref = read_record(store, path, Ref)
    except FileNotFoundError:
        return None
    if not (is_hash(ref.artifact) and is_hash(ref.content)):
        raise damaged(path, "64 hexadecimal digits", repr(ref.artifact[:80]))
    own = Name(ref.profile, ref.behaviour, ref.phase)
    if any(own):
        expect(path, "name", name, own)
    return ref


def write_ref(store: Store, name: Name, artifact: Artifact, time_ns: int) -> None:
    """Point a name at an artifact. Raises StoreError."""
    write_record(store, store.ref(*name), Ref(artifact.key, artifact.content, time_ns, *name))


def referred(store: Store, name: Name, ref: Ref) -> Artifact | None:
    """The artifact that a ref means, or None if it is gone. Raises DamageError if it is not one of this name.

    Behaviours that are declared alike share their artifacts, so one of another behaviour may be meant.
    """
    artifact = read_artifact(store, ref.artifact)
    if artifact is not None:
        path = store.ref(*name)
        expect(path, "phase", name.phase, artifact.phase)
        expect(path, "content", ref.content, artifact.content)
    return artifact


def named(store: Store, name: Name) -> Artifact:
    """The newest artifact under a name. Raises MissingError, DamageError."""
    ref = read_ref(store, name)
    artifact = referred(store, name, ref) if ref else None
    if artifact is None:
        raise MissingError(f"{name} in {store.root}", expected="a built artifact", got="none of this name")
    return artifact
