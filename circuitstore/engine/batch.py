"""Batches: the cells that a worker computes at once, and what it returns.

A batch is plain data, so that it can be sent anywhere. Arrays never travel between processes: workers write
them to the store and return hashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from circuitstore.engine.lookup import PlannedCell
from circuitstore.engine.planner import Step
from circuitstore.engine.task import Machine, Resource, Selection, Task
from circuitstore.storage.actions import Entry
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Components, Coords

BATCHES_EACH = 2  # at least, for each of several workers, so that none waits long for the last


class Batch(msgspec.Struct, frozen=True):
    """Some cells of one phase, and all that a worker needs to compute them.

    target: the store to commit to, when that is not the store that is read.
    """

    module: str
    task: Task
    selection: Selection
    resources: dict[str, Resource]
    components: Components
    cells: list[PlannedCell]
    store: Store
    machine: Machine
    target: Store | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why a cell could not be computed."""

    coords: Coords
    reason: str


class Result(msgspec.Struct, frozen=True):
    """What became of a batch.

    That is the object it was committed as, its cells in row order, failures, and warnings.
    """

    object: str
    entries: list[Entry]
    failures: list[Failure]
    warnings: list[str] = []


def batches(package: str, step: Step, store: Store, machine: Machine, width: int = 1) -> list[Batch]:
    """The cells of a step that must be computed, as batches, of which `width` are computed at a time.

    A declaration's `batch` says how many cells are worth one batch, the fewer the dearer they are. Where that
    leaves some of the workers without one, batches are smaller.
    """
    task = step.task
    todo = [] if task.rows else step.todo
    most = min(task.batch, -(-len(todo) // (width * BATCHES_EACH))) if width > 1 else task.batch
    parts = [step.cells] if task.rows else list(_packed(todo, task, max(1, most)))
    shared = task.module(package), task, step.selection, step.resources, step.components
    return [Batch(*shared, cells, store, machine) for cells in parts]


def _packed(cells: Sequence[PlannedCell], task: Task, most: int) -> Iterator[list[PlannedCell]]:
    """Batches of at most so many cells.

    Cells of one outermost coordinate stay together if they fit, because they share work.
    """
    packed: list[PlannedCell] = []
    for _, group in groupby(cells, key=lambda cell: cell.coords[task.per[0]] if task.per else None):
        same = list(group)
        if packed and len(packed) + len(same) > most:
            yield packed
            packed = []
        packed += same
        while len(packed) >= most:
            yield packed[:most]
            packed = packed[most:]
    if packed:
        yield packed
