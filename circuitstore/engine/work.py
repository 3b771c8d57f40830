"""One batch of cells, computed and committed: what a worker process does.

A batch is plain data, so that it can be sent anywhere. Arrays never travel between processes: workers write
them to the store and return hashes. A cell that fails loses no other: the phase is called again with the
cells after it.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
import xarray as xr

from circuitstore.engine.fingerprint import digest
from circuitstore.engine.finite import check_finite
from circuitstore.engine.inputs import Upstream
from circuitstore.engine.loading import check_loaded, load_module
from circuitstore.engine.planner import PlannedCell, Step
from circuitstore.engine.provenance import provenance
from circuitstore.engine.task import Machine, Resource, Selection, Task
from circuitstore.errors import BuildError, CircuitstoreError
from circuitstore.storage.actions import Entry, write_journal
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import write_object
from circuitstore.storage.records import Components, Coords

TOO_LARGE = (
    "`circuitstore plan` says how much it takes; use a larger machine, or ask for less (shorter prompts)"
)
RESOURCES_KEPT = 6  # a model and its transcoders, and those of another profile for comparison

Progress = Callable[[int], None]


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


class Output(NamedTuple):
    """One finished cell: the planned cell it belongs to, its coordinates, and its content."""

    planned: PlannedCell
    coords: Coords
    content: xr.Dataset


class _ContractError(BuildError):
    """A phase does not do what its declaration says: a mistake in the phase, not in one cell."""


def batches(package: str, step: Step, store: Store, machine: Machine) -> list[Batch]:
    """The cells of a step that must be computed, as batches."""
    task = step.task
    parts = [step.cells] if task.rows else list(_packed(step.todo, task))
    shared = task.module(package), task, step.selection, step.resources, step.components
    return [Batch(*shared, cells, store, machine) for cells in parts]


def run_batch(batch: Batch, progress: Progress = lambda cells: None) -> Result:
    """Compute the cells of a batch and commit those that succeed, also when interrupted.

    Raises StoreError, StaleCodeError.
    """
    started = time.time()
    module = load_module(batch.module, batch.components.code)
    if batch.task.summary and not hasattr(module, "summary"):
        where = f"phase {batch.task.name}"
        raise _ContractError(where, expected=f"a function summary in {batch.module}", got="none")
    finished: list[Output] = []
    failures: list[Failure] = []
    warnings: list[str] = []
    compute = _compute_rows if batch.task.rows else _compute_cells
    try:
        for output in compute(batch, module, failures, warnings):
            finished.append(output)
            if not batch.task.rows:
                progress(1)
    finally:  # Ctrl-C keeps what is done
        check_loaded(batch.components.code)
        result = _commit(batch, finished, failures, started)
    if batch.task.rows or failures:
        progress(1 if batch.task.rows else len(failures))
    return msgspec.structs.replace(result, warnings=warnings)


def _compute_rows(
    batch: Batch, module: ModuleType, failures: list[Failure], warnings: list[str]
) -> Iterator[Output]:
    """All rows of a phase that has no cell axes, or none: half an output is no output."""
    try:
        rows = list(_call(batch, module, batch.cells))
    except CircuitstoreError:
        raise
    except Exception as error:
        failures.append(Failure({}, _reason(batch, error)))
        return
    yield from (Output(batch.cells[0], coords, content) for coords, content in rows)


def _compute_cells(
    batch: Batch, module: ModuleType, failures: list[Failure], warnings: list[str]
) -> Iterator[Output]:
    """Every finished cell. When memory runs out, the phase is given half as many cells at a time.

    No cell depends on which others are given with it, so that changes no result.
    """
    waiting, most = list(batch.cells), len(batch.cells)
    while waiting:
        given, done, exhausted = waiting[:most], 0, False
        try:
            for coords, content in _call(batch, module, given):
                if done == len(given) or coords != given[done].coords:
                    where = f"phase {batch.task.name}"
                    raise _ContractError(where, expected="the cells it was given, in order", got=coords)
                yield Output(given[done], coords, content)
                done += 1
            if done < len(given):
                raise _ContractError(f"phase {batch.task.name}", expected=f"{len(given)} cells", got=done)
        except _ContractError:
            raise
        except Exception as error:
            exhausted = batch.machine.out_of_memory(error)
            if len(given) == 1 or not exhausted:
                failures.append(Failure(given[done].coords, _reason(batch, error)))
                done += 1
        if exhausted:  # only here, for until now the error held all that the phase had in memory
            batch.machine.free_memory()
            if len(given) > 1:
                most = len(given) // 2
                warnings.append(f"out of memory with {len(given)} cells at once, going on with {most}")
        waiting = waiting[done:]


def _call(
    batch: Batch, module: ModuleType, given: Sequence[PlannedCell]
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """What the function of the phase yields for these cells, looked through for NaN and infinity."""
    function, config = getattr(module, batch.task.name), batch.task.settings(batch.selection)
    outputs: Iterable[tuple[Coords, xr.Dataset]] = function(
        [cell.coords for cell in given], config, **_inputs(batch)
    )
    for coords, content in outputs:
        check_finite(batch.task, content)
        yield coords, content


class _Loaded:
    """Resources that this process has loaded, the least recently used of many given up."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, Any] = OrderedDict()

    def get(self, batch: Batch, name: str) -> Any:
        """A resource, loaded once as long as its identity and the part that is asked for stay the same."""
        resource, identity = batch.resources[name], batch.components.resources[name]
        code = {module: hash for module, hash in batch.components.code.items() if module in resource.code}
        key = digest("resource", [name, identity, code, resource.part and resource.part()])
        if key not in self._values:
            self._values[key] = _load(batch, name)
            if len(self._values) > RESOURCES_KEPT:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]

    def clear(self) -> None:
        """Give up all of them."""
        self._values.clear()


loaded = _Loaded()


def _load(batch: Batch, name: str) -> Any:
    resource = batch.resources[name]
    try:
        value = resource.load()
    except Exception as error:
        if not batch.machine.out_of_memory(error.__cause__ or error):
            raise
        got = _reason(batch, error)
        raise BuildError(name, expected="enough memory to load it", got=got, remedy=TOO_LARGE) from error
    _check_unchanged(batch, [name])
    return value


def _check_unchanged(batch: Batch, names: Iterable[str]) -> None:
    """Raise BuildError for a resource that is another one than when the build was planned."""
    for name in names:
        if batch.resources[name].identity() != batch.components.resources[name]:
            expected = "the files that this build was planned with"
            raise BuildError(name, expected=expected, got="files changed since", remedy="build again")


def _inputs(batch: Batch) -> dict[str, Any]:
    """The arguments of a phase after `cells` and `config`."""
    upstream = {name for cell in batch.cells for name in cell.reads}
    inputs: dict[str, Any] = {}
    for name in batch.task.needs:
        if name in upstream:
            reads = [(cell.coords, cell.reads[name]) for cell in batch.cells]
            inputs[name] = Upstream(batch.store, name, reads)
        else:
            inputs[name] = loaded.get(batch, name)
    return inputs


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


def _reason(batch: Batch, error: Exception) -> str:
    if batch.machine.out_of_memory(error):
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"out of memory: {first}; {TOO_LARGE}"
    if isinstance(error, CircuitstoreError):
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{where}"


def _commit(batch: Batch, finished: Sequence[Output], failures: list[Failure], started: float) -> Result:
    if not finished:
        return Result("", [], failures)
    _check_unchanged(batch, batch.resources)  # some are read, or mapped, as they are used
    store = (batch.target or batch.store).create()
    manifest = write_object(store, [(output.coords, output.content) for output in finished])
    entries = []
    for row, output in enumerate(finished):
        cell, coords = output.planned, output.coords
        read = {
            name: digest("reads", [[c.coords, c.content] for c in cells])
            for name, cells in cell.reads.items()
        }
        key = digest("row", [cell.key, coords]) if coords != cell.coords else cell.key
        entries.append(Entry(key, coords, manifest.cells[row], row, read))
    behaviour, facts = batch.selection.behaviour, provenance(batch.machine, started)
    write_journal(store, batch.task.name, behaviour, manifest.object, entries, batch.components, facts)
    return Result(manifest.object, entries, failures)
