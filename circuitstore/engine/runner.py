"""Building: phase by phase, compute what is missing, publish artifacts, then refs.

Within a phase, batches of cells are independent. With one job they run in this process; with more, in
joblib's worker processes. Arrays never travel: workers write to the store and return hashes.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from circuitstore.engine.fingerprint import digest
from circuitstore.engine.planner import FRESH, PlannedCell, Planner, Step, assemble
from circuitstore.engine.task import Task
from circuitstore.errors import BuildError, CircuitstoreError, DeterminismError, GateError
from circuitstore.storage.artifact import Artifact, Cell, read_ref, write_artifact, write_ref

if TYPE_CHECKING:
    from circuitstore.engine.work import Batch, Failure, Result
    from circuitstore.storage.actions import Place


class PhaseReport(msgspec.Struct):
    """What a build did for one phase of one behaviour; the keys of `build --json`."""

    phase: str
    behaviour: str
    cells: int
    hits: int
    computed: int
    failed: int
    seconds: float
    artifact: str


class Reporter(Protocol):
    """Hears of a build's progress."""

    def begin(self, step: Step) -> None: ...
    def progress(self, cells: int) -> None: ...
    def end(self, report: PhaseReport) -> None: ...
    def warn(self, text: str) -> None: ...


class Options(msgspec.Struct, frozen=True):
    """How to build; nothing here changes any result."""

    jobs: int = 1
    keep_going: bool = False
    ignore_gate: bool = False


def build(
    planner: Planner, selections: list[Any], goals: tuple[str, ...], reporter: Reporter, options: Options
) -> list[PhaseReport]:
    """Build the named phases (all when none is named) and what they need, for each selection.

    What is there is not computed again. A failed cell fails its phase after the others are committed; then
    the build stops, or with `keep_going` goes on with all that does not need it. Raises the first failure
    when done: BuildError, GateError.
    """
    tasks = planner.pipeline.closure(goals)
    # Whatever can be known to be wrong stops here, before anything is written.
    plan = {
        selection.behaviour: {s.task.name: s for s in planner.steps(selection, tasks)}
        for selection in selections
    }
    for note in planner.check([step for steps in plan.values() for step in steps.values()]):
        reporter.warn(note)
    planner.memo.save()
    done: dict[str, dict[str, Artifact]] = {selection.behaviour: {} for selection in selections}
    reports: list[PhaseReport] = []
    errors: list[CircuitstoreError] = []
    blocked: set[tuple[str, str]] = set()
    for task in tasks:
        for selection in selections:
            behaviour = selection.behaviour
            if (task.name, behaviour) in blocked:
                continue
            try:
                step = plan[behaviour][task.name]
                if step.state != FRESH:
                    step = planner.step(selection, task, done[behaviour])
                artifact, report = _phase(planner, step, reporter, options)
                reports.append(report)
                reporter.end(report)
                done[behaviour][task.name] = artifact
                _gate(task.name, artifact, reporter, last=task is tasks[-1], options=options)
            except CircuitstoreError as error:
                if not options.keep_going:
                    error.reports = reports  # type: ignore[attr-defined]
                    raise
                errors.append(error)
                reporter.warn(str(error))
                blocked |= _blocked(planner, tasks, list(done), (task.name, behaviour))
    if errors:
        errors[0].reports = reports  # type: ignore[attr-defined]
        raise errors[0]
    return reports


def _blocked(planner: Planner, tasks, behaviours: list[str], failed: tuple[str, str]) -> set[tuple[str, str]]:
    from circuitstore.engine.graph import (  # networkx costs more to import than a warm build takes
        blocked_by,
        jobs,
    )

    return blocked_by(jobs(planner.pipeline, tasks, behaviours), failed)


def _phase(
    planner: Planner, step: Step, reporter: Reporter, options: Options
) -> tuple[Artifact, PhaseReport]:
    """Bring one phase up to date."""
    started = time.monotonic()
    artifact, computed = step.artifact, 0
    count = step.count
    if step.state != FRESH:
        reporter.begin(step)
        todo = len(step.todo)
        artifact = _compute(planner, step, reporter, options)
        computed = todo
        count = len(step.cells)
    assert artifact is not None
    profile, behaviour = step.selection.profile_name, step.selection.behaviour
    ref = read_ref(planner.store, profile, behaviour, step.task.name)
    if ref is None or ref.artifact != artifact.key:
        write_ref(planner.store, profile, artifact, behaviour, time.time_ns())
    seconds = round(time.monotonic() - started, 3)
    return artifact, PhaseReport(
        step.task.name, behaviour, count, count - computed, computed, 0, seconds, artifact.key
    )


def _compute(planner: Planner, step: Step, reporter: Reporter, options: Options) -> Artifact:
    task, behaviour = step.task, step.selection.behaviour
    gc.enable()
    entries, failures = {}, []
    for result in _results(_batches(planner, step), reporter, options):
        for warning in result.warnings:
            reporter.warn(f"{task.name} of {behaviour}: {warning}")
        entries.update(
            {(cell.key, digest("coords", cell.coords)): (cell, result.object) for cell in result.entries}
        )
        failures += result.failures
    planner.forget()
    if failures:
        raise _failed(step, failures)
    if task.rows:
        cells = [Cell(cell.coords, cell.content, name, cell.row) for cell, name in entries.values()]
    else:
        found = planner.locate(task, [cell.key for cell in step.cells])
        computed = {key: cell.content for (key, _), (cell, _) in entries.items()}
        cells = []
        for planned in step.cells:
            place = found.get(planned.key)
            if place is None:
                raise BuildError(
                    f"{task.name} of {behaviour}, {planned.coords}",
                    got="a result that vanished from the store",
                    remedy="build again",
                )
            cells.append(Cell(planned.coords, place.content, place.object, place.row))
            if planned.key in computed and computed[planned.key] != place.first:
                _warn(planned, place, computed[planned.key], step, reporter)
    artifact = assemble(step, cells, _summary(planner, step, cells))
    write_artifact(planner.store, artifact)
    return artifact


def _batches(planner: Planner, step: Step) -> list[Batch]:
    from circuitstore.engine.work import (
        Batch,  # and with it xarray, which a build with nothing to do need not import
    )

    store, package, task, todo = planner.store.root, planner.pipeline.package, step.task, step.todo
    parts = [step.cells] if task.rows else list(_packed(todo, task))
    return [Batch(package, task.name, step.selection, store, step.components, cells) for cells in parts]


def _packed(cells: list[PlannedCell], task: Task) -> Iterator[list[PlannedCell]]:
    """At most `batch` cells each; those of one outermost coordinate stay together if they fit, for they share
    work.
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


def _results(work: list[Batch], reporter: Reporter, options: Options) -> Iterator[Result]:
    from circuitstore.engine.work import run_batch

    if options.jobs == 1 or len(work) <= 1:
        for batch in work:
            yield run_batch(batch, reporter.progress)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        for result in Parallel(n_jobs=options.jobs, return_as="generator_unordered")(
            delayed(run_batch)(batch) for batch in work
        ):
            reporter.progress(len(result.entries) + len(result.failures))
            yield result
    except TerminatedWorkerError as error:
        where, remedy = (
            f"phase {work[0].phase}",
            "use fewer --jobs: each has a model of its own (see `circuitstore plan`)",
        )
        raise BuildError(
            where, got="a worker process that was killed, as systems do when memory runs out", remedy=remedy
        ) from error


def _failed(step: Step, failures: list[Failure]) -> BuildError:
    first = failures[0]
    cell = ", ".join(f"{axis} {value}" for axis, value in first.coords.items())
    where = f"phase {step.task.name}, behaviour {step.selection.behaviour}" + (f", {cell}" if cell else "")
    count = f"{len(failures)} of {len(step.cells)} cells failed; the others are kept, the next build tries these again"
    error = BuildError(where, got=first.reason, remedy=count)
    error.report = PhaseReport(  # type: ignore[attr-defined]
        step.task.name,
        step.selection.behaviour,
        len(step.cells),
        len(step.cells) - len(step.todo),
        len(step.todo) - len(failures),
        len(failures),
        0.0,
        "",
    )
    return error


def _warn(cell: PlannedCell, place: Place, content: str, step: Step, reporter: Reporter) -> None:
    where = f"{step.task.name} of {step.selection.behaviour}, {cell.coords}"
    remedy = (
        "the first one is kept" if place.content == place.first else "the first one is lost, this one is used"
    )
    reporter.warn(
        str(
            DeterminismError(
                where, expected=f"content {place.first[:12]}…", got=f"{content[:12]}…", remedy=remedy
            )
        )
    )


def _summary(planner: Planner, step: Step, cells: list[Cell]) -> dict[str, object]:
    if not step.task.summary:
        return {}
    from circuitstore.engine.inputs import Cells, Upstream

    module = importlib.import_module(step.task.module(planner.pipeline.package))
    read = Upstream(planner.store, step.task.name, [({}, cells)])
    return module.summary(Cells(read, {}), step.selection.config(step.task.name))


def _gate(phase: str, artifact: Artifact, reporter: Reporter, *, last: bool, options: Options) -> None:
    """Stop what comes after a phase whose summary says that the behaviour is not there."""
    verdict = str(artifact.summary.get("gate", ""))
    if verdict and (options.ignore_gate or last):
        reporter.warn(f"{phase} of {artifact.behaviour}: {verdict}")
    elif verdict:
        raise GateError(
            f"{phase} of {artifact.behaviour}",
            got=verdict,
            remedy="choose another model or behaviour, or pass --ignore-gate",
        )
