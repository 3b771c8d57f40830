"""Refs: the newest artifact of a phase under a human name, `refs/PROFILE/BEHAVIOUR/PHASE.json`.

A ref is the last thing that a build writes, and the first thing that a reader opens.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import msgspec

from circuitstore.errors import MissingError
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.records import read_record, record_paths, write_record


class Ref(msgspec.Struct, frozen=True):
    """The newest artifact of a phase: its key, its content hash, and when it was named."""

    artifact: str
    content: str
    time_ns: int


class Name(NamedTuple):
    """The human name of a result."""

    profile: str
    behaviour: str
    phase: str

    def __str__(self) -> str:
        return "/".join(self)


def names(store: Store) -> list[Name]:
    """The names of all refs, sorted."""
    top = store.path("refs")
    parts = [os.path.relpath(path, top)[: -len(".json")].split(os.sep) for path in record_paths(top)]
    return sorted(Name(*three) for three in parts if len(three) == len(Name._fields))


def read_ref(store: Store, name: Name) -> Ref | None:
    """The ref of this name, or None. Raises DamageError."""
    try:
        return read_record(store.ref(*name), Ref)
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_ref(store: Store, name: Name, artifact: Artifact, time_ns: int) -> None:
    """Point a name at an artifact. Raises StoreError."""
    write_record(store, store.ref(*name), Ref(artifact.key, artifact.content, time_ns))


def named(store: Store, name: Name) -> Artifact:
    """The newest artifact under a name. Raises MissingError, DamageError."""
    ref = read_ref(store, name)
    artifact = read_artifact(store, ref.artifact) if ref else None
    if artifact is None:
        built = [str(other) for other in names(store)]
        got = f"only {', '.join(built[:12])}" if built else "an empty store"
        remedy = (
            f"run `circuitstore build {name.phase} --behaviour {name.behaviour} --profile {name.profile}`"
        )
        raise MissingError(f"{name} in {store.root}", expected="a built artifact", got=got, remedy=remedy)
    return artifact
