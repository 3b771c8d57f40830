"""Artifacts: a phase's whole output, as an ordered list of cells."""

from __future__ import annotations

from typing import Any

import msgspec

from circuitstore.storage.layout import Store
from circuitstore.storage.records import Components, Coords, read_record, write_record


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
    components: Components
    upstream: dict[str, str] = {}
    summary: dict[str, Any] = {}
    table: msgspec.Raw = msgspec.field(name="cells", default=msgspec.Raw(b"[]"))

    @property
    def cells(self) -> list[Cell]:
        """The cells in order. They are decoded only when asked for: a build with nothing to do needs none."""
        return msgspec.json.decode(self.table, type=list[Cell])

    def coordinates(self, axis: str) -> list[str | int]:
        """Values along one cell axis, each once, in order."""
        return list(dict.fromkeys(cell.coords[axis] for cell in self.cells))


def read_artifact(store: Store, key: str) -> Artifact | None:
    """The artifact of this key, or None. Raises DamageError."""
    try:
        return read_record(store.artifact(key), Artifact)
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_artifact(store: Store, artifact: Artifact) -> None:
    """Publish an artifact under its key. Raises StoreError."""
    write_record(store, store.artifact(artifact.key), artifact)
