"""Adopting: after a change of code that changes no result, stored cells get the keys of the new code.

Only code may differ: the settings, the resources and what a cell reads must be those that it was made with.
Some cells, drawn at random, are computed again by the new code, in a scratch store. If all of them agree, the
others are taken over too, with a journal that says from which artifact and how many were computed again. If
one does not agree, nothing is written. So an adopted result is as good as that sample.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from circuitstore.engine.agreement import Difference, largest
from circuitstore.engine.explain import changes, differences
from circuitstore.engine.fingerprint import digest
from circuitstore.engine.keys import cell_config
from circuitstore.engine.lookup import PlannedCell
from circuitstore.engine.planner import FRESH, Planner, Step
from circuitstore.engine.provenance import provenance
from circuitstore.engine.rebuild import Scratch
from circuitstore.errors import DamageError, MissingError
from circuitstore.storage.actions import Entry, journals, write_journal
from circuitstore.storage.artifact import Artifact, Cell
from circuitstore.storage.hold import hold_all
from circuitstore.storage.lease import Lease
from circuitstore.storage.records import Coords
from circuitstore.storage.refs import named


class Apart(msgspec.Struct, frozen=True):
    """A cell that the new code gives otherwise, or not at all."""

    coords: Coords
    differences: list[Difference]
    problem: str


class Adopted(msgspec.Struct):
    """What became of one phase of one behaviour; the keys of `adopt --json`.

    cells: how many cells of the new code's output are missing; offered: how many of them an artifact has that
    was made from all the same but code; checked: how many were computed again; equal: to the bit; close:
    within the tolerance; share: the largest difference of those, as a share of a variable's largest value;
    adopted: how many have the new keys now. fresh: whether nothing had to be adopted. why: what stands in the
    way, if so.
    """

    phase: str
    behaviour: str
    cells: int = 0
    offered: int = 0
    checked: int = 0
    equal: int = 0
    close: int = 0
    share: float = 0.0
    adopted: int = 0
    fresh: bool = False
    differing: list[Apart] = []
    why: list[str] = []

    @property
    def complete(self) -> bool:
        """Whether nothing of the phase is missing any more."""
        return 0 < self.adopted == self.cells


class _Offer(NamedTuple):
    """A missing cell of the new code, and the stored cell that may be it."""

    planned: PlannedCell
    stored: Cell
    reads: dict[str, str]  # phase → hash of what is read of it


def adopt(
    planner: Planner,
    step: Step,
    count: int,
    *,
    tolerance: float = 0.0,
    progress: Callable[[int], None] = lambda cells: None,
) -> Adopted:
    """Give the cells of the newest artifact of a planned step the keys of the code at hand, if they agree.

    `count` of them are computed again. Without a tolerance they must be equal to the bit. Raises StoreError.
    """
    report = Adopted(step.task.name, step.selection.behaviour, fresh=step.state == FRESH)
    previous = _newest(planner, step)
    report.why = _obstacles(planner, step, previous)
    if report.why or previous is None:
        return report
    offers = _offers(planner, step, previous)
    report.cells, report.offered = len(step.todo), len(offers)
    if not offers:
        report.why = ["no missing cell reads what a stored one read"]
        return report
    started = time.time()
    drawn = random.SystemRandom().sample(offers, min(count, len(offers)))
    _check(planner, step, drawn, tolerance, report, progress)
    if not report.differing:
        _take_over(planner, step, previous, offers, report, {"tolerance": tolerance, "started": started})
    return report


def _newest(planner: Planner, step: Step) -> Artifact | None:
    try:
        return named(planner.store, step.name)
    except (MissingError, DamageError):
        return None


def _obstacles(planner: Planner, step: Step, previous: Artifact | None) -> list[str]:
    """Why nothing can be adopted; none if nothing stands in the way."""
    if step.state == FRESH:
        return ["it is fresh"]
    if previous is None:
        return ["it was never built"]
    if step.waits:
        return [f"build or adopt {step.waits} first"]
    if step.task.rows or not step.task.per:
        return ["it is computed as a whole, so nothing is saved: build it"]
    then, now = previous.components, step.components
    configs = cell_config(step.task, then.config), cell_config(step.task, now.config)
    if differences(*configs) or differences(then.resources, now.resources):
        return [f"not only code changed: {each}" for each in changes(planner.store, previous, now)]
    return [] if differences(then.code, now.code) else ["no code changed: build it"]


def _offers(planner: Planner, step: Step, previous: Artifact) -> list[_Offer]:
    """The missing cells that the newest artifact has, and that read the same there."""
    stored = {_at(cell.coords): cell for cell in previous.cells}
    made = _made(planner, step, previous)
    offers = []
    for planned in step.todo:
        cell = stored.get(_at(planned.coords))
        reads = {
            name: digest("reads", [[each.coords, each.content] for each in cells])
            for name, cells in planned.reads.items()
        }
        if cell is not None and made.get((cell.object, cell.row)) == reads:
            offers.append(_Offer(planned, cell, reads))
    return offers


def _made(planner: Planner, step: Step, previous: Artifact) -> Mapping[tuple[str, int], dict[str, str]]:
    """(object, row) → what the cell there read, of cells that the code of an artifact made."""
    code = previous.components.code
    return {
        (journal.object, entry.row): entry.upstream
        for journal in journals(planner.store, step.task.name)
        if journal.components.code == code
        for entry in journal.cells
    }


def _check(
    planner: Planner,
    step: Step,
    drawn: list[_Offer],
    tolerance: float,
    report: Adopted,
    progress: Callable[[int], None],
) -> None:
    """Compute some cells by the new code, and add what came of it to the report."""
    cells = [offer.stored for offer in drawn]
    missing = [msgspec.structs.replace(offer.planned, copy=None, first="") for offer in drawn]
    with tempfile.TemporaryDirectory(prefix="circuitstore-") as folder:
        scratch = Scratch(folder, msgspec.structs.replace(step, cells=missing, kept=[]))
        scratch.compute(planner, cells, progress)
        for cell in cells:
            found, problem = scratch.compared(planner.store, cell, tolerance)
            beyond = [each for each in found if not (each.within and tolerance)]
            if problem or beyond:
                report.differing.append(Apart(cell.coords, beyond, problem))
            elif found:
                report.close += 1
                report.share = max(report.share, largest(found))
            else:
                report.equal += 1
    report.checked = len(cells)


def _take_over(
    planner: Planner,
    step: Step,
    previous: Artifact,
    offers: Iterable[_Offer],
    report: Adopted,
    how: Mapping[str, Any],
) -> None:
    """Publish a journal for each object that holds cells which are taken over."""
    store = planner.store
    told = {name: getattr(report, name) for name in ("offered", "checked", "equal", "close", "share")}
    code = {
        path: [old, new] for path, old, new in differences(previous.components.code, step.components.code)
    }
    facts = provenance(planner.pipeline.machine, how["started"])
    facts["adopted"] = {"from": previous.key, **told, "tolerance": how["tolerance"], "code": code}
    by_object: dict[str, list[Entry]] = {}
    for planned, cell, reads in offers:
        entry = Entry(planned.key, planned.coords, cell.content, cell.row, reads)
        by_object.setdefault(cell.object, []).append(entry)
    with Lease(store):
        if not hold_all(map(store.object, by_object)):
            raise MissingError(f"{step.name} in {store.root}", expected="its objects", got="nothing any more")
        for name, entries in by_object.items():
            write_journal(
                store, step.task.name, step.selection.behaviour, name, entries, step.components, facts
            )
            report.adopted += len(entries)


def _at(coords: Coords) -> frozenset[tuple[str, str | int]]:
    return frozenset(coords.items())
