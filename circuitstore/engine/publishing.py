"""Publishing what was computed: the artifact of a phase, and then its name.

Another build may have published the same meanwhile. Then what it published first is kept.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from circuitstore.engine.lookup import PlannedCell
from circuitstore.engine.planner import Planner, Step
from circuitstore.engine.sharing import stands
from circuitstore.errors import BuildError, DamageError
from circuitstore.storage.artifact import Artifact, Cell, write_artifact
from circuitstore.storage.hold import hold
from circuitstore.storage.refs import read_ref, write_ref
from circuitstore.storage.tree import Kept, Tree, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from circuitstore.engine.batch import Result


class Publisher:
    """Publishes the outputs of steps; `warn` is told what is not as it should be."""

    def __init__(self, planner: Planner, warn: Callable[[str], None]):
        self.planner, self.warn = planner, warn

    def publish(self, step: Step, results: Iterable[Result]) -> Artifact:
        """Publish a step's output, unless another process published one under the same key meanwhile."""
        parts = self._parts(step, results)
        store, base = self.planner.store, next((leaf.tree for _, leaf in step.kept), None)
        tree = Writer(store, step.task.axes, store.artifact(step.key), base).write(parts)
        artifact = Artifact(
            phase=step.task.name,
            behaviour=step.selection.behaviour,
            key=step.key,
            content=tree.content,
            axes=list(step.task.axes),
            count=tree.count,
            components=step.components,
            table=tree,
            upstream=step.upstream,
            summary=self._summary(step, tree),
            profile=step.selection.profile_name,
        )
        standing = self.planner.intact_artifact(step.key)
        if standing is None or not hold(store.artifact(step.key)):
            write_artifact(store, artifact)
            return artifact
        if standing.content != artifact.content:
            ours = {tuple(cell.coords.items()): cell for cell in artifact.cells}
            both = [(cell, ours.get(tuple(cell.coords.items()))) for cell in standing.cells]
            apart = [(one, two) for one, two in both if two is not None and one.content != two.content]
            self._warn_of_two_contents(step, apart, "another build published the first one; it is kept")
        return standing

    def point_ref(self, step: Step, artifact: Artifact) -> None:
        """Point the human name at the artifact; the last thing that is written.

        What had the name until now is held: it was in use until this moment.
        """
        if not stands(self.planner, msgspec.structs.replace(step, artifact=artifact)):
            with contextlib.suppress(DamageError):
                if ref := read_ref(self.planner.store, step.name):
                    hold(self.planner.store.artifact(ref.artifact))
            write_ref(self.planner.store, step.name, artifact, time.time_ns())

    def _parts(self, step: Step, results: Iterable[Result]) -> list[Kept | Cell]:
        """What a step consists of in order: leaves that stand, cells that were there, and computed ones."""
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
        cells = [_cell(planned, computed) for planned in step.cells]
        both = [(planned, cell) for planned, cell in zip(step.cells, cells, strict=True) if planned.first]
        other = {p.key: (p.first, cell) for p, cell in both if p.first != cell.content}
        if other:
            self._warn_of_lost_contents(step, other)
        parts: list[Kept | Cell] = []
        at = 0
        for before, leaf in step.kept:
            parts += [*cells[at:before], leaf]
            at = before
        return parts + cells[at:]

    def _summary(self, step: Step, tree: Tree) -> dict[str, object]:
        if not step.task.summary:
            return {}
        from circuitstore.engine.summary import summary_of

        return summary_of(self.planner, step, tree)

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
            self.warn(f"{told(found)}; {remedy}")


def _cell(planned: PlannedCell, computed: Mapping[str, Cell]) -> Cell:
    """A cell of a step: the copy that was there, or what was computed (by key)."""
    if planned.copy is None:
        return computed[planned.key]
    return Cell(planned.coords, planned.copy.content, planned.copy.object, planned.copy.row)
