"""One batch of cells, computed and committed: what a worker process does.

A cell that fails loses no other: the phase is called again with the cells after it.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
import xarray as xr

from circuitstore.engine.audit import Watch, watching
from circuitstore.engine.batch import Batch, Failure, Result
from circuitstore.engine.cover import consulted, cover
from circuitstore.engine.fingerprint import digest
from circuitstore.engine.finite import check_finite
from circuitstore.engine.inputs import Upstream
from circuitstore.engine.loading import check_loaded, load_module
from circuitstore.engine.lookup import PlannedCell
from circuitstore.engine.provenance import provenance
from circuitstore.errors import BuildError, CircuitstoreError
from circuitstore.storage.actions import Entry, write_journal
from circuitstore.storage.objects import write_object
from circuitstore.storage.records import Coords

TOO_LARGE = (
    "`circuitstore plan` says how much it takes; use a larger machine, or ask for less (shorter prompts)"
)
RESOURCES_KEPT = 6  # a model and its transcoders, and those of another profile for comparison

Progress = Callable[[int], None]


class Output(NamedTuple):
    """One finished cell: the planned cell it belongs to, its coordinates, and its content."""

    planned: PlannedCell
    coords: Coords
    content: xr.Dataset


class _Run(NamedTuple):
    """A batch under way: the module of its phase, what is watched, and what became of its cells.

    `fix` fixes the numerical settings of what was imported since. `consulted` is the files that may be read
    only while a resource is loaded, by the name of the resource.
    """

    batch: Batch
    module: ModuleType
    fix: Callable[[], None]
    watch: Watch
    consulted: dict[str, Sequence[str]]
    failures: list[Failure]
    warnings: list[str]


class _ContractError(BuildError):
    """A phase does not do what its declaration says: a mistake in the phase, not in one cell."""


def run_batch(batch: Batch, progress: Progress = lambda cells: None) -> Result:
    """Compute the cells of a batch and commit those that succeed, also when interrupted.

    Raises StoreError, StaleCodeError.
    """
    started = time.time()
    compute = _compute_rows if batch.task.rows else _compute_cells
    covered = cover(batch.task, batch.module, batch.components, batch.resources, batch.store)
    while_loading = {name: consulted(resource) for name, resource in batch.resources.items()}
    with watching(batch.task.name, covered) as watch, batch.machine.fixed() as fix:
        module = load_module(batch.module, batch.components.code)
        watch.check_remembered()
        _check_summary(batch, module)
        run = _Run(batch, module, fix, watch, while_loading, [], [])
        finished: list[Output] = []
        try:
            for output in compute(run):
                finished.append(output)
                if not batch.task.rows:
                    progress(1)
        finally:  # Ctrl-C keeps what is done
            check_loaded(batch.components.code)
            result = _commit(run, finished, started)
    if batch.task.rows or run.failures:
        progress(1 if batch.task.rows else len(run.failures))
    return msgspec.structs.replace(result, warnings=run.warnings)


def _check_summary(batch: Batch, module: ModuleType) -> None:
    if batch.task.summary and not hasattr(module, "summary"):
        where = f"phase {batch.task.name}"
        raise _ContractError(where, expected=f"a function summary in {batch.module}", got="none")


def _compute_rows(run: _Run) -> Iterator[Output]:
    """All rows of a phase that has no cell axes, or none: half an output is no output."""
    try:
        rows = list(_call(run, run.batch.cells))
    except Exception as error:
        refused = run.watch.refused()
        if isinstance(error, CircuitstoreError) or refused:
            raise (refused or error) from error
        run.failures.append(Failure({}, _reason(run.batch, error)))
        return
    yield from (Output(run.batch.cells[0], coords, content) for coords, content in rows)


def _compute_cells(run: _Run) -> Iterator[Output]:
    """Every finished cell. When memory runs out, the phase is given half as many cells at a time.

    No cell depends on which others are given with it, so that changes no result.
    """
    batch = run.batch
    waiting, most = list(batch.cells), len(batch.cells)
    while waiting:
        given, done, exhausted = waiting[:most], 0, False
        try:
            for coords, content in _call(run, given):
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
                reason = _reason(batch, run.watch.refused() or error)
                run.failures.append(Failure(given[done].coords, reason))
                done += 1
        if exhausted:  # only here, for until now the error held all that the phase had in memory
            batch.machine.free_memory()
            if len(given) > 1:
                most = len(given) // 2
                run.warnings.append(f"out of memory with {len(given)} cells at once, going on with {most}")
        waiting = waiting[done:]


def _call(run: _Run, given: Sequence[PlannedCell]) -> Iterator[tuple[Coords, xr.Dataset]]:
    """What the function of the phase yields for these cells.

    It is looked through for NaN and infinity. It ends where something undeclared was read.
    """
    batch = run.batch
    function, config = getattr(run.module, batch.task.name), batch.task.settings(batch.selection)
    inputs = _inputs(run)
    run.watch.check_imports(batch.components.code)
    run.fix()
    for coords, content in function([cell.coords for cell in given], config, **inputs):
        if refused := run.watch.refused():  # the phase went on without what it was not given
            raise refused
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
    _check_unchanged(batch, name)
    return value


def _check_unchanged(batch: Batch, name: str) -> None:
    """Raise BuildError for a resource that is another one than when the build was planned."""
    if batch.resources[name].identity() != batch.components.resources[name]:
        expected = "the files that this build was planned with"
        raise BuildError(name, expected=expected, got="files changed since", remedy="build again")


def _inputs(run: _Run) -> dict[str, Any]:
    """The arguments of a phase after `cells` and `config`."""
    batch = run.batch
    upstream = {name for cell in batch.cells for name in cell.reads}
    inputs: dict[str, Any] = {}
    for name in batch.task.needs:
        if name in upstream:
            reads = [(cell.coords, cell.reads[name]) for cell in batch.cells]
            inputs[name] = Upstream(batch.store, name, reads)
        else:
            with run.watch.allowing(run.consulted[name]):
                inputs[name] = loaded.get(batch, name)
                if keep := batch.resources[name].keep:
                    keep()
    return inputs


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


def _commit(run: _Run, finished: Sequence[Output], started: float) -> Result:
    batch = run.batch
    if not finished:
        return Result("", [], run.failures)
    for name in batch.resources:  # some are read, or mapped, as they are used
        with run.watch.allowing(run.consulted[name]):
            _check_unchanged(batch, name)
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
    return Result(manifest.object, entries, run.failures)
