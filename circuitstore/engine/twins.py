"""Two contents under one key: which cells have them, how far they are apart, and where each was made.

A key names everything that a result depends on but the machine, so two machines give contents that agree. Two
that do not agree show that something is missing in the key, or that a phase draws at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from circuitstore.engine.agreement import Difference, compare
from circuitstore.engine.explain import differences
from circuitstore.engine.limits import TOLERANCE
from circuitstore.engine.task import Pipeline, Task
from circuitstore.errors import DamageError, UnreadableError
from circuitstore.storage.actions import Journal, journals, phases
from circuitstore.storage.artifact import Cell
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import intact
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.records import Coords
from circuitstore.storage.refs import Name

Pair = tuple[Cell, Cell]  # the first content of a cell, and another one
PER_BATCH = ("seconds", "peak_memory_bytes")  # facts that differ from batch to batch on one machine


class Twins(msgspec.Struct, frozen=True):
    """Cells of a phase that have two contents each; a part of `verify --json`.

    compared: how many of them have both contents intact. share: the largest difference, as a share of a
    variable's largest value. beyond: the cells that do not agree, with what differs. environments: what
    differs between the machines.
    """

    phase: str
    behaviour: str
    cells: int
    compared: int
    share: float
    beyond: list[tuple[Coords, list[Difference]]]
    environments: str


def environment(known: Iterable[Journal], object_id: str) -> dict[str, Any]:
    """What is recorded of the machine that first made an object; empty when no journal has it."""
    made = next((journal.provenance for journal in known if journal.object == object_id), {})
    return {name: fact for name, fact in made.items() if name not in PER_BATCH}


def contrast(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """What differs between two environments, in one line."""
    apart = [f"{path} {old} → {new}" for path, old, new in differences(dict(first), dict(second))]
    return ", ".join(apart) or "equal environments, so the phase draws at random or reads what no key covers"


def differing(
    store: Store, first: Cell, second: Cell, task: Task | None, tolerance: float
) -> list[Difference] | None:
    """How two contents differ; None when one of them cannot be read any more."""
    if not (intact(store, first.object) and intact(store, second.object)):
        return None
    try:
        ours, theirs = (ObjectReader(store, cell.object).cell(cell.row) for cell in (first, second))
    except (DamageError, UnreadableError):
        return None
    return compare(ours, theirs, task, tolerance)


def first_cells(store: Store, phase: str, contents: Mapping[str, str]) -> dict[str, Cell]:
    """Key → the cell of a phase as it was first published with this content (key → content hash)."""
    found: dict[str, Cell] = {}
    for journal in journals(store, phase):
        for entry in journal.cells:
            if contents.get(entry.key) == entry.content:
                found.setdefault(entry.key, Cell(entry.coords, entry.content, journal.object, entry.row))
    return found


def of_store(store: Store, pipeline: Pipeline, tolerance: float = TOLERANCE) -> list[Twins]:
    """All cells of a store whose key has two contents, by phase and behaviour."""
    found = []
    tasks = {task.name: task for task in pipeline.every}
    for phase in phases(store):
        pairs: dict[str, list[Pair]] = {}
        first: dict[str, Cell] = {}
        for journal in journals(store, phase):
            for entry in journal.cells:
                cell = Cell(entry.coords, entry.content, journal.object, entry.row)
                standing = first.setdefault(entry.key, cell)
                if standing.content != cell.content:
                    pairs.setdefault(journal.behaviour, []).append((standing, cell))
        found += [
            of_pairs(store, Name("", behaviour, phase), pairs[behaviour], tasks.get(phase), tolerance)
            for behaviour in pairs
        ]
    return found


def of_pairs(
    store: Store, name: Name, pairs: Sequence[Pair], task: Task | None, tolerance: float = TOLERANCE
) -> Twins:
    """What there is to say of cells with two contents, of which there must be one at least."""
    compared = [(one.coords, differing(store, one, other, task, tolerance)) for one, other in pairs]
    apart = [(coords, found) for coords, found in compared if found is not None]
    beyond = [(coords, wrong) for coords, found in apart if (wrong := [d for d in found if not d.within])]
    share = max((d.share for _, found in apart for d in found if d.share is not None), default=0.0)
    one, other = pairs[0]
    known = journals(store, name.phase)
    environments = contrast(environment(known, one.object), environment(known, other.object))
    return Twins(name.phase, name.behaviour, len(pairs), len(apart), share, beyond, environments)


def told(found: Twins) -> str:
    """Two contents in one line: how many cells, how far apart, made where."""
    line = f"{found.phase} of {found.behaviour}: {found.cells} cells have two contents under one key"
    if not found.compared:
        line += "; the first one is lost and cannot be compared"
    elif found.beyond:
        coords, (first, *_) = found.beyond[0]
        line += f"; {len(found.beyond)} do not agree, as {at(coords)}: {first.variable}: {first.problem}"
    else:
        line += f"; they agree, the largest difference is {found.share:.1e} of a variable's largest value"
    return f"{line}; from the first to the second: {found.environments}"


def at(coords: Coords) -> str:
    """A cell by its coordinates, for people."""
    return ", ".join(f"{axis} {value}" for axis, value in coords.items()) or "the whole"
