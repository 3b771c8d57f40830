"""What a build would cost, from shapes alone: downloads, memory, bytes in the store and time, by phase.

**Memory** of a phase is that of a process that builds this phase alone. `host` is the process's own
(anonymous) memory, which a machine can run out of. `mapped` is weight files mapped from disk, which are fast
while the kernel keeps them and which it may take back. `device` is that of an accelerator, 0 when the CPU
computes. Weights that are used in the dtype of their file are mapped, others are a copy. `formulas` has the
formulas.

**Time** is an estimate, no promise. Of every product it is

    max(FLOP / FLOP per second, bytes of weights read / bandwidth) / share,

and to that come a start of each phase, the reading of files, and a little for every cell and every byte
stored. Devices are data: `devices.toml`.

**What no file says** is how many features are active: `shape.active` of the profile, else `ASSUMED_ACTIVE` a
position and layer. What is not known is None: the cost of a phase that has no formula, and every sum with it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from circuitstore.engine.task import Task
from tasks.costs.formulas import FORMULAS, MB
from tasks.costs.job import ASSUMED_ACTIVE, Job, Product
from tasks.costs.shapes import Sizes, device, sizes
from tasks.settings.selection import Selection

IMPORTED_MODEL = 328 * MB  # transformers with a model class, and torch's first products, come on top
START, PER_CELL, PER_STORED_BYTE = 4.0, 0.005, 1e-8  # seconds
FILES = 2e9  # bytes a second of weights that come from files; from a network file system it is less

N = TypeVar("N", int, float)


class Cost(msgspec.Struct, frozen=True):
    """One phase of one behaviour; the keys of `plan --json`. Bytes and seconds; None is unknown."""

    phase: str
    behaviour: str
    cells: int | None = None
    host_bytes: int | None = None
    mapped_bytes: int | None = None
    device_bytes: int | None = None
    store_bytes: int | None = None
    seconds: float | None = None


class Plan(msgspec.Struct, frozen=True):
    """What a build would cost, and by what numbers that was reckoned."""

    profile: str
    device: str
    model_bytes: int | None
    model_here: bool
    transcoder_bytes: int | None
    transcoders_here: bool
    download_bytes: int | None
    host_bytes: int | None
    mapped_bytes: int | None
    device_bytes: int | None
    device_memory: int | None
    store_bytes: int | None
    seconds: float | None
    active: float
    active_assumed: bool
    unknown: list[str]
    phases: list[Cost]

    @property
    def files(self) -> list[tuple[str, int | None, bool]]:
        """(what, bytes, whether all is here) of everything that is downloaded."""
        return [
            ("model", self.model_bytes, self.model_here),
            ("transcoders", self.transcoder_bytes, self.transcoders_here),
        ]


def plan(selections: Sequence[Selection], tasks: Sequence[Task], device_name: str | None) -> Plan:
    """The costs of phases for selections of one profile.

    Raises UsageError for an unknown device, InputError for unreadable files.
    """
    first = selections[0]
    where = device_name or ("cpu" if first.profile.model.device == "cpu" else "a100")
    known = sizes(first.profile_name, first.profile)
    machine = device(where)
    costs = [_cost(task, selection, known, where, machine) for task in tasks for selection in selections]
    return Plan(
        profile=first.profile_name,
        device=where,
        model_bytes=known.model.size,
        model_here=known.model.here,
        transcoder_bytes=known.transcoders.size,
        transcoders_here=known.transcoders.here,
        download_bytes=_total([known.model.missing, known.transcoders.missing]),
        host_bytes=_most([cost.host_bytes for cost in costs]),
        mapped_bytes=_most([cost.mapped_bytes for cost in costs]),
        device_bytes=_most([cost.device_bytes for cost in costs]),
        device_memory=int(machine["memory"]) if "memory" in machine else None,
        store_bytes=_total([cost.store_bytes for cost in costs]),
        seconds=_total([cost.seconds for cost in costs]),
        active=known.shape.active or ASSUMED_ACTIVE,
        active_assumed=known.shape.active is None,
        unknown=known.missing,
        phases=costs,
    )


def _most(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return max(known, default=0) if len(known) == len(values) else None


def _total(values: Sequence[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known, start=type(known[0])(0) if known else 0) if len(known) == len(values) else None


def _cost(task: Task, selection: Selection, known: Sizes, where: str, machine: dict[str, float]) -> Cost:
    formula = FORMULAS.get(task.name)
    if formula is None or known.missing:
        return Cost(task.name, selection.behaviour)
    job = Job(selection, known, task, where)
    work = formula.work(job)
    on_cpu, reads_model = where == "cpu", "model" in task.needs
    model = job.model_bytes if reads_model else 0
    encoder = job.encoder_bytes if "transcoders" in task.needs else 0
    copied = model if job.copies_model else 0
    host = (IMPORTED_MODEL if reads_model else formula.imported) + work.host
    cores = (selection.profile.model.threads or os.cpu_count() or 1) if on_cpu else 1
    seconds = START + PER_CELL * work.cells + PER_STORED_BYTE * work.stored + (model + work.files) / FILES
    seconds += sum(_seconds(product, machine, cores) for product in work.products)
    return Cost(
        phase=task.name,
        behaviour=selection.behaviour,
        cells=work.cells,
        host_bytes=int(host + (copied + work.tensors if on_cpu else 0)),
        mapped_bytes=int((0 if copied else model) + encoder if on_cpu else encoder),
        device_bytes=0 if on_cpu or not (model or encoder) else int(model + work.tensors),
        store_bytes=int(work.stored),
        seconds=round(seconds, 1),
    )


def _seconds(product: Product, machine: dict[str, float], cores: int) -> float:
    rate = machine["bfloat16" if product.dtype != "float32" else "float32"] * cores
    return product.times * max(product.flop / rate, product.read / machine["bandwidth"]) / machine["share"]
