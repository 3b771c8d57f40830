"""Cells that are planned by their keys: what the store has of each."""

from __future__ import annotations

import msgspec

from circuitstore.engine.holdings import Holdings
from circuitstore.engine.keys import CellKeys
from circuitstore.engine.task import Task
from circuitstore.errors import DamageError
from circuitstore.storage.actions import Copy
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.leaf import Cell
from circuitstore.storage.records import Components, Coords


class PlannedCell(msgspec.Struct, frozen=True):
    """A cell to be had: its coordinates, its key, and the cells it reads of each upstream phase.

    `copy` is an intact copy of its content, if the store holds one. `first` is the content that counts for
    its key, lost or not, "" if there was none. Of a cell that stands as it stood in the newest artifact,
    neither key nor reads are asked for.
    """

    coords: Coords
    key: str
    reads: dict[str, list[Cell]]
    copy: Copy | None = None
    first: str = ""


class Lookup:
    """Plans cells of one phase."""

    def __init__(
        self, task: Task, components: Components, key: str, holdings: Holdings, previous: Artifact | None
    ):
        """`key` is that of the whole; `previous` is the newest artifact of this name."""
        self._keys, self._whole = CellKeys(task, components), key if task.rows else ""
        self._index, self._holdings, self._previous = holdings.index(task.name), holdings, previous
        self._contents: dict[frozenset[tuple[str, str | int]], str] | None = None

    def cell(self, coords: Coords, seen: dict[str, list[Cell]]) -> PlannedCell:
        """One cell, which reads these cells of each upstream phase."""
        if self._whole:  # one computation, many rows: it is there only as a whole, as an artifact
            return PlannedCell(coords, self._whole, seen)
        key = self._keys.of(coords, seen)
        known = self._index.copies(key)
        if len(known) > 1:
            kept = self._standing(coords)
            known = sorted(known, key=lambda copy: copy.content != kept)
        copy = next(filter(self._holdings.holds, known), None)
        return PlannedCell(coords, key, seen, copy, known[0].content if known else "")

    def _standing(self, coords: Coords) -> str | None:
        """The content that the previous artifact has of a cell; none of an artifact that is damaged."""
        if self._contents is None:
            try:
                cells = self._previous.cells if self._previous else []
            except DamageError:
                cells = []
            self._contents = {frozenset(cell.coords.items()): cell.content for cell in cells}
        return self._contents.get(frozenset(coords.items()))
