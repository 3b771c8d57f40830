"""Keys of cells and of artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from circuitstore.engine.fingerprint import digest
from circuitstore.engine.task import Task
from circuitstore.storage.artifact import Cell
from circuitstore.storage.records import Components, Coords


def artifact_key(task: Task, components: Components) -> str:
    """Key of a phase's whole output."""
    parts = components.code, components.config, components.resources, components.upstream
    return digest("artifact", [task.name, task.declared, *parts])


def cell_key(task: Task, components: Components, coords: Coords, reads: Mapping[str, Sequence[Cell]]) -> str:
    """Key of one cell.

    It is made as the artifact's key, but of upstream only from the cells that this one reads, and without the
    settings that only choose cells.
    """
    config = {name: value for name, value in components.config.items() if name not in task.whole}
    contents = {name: [[cell.coords, cell.content] for cell in cells] for name, cells in reads.items()}
    return digest("cell", [task.name, components.code, config, components.resources, coords, contents])
