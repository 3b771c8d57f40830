"""Building: phase by phase, compute what is missing, publish artifacts, then refs."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

import msgspec

from circuitstore.engine.holdings import Holdings
from circuitstore.engine.planner import Planner, Step
from circuitstore.engine.publishing import Publisher
from circuitstore.engine.sharing import Sharing, hold, stands
from circuitstore.engine.task import Selection, Task
from circuitstore.engine.upstream import plan_steps
from circuitstore.errors import BuildError, CircuitstoreError, DamageError, GateError, StoreError, UsageError
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.format import VERSION
from circuitstore.storage.index import update
from circuitstore.storage.lease import Lease

if TYPE_CHECKING:
    from circuitstore.engine.batch import Failure, Result
    from circuitstore.engine.executors import Executor


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
    def note(self, text: str) -> None: ...


class Options(msgspec.Struct, frozen=True):
    """How to build; nothing here changes any result."""

    jobs: int = 0
    keep_going: bool = False
    ignore_gate: bool = False
    must_name: bool = True  # if not, a hit needs no name in a store that may only be read
    dask: str = ""  # the address of a scheduler, or "local"


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

    def plan() -> dict[str, list[Step]]:
        return plan_steps(planner, selections, tasks, reporter.warn)

    lease = Lease(planner.store)
    with closing(_Build(planner, tasks, reporter, options, lease)) as underway:
        steps: dict[str, list[Step]] | None = None
        try:
            steps = plan()
        except DamageError:  # or it is being collected at this moment: that can be told once it is held
            if not os.access(planner.store.root, os.W_OK):
                raise
        if steps is not None:
            if all(stands(planner, step) for step in _every(steps)) or _only_read(planner, steps, options):
                planner.memo.save()
                _Build(planner, tasks, reporter, options).run(steps)
                return
            underway.expect(steps)
            _check(planner, steps, reporter)
        prepare(planner, reporter)
        with lease, closing(underway):
            planner.holding = True
            if steps is None:
                planner.holdings = Holdings(planner.store)
                steps = plan()
                _check(planner, steps, reporter)
            while not hold(planner, _every(steps)):
                steps = plan()
            planner.memo.save()
            underway.run(steps)


def _only_read(planner: Planner, steps: Mapping[str, list[Step]], options: Options) -> bool:
    """Whether all is there, and names need not move since the store may only be read."""
    if options.must_name or any(step.artifact is None for step in _every(steps)):
        return False
    try:
        planner.store.check_writable()
    except StoreError:
        return True
    return False


def _every(steps: Mapping[str, list[Step]]) -> list[Step]:
    return [step for planned in steps.values() for step in planned]


def _check(planner: Planner, steps: Mapping[str, list[Step]], reporter: Reporter) -> None:
    """Stop here for whatever can be known to be wrong before anything is written."""
    for note in planner.check(_every(steps)):
        reporter.warn(note)


def prepare(planner: Planner, reporter: Reporter) -> None:
    """Make sure that the store can be written, and tidy up after builds that were killed."""
    if sys.flags.optimize:
        expected = "all that code says, which includes what it asserts"
        raise UsageError("Python", expected=expected, got="the option -O", remedy="leave out -O")
    store = planner.store
    store.check_writable()
    store.sweep()
    if store.exists() and store.version() != VERSION:
        store.create()
        refused = "versions of circuitstore that know only the earlier one refuse it from now on"
        reporter.warn(f"store {store.root} is of format version {VERSION} now; {refused}")


class _Build:
    """One build under way: what is done, and what failures block."""

    def __init__(
        self,
        planner: Planner,
        tasks: Sequence[Task],
        reporter: Reporter,
        options: Options,
        lease: Lease | None = None,
    ):
        """Without a lease there is nothing to write."""
        self.planner, self.tasks, self.reporter, self.options = planner, tasks, reporter, options
        self.lease, self.publisher = lease, Publisher(planner, reporter.warn)
        self.done: dict[str, dict[str, Artifact]] = {}
        self.executor: Executor | None = None  # from when something is to be computed
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
        started, computed, impatient = time.monotonic(), 0, False
        if step.waits:
            step = self._planned(step)
        artifact = step.artifact
        while artifact is None:
            assert self.lease is not None
            sharing = Sharing(self.planner, self.lease, step, impatient)
            artifact, new = self._compute(step, sharing)
            computed += new
            if artifact is None:
                impatient = not sharing.wait(self.reporter.note)
                self.planner.holdings.refresh(step.task.name)
                step = self._planned(step)
                artifact = step.artifact
        if self.lease is not None:
            self.publisher.point_ref(step, artifact)
        seconds = round(time.monotonic() - started, 3)
        hits = step.count - computed
        task, behaviour = step.task.name, step.selection.behaviour
        self.reporter.end(PhaseReport(task, behaviour, step.count, hits, computed, 0, seconds, artifact.key))
        return artifact

    def _planned(self, step: Step) -> Step:
        """A step as it can be planned now, with all that it takes from the store."""
        while True:
            planned = self.planner.complete(step, self.done[step.selection.behaviour])
            if hold(self.planner, [planned]):
                return planned

    def _compute(self, step: Step, sharing: Sharing) -> tuple[Artifact | None, int]:
        """Compute the missing cells of a step but those that other builds compute.

        Gives its artifact, published, or None if cells are left, and how many cells were computed.
        """
        from circuitstore.engine.batch import batches

        gc.enable()
        self.reporter.begin(step)
        executor = self._start()
        pipeline, store, phase = self.planner.pipeline, self.planner.store, step.task.name
        work = batches(pipeline.package, step, store, pipeline.machine, executor.width)
        results: list[Result] = []
        failures: list[Failure] = []
        try:
            for result in executor.run(sharing.free(work), self.reporter.progress):
                for warning in result.warnings:
                    self.reporter.warn(f"{phase} of {step.selection.behaviour}: {warning}")
                self.planner.learn(step.task, result.object, result.entries)
                sharing.lease.release(phase, [entry.key for entry in result.entries])
                results.append(result)
                failures += result.failures
            if failures:
                raise self._failed(step, failures)
            if sharing.left:
                return None, sum(len(result.entries) for result in results)
            artifact = self.publisher.publish(step, results)
        finally:
            sharing.lease.release(phase)
        update(store, phase)
        return artifact, len(step.todo)

    def expect(self, steps: dict[str, list[Step]]) -> None:
        """Let workers start, if there are to be any: they import much while the rest is checked."""
        several = self.options.jobs > 1 or self.options.dask
        if several and any(step.artifact is None for step in _every(steps)):
            self._start()

    def _start(self) -> Executor:
        """What computes the batches of this build."""
        if self.executor is None:
            from circuitstore.engine.executors import executor  # and xarray, which a warm build leaves alone

            assert self.lease is not None
            libraries, told = self.planner.pipeline.libraries, (self.reporter.warn, self.reporter.note)
            self.executor = executor(self.options.jobs, self.options.dask, libraries, self.lease.file, *told)
        return self.executor

    def close(self) -> None:
        """Leave no worker behind."""
        if self.executor is not None:
            self.executor.close()
            self.executor = None

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
        remedy = f"{len(failures)} of {step.count} cells failed; {kept}"
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

    def _blocked_by(self, phase: str, behaviour: str) -> set[tuple[str, str]]:
        from circuitstore.engine.graph import blocked_by, jobs  # networkx takes longer than a warm build

        return blocked_by(jobs(self.planner.pipeline, self.tasks, list(self.done)), (phase, behaviour))
