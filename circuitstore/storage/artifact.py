"""Artifacts: a phase's whole output, as an ordered list of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from circuitstore.storage.encoding import digest
from circuitstore.storage.files import damaged
from circuitstore.storage.layout import Store, is_hash, is_name
from circuitstore.storage.records import Components, Coords, decoded, expect, read_record, write_record


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """One cell of an artifact: coordinates on its axes, content hash, and the object row that holds it."""

    coords: Coords
    content: str
    object: str
    row: int


class Artifact(msgspec.Struct, frozen=True, dict=True):
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
        """The cells in order. They are decoded only when asked for: a build with nothing to do needs none.

        Raises DamageError unless they are the cells that the artifact says it has.
        """
        cells = decoded(self.table, list[Cell], f"artifact {self.key}")
        if "proven" not in self.__dict__:
            self._prove(cells)
            self.__dict__["proven"] = True  # once is enough: nobody can change an artifact
        return cells

    def _prove(self, cells: list[Cell]) -> None:
        where, objects = f"artifact {self.key}", set(self.objects)
        if any(cell.row < 0 or cell.object not in objects for cell in cells):
            raise damaged(where, "rows from 0 of the objects that it lists", "others")
        if any(set(cell.coords) != set(self.axes) for cell in cells):
            raise damaged(where, f"coordinates on {self.axes}", "others")
        found = len(cells), content_of(cells)
        if found != (self.count, self.content):
            expected = f"{self.count} cells of content {self.content[:12]}…"
            raise damaged(where, expected, f"{found[0]} cells of {found[1][:12]}…")

    def coordinates(self, axis: str) -> list[str | int]:
        """Values along one cell axis, each once, in order."""
        return list(dict.fromkeys(cell.coords[axis] for cell in self.cells))


def content_of(cells: Sequence[Cell]) -> str:
    """Content hash of an artifact, over the coordinates and content hashes of its cells in order."""
    return digest("content", [[cell.coords, cell.content] for cell in cells])


def read_artifact(store: Store, key: str) -> Artifact | None:
    """The artifact of this key, or None. Raises DamageError."""
    path = store.artifact(key)
    try:
        artifact = read_record(store, path, Artifact)
    except FileNotFoundError:
        return None
    expect(path, "key", key, artifact.key)
    if not (is_name(artifact.phase) and all(map(is_hash, (*artifact.objects, *artifact.upstream.values())))):
        raise damaged(path, "names and hashes", "other text")
    return artifact


def write_artifact(store: Store, artifact: Artifact) -> None:
    """Publish an artifact under its key. Raises StoreError."""
    write_record(store, store.artifact(artifact.key), artifact)
