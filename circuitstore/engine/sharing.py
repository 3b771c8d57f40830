"""Several builds in one store: each cell is computed by one of them, and none loses what it takes from there.

A build claims the cells of a batch before it computes them (`circuitstore/storage/lease.py`), and passes over
those that another build has claimed or published since. When none but those are left, it waits until they are
published or given up, and plans the phase again. Claims are no locks: a build that waited too long, or whose
claims are not seen, computes cells twice and gets the same contents.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from circuitstore.engine.holdings import Holdings
from circuitstore.engine.lookup import PlannedCell
from circuitstore.engine.planner import Planner, Step
from circuitstore.errors import DamageError
from circuitstore.storage.hold import hold_all
from circuitstore.storage.lease import Holder, Lease
from circuitstore.storage.refs import read_ref

if TYPE_CHECKING:
    from circuitstore.engine.batch import Batch

FIRST_LOOK, LOOK_SECONDS = 0.05, 1.0  # between two looks at what others do, more and more
MOST_WAIT = 3600.0  # seconds that one build waits for the cells of a phase
TELL_SECONDS = 60.0


def stands(planner: Planner, step: Step) -> bool:
    """Whether there is nothing to write for a step: its artifact is there and has its name."""
    if step.artifact is None:
        return False
    try:
        ref = read_ref(planner.store, step.name)
    except DamageError:  # what it said is known, so it is written anew
        return False
    return ref is not None and (ref.artifact, ref.content) == (step.artifact.key, step.artifact.content)


def hold(planner: Planner, steps: Iterable[Step]) -> bool:
    """Hold what these steps take from the store; whether all of it is still there.

    If not, what was known of the store is forgotten, and the steps must be planned again.
    """
    paths: set[str] = set()
    for step in steps:
        if step.artifact is not None:
            paths.add(planner.store.artifact(step.artifact.key))
        paths.update(kept.tree.where for _, kept in step.kept)
        paths.update(planner.store.object(cell.copy.object) for cell in step.cells if cell.copy)
    whole = hold_all(paths)
    if not whole:
        planner.holdings = Holdings(planner.store)
    return whole


class Sharing:
    """The part of a step that this build computes, while others may be computing the rest."""

    def __init__(self, planner: Planner, lease: Lease, step: Step, impatient: bool = False):
        """With `impatient`, what others claim counts for nothing."""
        self.planner, self.lease, self.step, self.impatient = planner, lease, step, impatient
        self.phase = step.task.name
        self.left: list[PlannedCell] = []  # cells that others compute or have published

    def free(self, work: Sequence[Batch]) -> Iterator[Batch]:
        """Claim the batches one by one, each without the cells that another build computes or has published.

        What is claimed is said before others are asked for what they published, so nothing falls between.
        """
        for batch in work:
            with self.lease.turn(self.phase):
                claimed = self._claimed()
                self.planner.holdings.refresh(self.phase)
                cells = [cell for cell in batch.cells if cell.key not in claimed and not self._has(cell)]
                self.lease.claim(self.phase, {cell.key for cell in cells})
            keys = {cell.key for cell in cells}
            self.left += [cell for cell in batch.cells if cell.key not in keys]
            if cells:
                yield msgspec.structs.replace(batch, cells=cells)

    def wait(self, tell: Callable[[str], None]) -> bool:
        """Wait until no other build claims the cells that are left; False if that took too long."""
        started = time.monotonic()
        pause, told = FIRST_LOOK, started - TELL_SECONDS
        while waiting := self._waiting():
            now = time.monotonic()
            if now - started > MOST_WAIT:
                return False
            if now - told >= TELL_SECONDS:
                told = now
                tell(self._told(waiting))
            time.sleep(pause)
            pause = min(LOOK_SECONDS, 1.5 * pause)
        return True

    def _claimed(self) -> dict[str, Holder]:
        return {} if self.impatient else self.lease.claimed(self.phase)

    def _waiting(self) -> list[Holder]:
        """For each cell that is left and not published yet, who computes it."""
        claimed = self._claimed()
        return [claimed[cell.key] for cell in self.left if cell.key in claimed]

    def _told(self, waiting: Sequence[Holder]) -> str:
        who = ", ".join(dict.fromkeys(map(str, waiting)))
        what = f"{len(waiting)} cells of {self.phase} of {self.step.selection.behaviour}"
        return f"waiting for {who}, computing {what}"

    def _has(self, cell: PlannedCell) -> bool:
        """Whether a cell that was missing has been published since."""
        if self.step.task.rows:
            return self.planner.intact_artifact(self.step.key) is not None
        copies = self.planner.holdings.index(self.phase).copies(cell.key)
        return any(map(self.planner.holdings.holds, copies))
