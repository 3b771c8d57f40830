"""Keys of cells. Those of artifacts are made in `circuitstore.storage.key`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from circuitstore.engine.task import Task
from circuitstore.storage.encoding import HashOfList
from circuitstore.storage.leaf import Cell
from circuitstore.storage.records import Components, Coords


def cell_config(task: Task, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are in the key of a cell: those that do not only choose cells."""
    return {name: value for name, value in config.items() if name not in task.whole}


CHOOSING = "coordinates"  # the entry of the code that names the function that chooses cells


class CellKeys:
    """The keys of the cells of one phase.

    A key is made as the artifact's key, but of upstream only from the cells that this one reads, and without
    the settings, and the name of the function, that only choose cells. What is the same for all cells is
    encoded once.
    """

    def __init__(self, task: Task, components: Components):
        config = cell_config(task, components.config)
        code = {name: each for name, each in components.code.items() if name != CHOOSING}
        self._hash = HashOfList("cell", [task.name, code, config, components.resources])

    def of(self, coords: Coords, reads: Mapping[str, Sequence[Cell]]) -> str:
        """Key of one cell, which reads these cells of each upstream phase."""
        contents = {name: [[cell.coords, cell.content] for cell in cells] for name, cells in reads.items()}
        return self._hash.of([coords, contents])
