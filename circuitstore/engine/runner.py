"""Building: phase by phase, compute what is missing, publish artifacts, then refs."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from circuitstore.engine.planner import Planner, Step
from circuitstore.engine.task import Selection, Task
from circuitstore.errors import BuildError, CircuitstoreError, DamageError, GateError, UsageError
from circuitstore.storage.artifact import Artifact, Cell, content_of, write_artifact
from circuitstore.storage.refs import read_ref, write_ref

if TYPE_CHECKING:
    from circuitstore.engine.batch import Failure, Result


class PhaseReport(msgspec.Struct, frozen=True):
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
    """Hears of a build's progress. `end` is called for every phase, also for one that failed."""

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
    planner: Planner,
    selections: Sequence[Selection],
    goals: tuple[str, ...],
    reporter: Reporter,
    options: Options,
) -> None:
    """Build the named phases (all when none is named) and what they need, for each selection.

    What is there is not computed again. A failed cell fails its phase after the others are committed. Then
    the build stops, or with `keep_going` goes on with all that does not need the failed phase. Raises the
    first failure: BuildError, GateError.
    """
    tasks = planner.pipeline.closure(goals)
    steps = {selection.behaviour: planner.steps(selection, tasks) for selection in selections}
    # Whatever can be known to be wrong stops here, before anything is written.
    for note in planner.check(step for planned in steps.values() for step in planned):
        reporter.warn(note)
    if any(step.artifact is None for planned in steps.values() for step in planned):
        if sys.flags.optimize:
            expected = "all that code says, which includes what it asserts"
            raise UsageError("Python", expected=expected, got="the option -O", remedy="leave out -O")
        planner.store.check_writable()
        planner.store.sweep()
    planner.memo.save()
    _Build(planner, tasks, reporter, options).run(steps)


class _Build:
    """One build under way: what is done, and what failures block."""

    def __init__(self, planner: Planner, tasks: Sequence[Task], reporter: Reporter, options: Options):
        self.planner, self.tasks, self.reporter, self.options = planner, tasks, reporter, options
        self.done: dict[str, dict[str, Artifact]] = {}
        self.blocked: set[tuple[str, str]] = set()
        self.errors: list[CircuitstoreError] = []

    def run(self, steps: dict[str, list[Step]]) -> None:
        """Bring every step up to date, phase by phase. Raises the first failure."""
        self.done = {behaviour: {} for behaviour in steps}
        for index, task in enumerate(self.tasks):
            for behaviour, planned in steps.items():
                if (task.name, behaviour) not in self.blocked:
                    self._try(planned[index])
        if self.errors:
            raise self.errors[0]

    def _try(self, step: Step) -> None:
        phase, behaviour = step.task.name, step.selection.behaviour
        try:
            artifact = self._bring_up_to_date(step)
            self.done[behaviour][phase] = artifact
            self._gate(artifact, last=step.task is self.tasks[-1])
        except CircuitstoreError as error:
            if not self.options.keep_going:
                raise
            self.errors.append(error)
            self.reporter.warn(str(error))
            self.blocked |= self._blocked_by(phase, behaviour)

    def _bring_up_to_date(self, step: Step) -> Artifact:
        started = time.monotonic()
        if step.waits:
            step = self.planner.complete(step, self.done[step.selection.behaviour])
        artifact, computed = step.artifact, 0
        if artifact is None:
            computed = len(step.todo)
            artifact = self._compute(step)
        self._point_ref(step, artifact)
        seconds = round(time.monotonic() - started, 3)
        hits = step.count - computed
        task, behaviour = step.task.name, step.selection.behaviour
        self.reporter.end(PhaseReport(task, behaviour, step.count, hits, computed, 0, seconds, artifact.key))
        return artifact

    def _compute(self, step: Step) -> Artifact:
        """Compute the missing cells of a step, and publish its artifact."""
        from circuitstore.engine.batch import batches
        from circuitstore.engine.executors import (
            executor,  # and with it xarray, which a warm build leaves alone
        )

        gc.enable()
        self.reporter.begin(step)
        pipeline, store = self.planner.pipeline, self.planner.store
        work = batches(pipeline.package, step, store, pipeline.machine)
        results: list[Result] = []
        failures: list[Failure] = []
        for result in executor(self.options.jobs, len(work)).run(work, self.reporter.progress):
            for warning in result.warnings:
                self.reporter.warn(f"{step.task.name} of {step.selection.behaviour}: {warning}")
            self.planner.learn(step.task, result.object, result.entries)
            results.append(result)
            failures += result.failures
        if failures:
            raise self._failed(step, failures)
        return self._publish(step, self._cells(step, results))

    def _cells(self, step: Step, results: Iterable[Result]) -> list[Cell]:
        """The cells of a step in order: those that were there, and those that workers returned."""
        computed = {
            entry.key: Cell(entry.coords, entry.content, result.object, entry.row)
            for result in results
            for entry in result.entries
        }
        if step.task.rows:
            rows = sum(len(result.entries) for result in results)
            if len(computed) < rows:
                expected, got = "rows whose coordinates differ", f"{rows - len(computed)} of {rows} twice"
                raise BuildError(f"phase {step.task.name}", expected=expected, got=got)
            return list(computed.values())
        cells, other = [], {}
        for planned in step.cells:
            if planned.copy is not None:
                copy = planned.copy
                cells.append(Cell(planned.coords, copy.content, copy.object, copy.row))
                continue
            cell = computed[planned.key]
            if planned.first and planned.first != cell.content:
                other[planned.key] = planned.first, cell
            cells.append(cell)
        if other:
            self._warn_of_lost_contents(step, other)
        return cells

    def _publish(self, step: Step, cells: list[Cell]) -> Artifact:
        """Publish a step's output, unless another process published one under the same key meanwhile."""
        artifact = Artifact(
            phase=step.task.name,
            behaviour=step.selection.behaviour,
            key=step.key,
            content=content_of(cells),
            axes=list(step.task.axes),
            count=len(cells),
            objects=list(dict.fromkeys(cell.object for cell in cells)),
            components=step.components,
            upstream=step.upstream,
            summary=self._summary(step, cells),
            table=msgspec.Raw(msgspec.json.encode(cells)),
        )
        standing = self.planner.intact_artifact(step.key)
        if standing is None:
            write_artifact(self.planner.store, artifact)
            return artifact
        if standing.content != artifact.content:
            ours = {tuple(cell.coords.items()): cell for cell in cells}
            both = [(cell, ours.get(tuple(cell.coords.items()))) for cell in standing.cells]
            apart = [(one, two) for one, two in both if two is not None and one.content != two.content]
            self._warn_of_two_contents(step, apart, "another build published the first one; it is kept")
        return standing

    def _summary(self, step: Step, cells: list[Cell]) -> dict[str, object]:
        if not step.task.summary:
            return {}
        from circuitstore.engine.audit import watching
        from circuitstore.engine.cover import cover
        from circuitstore.engine.inputs import Cells
        from circuitstore.engine.loading import check_loaded, load_module

        pipeline, store, task = self.planner.pipeline, self.planner.store, step.task
        name = task.module(pipeline.package)
        covered = cover(task, name, step.components, {}, store)
        with pipeline.machine.fixed(), watching(task.name, covered) as watch:
            module = load_module(name, step.components.code)
            watch.check_imports(step.components.code)
            every = Cells(store, task.name, cells)
            summary: dict[str, object] = module.summary(every, task.settings(step.selection))
            check_loaded(step.components.code)
            if refused := watch.refused():
                raise refused
        return summary

    def _point_ref(self, step: Step, artifact: Artifact) -> None:
        """Point the human name at the artifact; the last thing that is written."""
        try:
            ref = read_ref(self.planner.store, step.name)
        except DamageError:  # what it said is known, so it is written anew
            ref = None
        if ref is None or (ref.artifact, ref.content) != (artifact.key, artifact.content):
            write_ref(self.planner.store, step.name, artifact, time.time_ns())

    def _failed(self, step: Step, failures: Sequence[Failure]) -> BuildError:
        """The error of a step some of whose cells failed, which is reported too."""
        phase, behaviour, todo = step.task.name, step.selection.behaviour, len(step.todo)
        computed, hits = todo - len(failures), step.count - todo
        self.reporter.end(
            PhaseReport(phase, behaviour, step.count, hits, computed, len(failures), 0.0, artifact="")
        )
        cell = ", ".join(f"{axis} {at}" for axis, at in failures[0].coords.items())
        where = f"phase {phase}, behaviour {behaviour}" + (f", {cell}" if cell else "")
        kept = "the others are kept, the next build tries these again"
        remedy = f"{len(failures)} of {len(step.cells)} cells failed; {kept}"
        return BuildError(where, got=failures[0].reason, remedy=remedy)

    def _gate(self, artifact: Artifact, *, last: bool) -> None:
        """Stop what comes after a phase whose summary says that the behaviour is not there."""
        verdict = str(artifact.summary.get("gate", ""))
        where = f"{artifact.phase} of {artifact.behaviour}"
        if verdict and (self.options.ignore_gate or last):
            self.reporter.warn(f"{where}: {verdict}")
        elif verdict:
            remedy = "choose another model or behaviour, or pass --ignore-gate"
            raise GateError(where, got=verdict, remedy=remedy)

    def _warn_of_lost_contents(self, step: Step, other: dict[str, tuple[str, Cell]]) -> None:
        """Warn of cells whose content (key → content hash) is lost, and is another one now."""
        from circuitstore.engine.twins import first_cells

        lost = {key: content for key, (content, _) in other.items()}
        first = first_cells(self.planner.store, step.task.name, lost)
        pairs = [(first[key], cell) for key, (_, cell) in other.items()]
        self._warn_of_two_contents(step, pairs, "this one is used, and what reads it is computed again")

    def _warn_of_two_contents(self, step: Step, pairs: Sequence[tuple[Cell, Cell]], remedy: str) -> None:
        """Warn that cells, each given with its first content and its other one, have two contents."""
        from circuitstore.engine.twins import of_pairs, told

        if pairs:
            found = of_pairs(self.planner.store, step.name, pairs, step.task)
            self.reporter.warn(f"{told(found)}; {remedy}")

    def _blocked_by(self, phase: str, behaviour: str) -> set[tuple[str, str]]:
        from circuitstore.engine.graph import (  # networkx takes longer to import than a warm build
            blocked_by,
            jobs,
        )

        return blocked_by(jobs(self.planner.pipeline, self.tasks, list(self.done)), (phase, behaviour))
