"""What of the newest output of a phase still holds, found leaf by leaf and not cell by cell.

A cell whose phase has the same code, settings and resources, and which reads the same, has the same key as
before. So its content is the one in the newest artifact, and nobody needs to make its key or to look it up.
Leaves all of whose cells are such are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

import msgspec

from circuitstore.engine.explain import differences
from circuitstore.engine.keys import cell_config
from circuitstore.engine.task import Task
from circuitstore.storage.artifact import Artifact, apart
from circuitstore.storage.leaf import Cell, Leaf, mark_of
from circuitstore.storage.records import Components
from circuitstore.storage.tree import Kept, Tree

Label = tuple[str | int, ...]  # where a cell lies on some axes
NEAR = 2048  # so many cells ahead, a leaf is looked for before all positions are worked out
FEW = 8  # labels that are looked for in the bytes of a leaf before it is decoded


class Touched(msgspec.Struct, frozen=True):
    """The cells of an upstream phase that are others than before.

    axes: those that it shares with the phase that reads it. labels: where on them.
    """

    axes: tuple[str, ...]
    labels: set[Label]

    def among(self, per: tuple[str, ...], labels: Sequence[Label]) -> Iterable[Label]:
        """Those of the cells with these labels on the axes `per` that read a cell which is another."""
        if self.axes == per:
            return self.labels.intersection(labels)
        at = [per.index(axis) for axis in self.axes]
        return [label for label in labels if tuple([label[i] for i in at]) in self.labels]


class Alignment(msgspec.Struct):
    """How a new order of cells lies on an artifact.

    kept: leaves that stand as they are, each with the number of loose cells before it. loose: the positions
    of all other cells. old: the cells of the artifact that are in no kept leaf, are in an object that is
    there, and read what they read before.
    """

    kept: list[tuple[int, Kept]]
    loose: list[int]
    old: dict[Label, Cell]


def comparable(task: Task, now: Components, previous: Artifact) -> bool:
    """Whether cells that read the same have the same keys now as those of an artifact had."""
    if task.rows or previous.axes != list(task.axes):
        return False
    then, upstream = previous.components, now.upstream.keys()
    configs = cell_config(task, then.config), cell_config(task, now.config)
    same = (then.code, then.upstream.keys()) == (now.code, upstream)
    return same and not differences(*configs) and not differences(then.resources, now.resources)


def touched(old: Artifact | None, new: Artifact, per: tuple[str, ...]) -> Touched | None:
    """What of an upstream phase is another than before, for a phase with cells along the axes `per`.

    None when that cannot be said cell by cell. Raises DamageError.
    """
    axes = tuple(axis for axis in per if axis in new.axes)
    if old is None or old.axes != new.axes:
        return None
    rest = [axis for axis in new.axes if axis not in per]
    if any(old.coordinates(axis) != new.coordinates(axis) for axis in rest):  # so another order
        return None
    before, after = (_by_label(leaves, axes, rest) for leaves in apart(old, new))
    either = {*before, *after}
    return Touched(axes, {label for label in either if before.get(label) != after.get(label)})


def _by_label(leaves: Iterable[Leaf], axes: Sequence[str], rest: Sequence[str]) -> dict[Label, object]:
    """Label on some axes → contents of the cells there, by where they lie on the rest."""
    found: dict[Label, dict[Label, str]] = {}
    for leaf in leaves:
        for label, other, content in zip(leaf.labels(axes), leaf.labels(rest), leaf.content, strict=True):
            found.setdefault(label, {})[other] = content
    return dict(found)


def align(
    previous: Artifact,
    per: tuple[str, ...],
    order: list[Label],
    changed: Iterable[Touched],
    intact: Callable[[str], bool],
) -> Alignment:
    """Lay the cells of a new order on those of an artifact with the same axes.

    No leaf is kept that has a cell which reads what changed, or one in an object that is not `intact`. Raises
    DamageError.
    """
    changed = [each for each in changed if each.labels]
    found = Alignment([], [], {})
    find = _Finder(order)
    at = 0
    for ref, leaf in previous.table.leaves():
        labels, tree = leaf.labels(per), previous.table
        held = {name: intact(name) for name in leaf.objects}
        start = find.after(at, labels[0])
        other = {label for each in changed for label in each.among(per, labels)}
        there = all(held.values()) and order[start : start + len(labels)] == labels
        if isinstance(tree, Tree) and there and not other:
            found.loose += range(at, start)
            last = mark_of({axis: values[-1] for axis, values in leaf.coords.items()})
            found.kept.append((len(found.loose), Kept(ref, last, tree)))
            at = start + len(labels)
        else:
            cells = zip(labels, leaf.cells, strict=True)
            found.old |= {label: cell for label, cell in cells if held[cell.object] and label not in other}
    found.loose += range(at, len(order))
    return found


class _Finder:
    """Where labels stand in an order: looked for near by first, for most stand where they stood."""

    def __init__(self, order: list[Label]):
        self.order = order
        self._positions: dict[Label, int] = {}

    def after(self, at: int, label: Label) -> int:
        """The position of a label from `at` on; the end of the order if there is none."""
        if not self._positions:
            try:
                return self.order.index(label, at, at + NEAR)
            except ValueError:
                self._positions = {each: position for position, each in enumerate(self.order)}
        position = self._positions.get(label, -1)
        return position if position >= at else len(self.order)


def reads(
    artifact: Artifact, per: tuple[str, ...], wanted: Sequence[Label]
) -> tuple[list[int], Mapping[Label, list[Cell]]]:
    """The cells of an upstream artifact that cells with these labels on the axes `per` read.

    They are in order, by their labels on the axes that both have, which are given as positions in `per`.
    Raises DamageError.
    """
    axes = [axis for axis in per if axis in artifact.axes]
    at = [per.index(axis) for axis in axes]
    labels = {tuple([label[i] for i in at]) for label in wanted}
    few = bool(axes) and len(labels) <= FEW
    found = _filed(_near(artifact, labels), axes, labels) if few else {}
    if len(found) < len(labels):
        found = _filed(artifact.cells, axes, labels)
    return at, found


def _filed(cells: Iterable[Cell], axes: Sequence[str], labels: Set[Label]) -> dict[Label, list[Cell]]:
    """Label on some axes → the cells there, for these labels."""
    found: dict[Label, list[Cell]] = {}
    for cell in cells:
        label = tuple([cell.coords[axis] for axis in axes])
        if label in labels:
            found.setdefault(label, []).append(cell)
    return found


def _near(artifact: Artifact, labels: Iterable[Label]) -> Iterable[Cell]:
    """The cells of all leaves in which one of these labels may be."""
    tokens = [[msgspec.json.encode(value) for value in label] for label in labels]

    def wanted(raw: bytes) -> bool:
        return any(all(token in raw for token in each) for each in tokens)

    return (cell for _, leaf in artifact.table.leaves(wanted) for cell in leaf.cells)
