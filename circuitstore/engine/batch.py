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


def batches(package: str, step: Step, store: Store, machine: Machine) -> list[Batch]:
    """The cells of a step that must be computed, as batches."""
    task = step.task
    parts = [step.cells] if task.rows else list(_packed(step.todo, task))
    shared = task.module(package), task, step.selection, step.resources, step.components
    return [Batch(*shared, cells, store, machine) for cells in parts]


def _packed(cells: Sequence[PlannedCell], task: Task) -> Iterator[list[PlannedCell]]:
    """Batches of at most `batch` cells.

    Cells of one outermost coordinate stay together if they fit, because they share work.
    """
    packed: list[PlannedCell] = []
    for _, group in groupby(cells, key=lambda cell: cell.coords[task.per[0]] if task.per else None):
        same = list(group)
        if packed and len(packed) + len(same) > task.batch:
            yield packed
            packed = []
        packed += same
        while len(packed) >= task.batch:
            yield packed[: task.batch]
            packed = packed[task.batch :]
    if packed:
        yield packed
