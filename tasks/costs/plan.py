"""What a build would cost, from shapes alone: bytes to download, memory, bytes in the store and time, phase
by phase.

**Memory** of a phase is that of a process that builds this phase alone. `host` is the process's own
(anonymous) memory, which a machine can run out of; `mapped` is weight files mapped from disk, which are fast
while the kernel keeps them and which it may take back; `device` is that of an accelerator, 0 when the CPU
computes. Weights that are used in the dtype of their file are mapped, others are a copy. `costs.py` has the
formulas.

**Time** is an estimate, no promise:  max(FLOP / FLOP per second, bytes of weights read / bandwidth) / share, of every product, plus a
start of each phase, the reading of files, and a little for every cell and every byte stored. Devices are data: `devices.toml`.

**What no file says** is how many features are active: `shape.active` of the profile, else `ASSUMED_ACTIVE` a
position and layer.
"""

from __future__ import annotations

import os

import msgspec

from circuitstore.engine.task import Task
from tasks.costs.formulas import ASSUMED_ACTIVE, WORK, Job, Product
from tasks.costs.shapes import Sizes, device, sizes
from tasks.settings.selection import Selection

MB = 1_000_000
IMPORTED = {
    "prompts": 231 * MB,
    "features": 216 * MB,
    "pairs": 60 * MB,
    "circuit": 60 * MB,
    "figures": 310 * MB,
}
IMPORTED_MODEL = 328 * MB  # transformers with a model class, and torch's first products, come on top
START, PER_CELL, PER_STORED_BYTE = 4.0, 0.005, 1e-8  # seconds
FILES = 2e9  # bytes a second of weights that come from files; from a network file system it is less


class Cost(msgspec.Struct, frozen=True):
    """One phase of one behaviour; the keys of `plan --json`. Bytes and seconds; None is unknown."""

    phase: str
    behaviour: str
    cells: int | None
    host_bytes: int | None
    mapped_bytes: int | None
    device_bytes: int | None
    store_bytes: int | None
    seconds: float | None


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


def plan(selections: list[Selection], tasks: tuple[Task, ...], device_name: str | None) -> Plan:
    """The costs of phases for selections of one profile. Raises UsageError for an unknown device, InputError
    for unreadable files.
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


def _most(values: list) -> int | None:
    return None if None in values else max(values, default=0)


def _total(values: list):
    return None if None in values else sum(values)


def _cost(task: Task, selection: Selection, known: Sizes, where: str, machine: dict[str, float]) -> Cost:
    if known.missing:
        return Cost(task.name, selection.behaviour, None, None, None, None, None, None)
    job = Job(selection, known, task)
    work = WORK[task.name](job)
    needs = {need for need in task.needs if need in ("model", "transcoders")}
    on_cpu = where == "cpu"
    model = job.model_bytes if "model" in needs else 0
    copied = model if job.copies_model else 0
    host = (IMPORTED_MODEL if "model" in needs else IMPORTED[task.name]) + work.host
    mapped = (0 if copied else model) + (job.encoder_bytes if "transcoders" in needs else 0)
    cores = (selection.profile.model.threads or os.cpu_count() or 1) if on_cpu else 1
    seconds = START + PER_CELL * work.cells + PER_STORED_BYTE * work.stored + (model + work.files) / FILES
    seconds += sum(_seconds(product, machine, cores) for product in work.products)
    return Cost(
        phase=task.name,
        behaviour=selection.behaviour,
        cells=work.cells,
        host_bytes=int(host + (copied + work.tensors if on_cpu else 0)),
        mapped_bytes=int(mapped if on_cpu else job.encoder_bytes if "transcoders" in needs else 0),
        device_bytes=0 if on_cpu else int(model + work.tensors if needs else 0),
        store_bytes=int(work.stored),
        seconds=round(seconds, 1),
    )


def _seconds(product: Product, machine: dict[str, float], cores: int) -> float:
    rate = machine["bfloat16" if product.dtype != "float32" else "float32"] * cores
    return product.times * max(product.flop / rate, product.read / machine["bandwidth"]) / machine["share"]
