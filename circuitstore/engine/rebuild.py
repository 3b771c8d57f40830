"""Computing stored cells again, to see whether the store tells the truth.

A hash says that a content is what was written. It does not say that the content is what its key gives: a
store from elsewhere can hold a wrong number under an honest hash. So cells are drawn at random, computed anew
from the stored cells that they read, in a scratch store, and compared with what the artifact says. Only what
the code and settings at hand give can be computed again.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from circuitstore.engine.agreement import Difference, compare, largest
from circuitstore.engine.batch import batches
from circuitstore.engine.executors import ThisProcess
from circuitstore.engine.limits import TOLERANCE
from circuitstore.engine.planner import FRESH, Planner, Step
from circuitstore.engine.twins import contrast, environment
from circuitstore.errors import (
    DamageError,
    MissingError,
    PromptError,
    UndeclaredReadError,
    UnreadableError,
    some_of,
)
from circuitstore.storage.actions import journals
from circuitstore.storage.artifact import Artifact, Cell
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.records import Coords
from circuitstore.storage.refs import names


class Disagreement(msgspec.Struct, frozen=True):
    """A stored cell that is not what its key gives here.

    differences: the variables beyond the tolerance. problem: why the cell could not be compared, if so. made:
    the environment that it was made in. here: what differs between that and this one.
    """

    phase: str
    behaviour: str
    coords: Coords
    differences: list[Difference]
    problem: str
    made: dict[str, Any]
    here: str


class Skipped(msgspec.Struct, frozen=True):
    """A built phase that cannot be computed again, and why."""

    phase: str
    behaviour: str
    why: list[str]


class Rebuilt(msgspec.Struct):
    """What was computed again; a part of `verify --json`.

    cells: how many there are to draw from; drawn: how many were; equal: to the bit; close: within the
    tolerance; share: the largest difference of those, as a share of a variable's largest value.
    """

    cells: int
    drawn: int
    tolerance: float
    equal: int = 0
    close: int = 0
    share: float = 0.0
    differing: list[Disagreement] = []
    skipped: list[Skipped] = []


class _Candidate(msgspec.Struct, frozen=True):
    """A fresh phase, planned as if nothing of it were there."""

    step: Step
    artifact: Artifact


def rebuild(
    planner: Planner,
    steps: Sequence[Step],
    count: int,
    *,
    tolerance: float = TOLERANCE,
    progress: Callable[[int], None] = lambda cells: None,
) -> Rebuilt:
    """Compute `count` cells again, drawn at random from the artifacts of these planned steps, and compare.

    Nothing is written to the store. Raises MissingError when there is nothing to draw from.
    """
    candidates, skipped = _candidates(planner, steps)
    every = [(at, cell) for at, each in enumerate(candidates) for cell in each.artifact.cells]
    if not every:
        why = some_of([f"{each.phase} of {each.behaviour}: {'; '.join(each.why)}" for each in skipped], 3)
        raise MissingError(
            f"results in {planner.store.root} to compute again",
            expected="a phase that is fresh by `circuitstore status`",
            got=why or "none",
            remedy="name the --profile, --prompts and --set of its build, or build what changed since",
        )
    drawn = random.SystemRandom().sample(every, min(count, len(every)))
    report = Rebuilt(len(every), len(drawn), tolerance, skipped=skipped)
    for at, candidate in enumerate(candidates):
        cells = [cell for which, cell in drawn if which == at]
        if cells:
            _rebuild(planner, candidate, cells, report, progress)
    return report


def _candidates(planner: Planner, steps: Sequence[Step]) -> tuple[list[_Candidate], list[Skipped]]:
    """The steps that can be computed again, and those of them that are built but not by this key."""
    done: dict[str, dict[str, Artifact]] = {}
    built = set(names(planner.store))
    candidates, skipped = [], []
    for step in steps:
        phase, behaviour = step.task.name, step.selection.behaviour
        above = done.setdefault(behaviour, {})
        if step.state == FRESH and step.artifact is not None:
            above[phase] = step.artifact
            candidates.append(_Candidate(_anew(planner, step, above), step.artifact))
        elif step.name in built:
            skipped.append(Skipped(phase, behaviour, step.why))
    return candidates, skipped


def _anew(planner: Planner, step: Step, done: Mapping[str, Artifact]) -> Step:
    """A fresh step as if nothing of it were there: with all of its cells, each to be computed."""
    above = {name: done[name] for name in planner.pipeline.upstream(step.task)}
    cells = planner.planned(step, above).cells
    missing = [msgspec.structs.replace(cell, copy=None, first="") for cell in cells]
    return msgspec.structs.replace(step, artifact=None, cells=missing)


class Scratch:
    """A scratch store with the cells of one phase that were computed again."""

    def __init__(self, folder: str, step: Step):
        self.store, self.step = Store(folder), step
        self._cells: dict[str, Cell] = {}
        self._failed: dict[str, str] = {}

    def compute(self, planner: Planner, cells: Sequence[Cell], progress: Callable[[int], None]) -> None:
        """Compute these cells; a phase that yields rows computes all of them."""
        step, pipeline = self.step, planner.pipeline
        if not step.task.rows:
            wanted = {_at(cell.coords) for cell in cells}
            step = msgspec.structs.replace(step, cells=[c for c in step.cells if _at(c.coords) in wanted])
        work = [
            msgspec.structs.replace(batch, target=self.store)
            for batch in batches(pipeline.package, step, planner.store, pipeline.machine)
        ]
        try:
            for result in ThisProcess().run(work, progress):
                for entry in result.entries:
                    cell = Cell(entry.coords, entry.content, result.object, entry.row)
                    self._cells[_at(entry.coords)] = cell
                self._failed.update({_at(failure.coords): failure.reason for failure in result.failures})
        except (PromptError, UndeclaredReadError) as error:  # it was possible when the cells were stored
            self._failed[_at({})] = str(error)

    def compared(self, store: Store, cell: Cell, tolerance: float) -> tuple[list[Difference], str]:
        """How a cell of a store differs from what was made of it here, or why that cannot be said."""
        where = _at(cell.coords)
        made = self._cells.get(where)
        if made is None:
            reason = self._failed.get(where) or self._failed.get(_at({}))
            return [], reason or "the phase does not give this cell any more"
        if made.content == cell.content:
            return [], ""
        try:
            stored = ObjectReader(store, cell.object).cell(cell.row)
        except (DamageError, UnreadableError) as error:
            return [], str(error)
        again = ObjectReader(self.store, made.object).cell(made.row)
        return compare(stored, again, self.step.task, tolerance), ""

    def environment(self) -> dict[str, Any]:
        """What is recorded of this machine."""
        return next((journal.provenance for journal in journals(self.store, self.step.task.name)), {})


def _rebuild(
    planner: Planner,
    candidate: _Candidate,
    cells: Sequence[Cell],
    report: Rebuilt,
    progress: Callable[[int], None],
) -> None:
    """Compute some cells of one phase again, and add what came of it to the report."""
    step = candidate.step
    with tempfile.TemporaryDirectory(prefix="circuitstore-") as folder:
        scratch = Scratch(folder, step)
        scratch.compute(planner, cells, progress)
        compared = [(cell, *scratch.compared(planner.store, cell, report.tolerance)) for cell in cells]
        here = scratch.environment()
    known = journals(planner.store, step.task.name)
    for cell, found, problem in compared:
        beyond = [each for each in found if not each.within]
        if problem or beyond:
            made = environment(known, cell.object)
            apart = contrast(made, {name: here[name] for name in here if name in made})
            where = step.task.name, step.selection.behaviour, cell.coords
            report.differing.append(Disagreement(*where, beyond, problem, made, apart))
        elif found:
            report.close += 1
            report.share = max(report.share, largest(found))
        else:
            report.equal += 1


def _at(coords: Coords) -> str:
    """Coordinates as text."""
    return msgspec.json.encode(coords, order="deterministic").decode()
