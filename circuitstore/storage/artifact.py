"""Artifacts and refs: a phase's whole output as an ordered list of cells, and its newest one under a human
name.
"""

import os
from typing import Any

import msgspec

from circuitstore.errors import MissingError
from circuitstore.storage.layout import Store
from circuitstore.storage.records import read_record, write_record

Coords = dict[str, str | int]


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """One cell of an artifact: coordinates on its axes, content hash, and the object row that holds it."""

    coords: Coords
    content: str
    object: str
    row: int


class Artifact(msgspec.Struct, frozen=True):
    """A phase's whole output.

    `key` names it by its inputs and is its file name; `content` is the hash over its cells in order. `axes`
    are the names of the cell axes, outermost first; `objects` the ids of the objects that hold its `count`
    cells; `upstream` gives the artifact key of each phase it read; `summary` is what the phase says of the
    whole (a gate's numbers, for one).
    """

    phase: str
    behaviour: str
    key: str
    content: str
    axes: list[str]
    count: int
    objects: list[str]
    components: dict[str, Any]
    upstream: dict[str, str] = {}
    summary: dict[str, Any] = {}
    table: msgspec.Raw = msgspec.field(name="cells", default=msgspec.Raw(b"[]"))

    @property
    def cells(self) -> list[Cell]:
        """The cells in order; decoded only when asked for, because a build with nothing to do need not know
        them.
        """
        return msgspec.json.decode(self.table, type=list[Cell])

    def coordinates(self, axis: str) -> list[str | int]:
        """Values along one cell axis, each once, in order."""
        return list(dict.fromkeys(cell.coords[axis] for cell in self.cells))


class Ref(msgspec.Struct, frozen=True):
    """The newest artifact of a phase, by profile and behaviour."""

    artifact: str
    content: str
    time_ns: int


def read_artifact(store: Store, key: str) -> Artifact | None:
    """The artifact of this key, or None. Raises DamageError."""
    try:
        return read_record(store.artifact(key), Artifact)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_ref(store: Store, profile: str, behaviour: str, phase: str) -> Ref | None:
    """The ref of this name, or None. Raises DamageError."""
    try:
        return read_record(store.ref(profile, behaviour, phase), Ref)
    except (FileNotFoundError, NotADirectoryError):
        return None


def named(store: Store, profile: str, behaviour: str, phase: str) -> Artifact:
    """The newest artifact under a human name. Raises MissingError, DamageError."""
    ref = read_ref(store, profile, behaviour, phase)
    artifact = read_artifact(store, ref.artifact) if ref else None
    if artifact is None:
        built = [f"{p}/{b}/{name}" for p, b, name in store.refs()]
        got = f"only {', '.join(built[:12])}" if built else "an empty store"
        remedy = f"run `circuitstore build {phase} --behaviour {behaviour} --profile {profile}`"
        raise MissingError(
            f"{profile}/{behaviour}/{phase} in {store.root}",
            expected="a built artifact",
            got=got,
            remedy=remedy,
        )
    return artifact


def write_artifact(store: Store, artifact: Artifact) -> None:
    """Publish an artifact under its key. Raises StoreError."""
    write_record(store, store.artifact(artifact.key), artifact)


def write_ref(store: Store, profile: str, artifact: Artifact, behaviour: str, time_ns: int) -> None:
    """Point a human name at an artifact; the last step of every build. Raises StoreError."""
    path = store.ref(profile, behaviour, artifact.phase)
    write_record(store, path, Ref(artifact.key, artifact.content, time_ns))


def artifact_keys(store: Store) -> list[str]:
    """Keys of all artifacts in the store, sorted."""
    folder = store.path("artifacts")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [name[:-5] for name in names if name.endswith(".json")]
