"""How two results of one phase differ: first what they were made from, then their cells, then their numbers.

Two artifacts share cells at equal coordinates. Cells of equal content hash are equal to the bit and are not
read. Of the others each variable is compared, one cell at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import xarray as xr

from circuitstore.engine.agreement import numbers
from circuitstore.engine.explain import change, differences, short
from circuitstore.errors import UsageError
from circuitstore.results.arrays import FEATURE_DIM, POSITION
from circuitstore.storage.artifact import Artifact, ancestry, apart
from circuitstore.storage.layout import Store
from circuitstore.storage.leaf import Cell
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.records import Coords
from circuitstore.storage.sparse import POINTER

Array = np.ndarray[Any, Any]
At = tuple[tuple[str, str | int], ...]
ROWS, COLUMNS, ENTRIES = "rows", "columns", "entries"  # of a sparse variable, among its attributes


class Input(msgspec.Struct, frozen=True):
    """Something that two results, or what they were made from, were not made from alike."""

    phase: str
    kind: str  # code, config, resources, or cells: how many of an output differ
    input: str
    a: Any
    b: Any


class Variable(msgspec.Struct):
    """How one variable differs in the cells that differ.

    cells: in how many of them it does; shapes: in how many of these by its shape, so that no values can be
    compared. values: how many values of the others differ; max_abs: the largest difference of numbers; where:
    the cell it is in, and its index along each dim, of positions from the end; a, b: the two values there;
    mean_abs: the mean over all values that were compared, `compared` of them.
    """

    variable: str
    cells: int = 0
    shapes: int = 0
    values: int = 0
    max_abs: float | None = None
    mean_abs: float | None = None
    where: dict[str, Any] = {}
    a: Any = None
    b: Any = None
    compared: int = 0


class Diff(msgspec.Struct):
    """How two results differ; the keys of `diff --json` for results."""

    a: dict[str, str]
    b: dict[str, str]
    inputs: list[Input]
    cells: dict[str, int]  # a, b: those of one alone; equal; differing
    summary: list[dict[str, Any]]
    variables: list[Variable]


def diff(store: Store, a: Artifact, b: Artifact) -> Diff:
    """Compare two results of one phase. Raises UsageError for two phases, DamageError."""
    if a.phase != b.phase:
        raise UsageError("diff", expected="two results of one phase", got=f"{a.phase} and {b.phase}")
    old, new = _cells_apart(a, b)
    shared = [at for at in old if at in new]
    differing = [at for at in shared if old[at].content != new[at].content]
    only_a, only_b = len(old) - len(shared), len(new) - len(shared)
    counts = {
        "a": only_a,
        "b": only_b,
        "equal": a.count - only_a - len(differing),
        "differing": len(differing),
    }
    summary = [{"field": at, "a": x, "b": y} for at, x, y in differences(a.summary, b.summary)]
    found: dict[str, Variable] = {}
    for at in differing:
        one, other = (_variables(store, cells[at]) for cells in (old, new))
        for name in sorted({*one, *other}):
            _add(found.setdefault(name, Variable(name)), old[at].coords, one.get(name), other.get(name))
    changed = [each for _, each in sorted(found.items()) if each.cells]
    return Diff(_told(a), _told(b), list(_inputs(store, a, b)), counts, summary, changed)


def _told(artifact: Artifact) -> dict[str, str]:
    return {name: getattr(artifact, name) for name in ("phase", "profile", "behaviour", "key", "content")}


def _cells_apart(a: Artifact, b: Artifact) -> tuple[dict[At, Cell], dict[At, Cell]]:
    """The cells of the leaves that the two do not share, by their coordinates."""
    old, new = (
        {tuple(sorted(cell.coords.items())): cell for leaf in leaves for cell in leaf.cells}
        for leaves in apart(a, b)
    )
    return old, new


def _inputs(store: Store, a: Artifact, b: Artifact) -> Iterator[Input]:
    """What differs among what two results were made from, the first phases first."""
    above = [{each.phase: each for each in ancestry(store, top)} for top in (a, b)]
    for phase in reversed([*above[0], *(name for name in above[1] if name not in above[0])]):
        one, other = (each.get(phase) for each in above)
        if one is None or other is None:
            told = "not read" if one is None else "read", "not read" if other is None else "read"
            yield Input(phase, "phase", phase, *told)
            continue
        if one.key == other.key:
            continue
        for kind in ("config", "code", "resources"):
            parts = getattr(one.components, kind), getattr(other.components, kind)
            yield from (Input(phase, kind, path, x, y) for path, x, y in differences(*parts))
        if phase != a.phase and one.content != other.content:
            yield Input(phase, "cells", "content", one.content, other.content)


def _variables(store: Store, cell: Cell) -> dict[str, xr.Variable]:
    """The variables of a cell by name, a sparse one in one piece."""
    dataset = ObjectReader(store, cell.object).cell(cell.row)
    found = {str(name): variable for name, variable in dataset.variables.items()}
    for base in [name.removesuffix(POINTER) for name in found if name.endswith(POINTER)]:
        pointer, feature, value = (found.pop(f"{base}.{part}") for part in ("pointer", "feature", "value"))
        rows = pointer.size - 1
        entries = {ROWS: np.repeat(np.arange(rows), np.diff(pointer.values)), COLUMNS: feature.values}
        found[base] = xr.Variable((POSITION,), np.empty(rows), {**entries, ENTRIES: value.values})
    return found


def _add(into: Variable, coords: Coords, one: xr.Variable | None, other: xr.Variable | None) -> None:
    """Add how a variable differs in one cell."""
    aligned = _aligned(one, other)
    if aligned is None:
        into.cells, into.shapes = into.cells + 1, into.shapes + 1
        return
    ours, theirs, indices = aligned
    changed = (ours != theirs) & ~((ours != ours) & (theirs != theirs))  # two NaN are no difference
    size = changed.astype(float)
    if numeric := ours.dtype.kind in "fiub":
        apart = np.abs(ours.astype(float) - theirs.astype(float))
        size = np.where(changed, np.nan_to_num(apart, nan=np.inf), 0.0)
        mean, into.compared = into.mean_abs or 0.0, into.compared + size.size
        into.mean_abs = mean + (float(size.sum()) - mean * size.size) / max(into.compared, 1)
    if not changed.any():
        return
    into.cells, into.values = into.cells + 1, into.values + int(changed.sum())
    place = np.unravel_index(int(np.argmax(size)), size.shape)
    if not into.where or size[place] > (into.max_abs or 1.0):
        into.where = {**coords, **{dim: int(index[place]) for dim, index in indices.items()}}
        into.a, into.b = ours[place].item(), theirs[place].item()
        into.max_abs = float(size[place]) if numeric else None


def _aligned(
    one: xr.Variable | None, other: xr.Variable | None
) -> tuple[Array, Array, dict[str, Array]] | None:
    """The values of a variable in two cells, and the index of each along each dim; None for other shapes.

    A sparse variable is 0 where it has no entry, and is given where either of the two has one.
    """
    if one is None or other is None:
        return None
    if (one.shape, one.dims) != (other.shape, other.dims):
        return None
    index = dict(zip(map(str, one.dims), np.indices(one.shape), strict=True))
    if ROWS in one.attrs:
        places = [each.attrs[ROWS] << 32 | each.attrs[COLUMNS] for each in (one, other)]
        either = np.union1d(*places)
        dense = np.zeros((2, either.size))
        for row, place, each in zip(dense, places, (one, other), strict=True):
            row[np.searchsorted(either, place)] = each.attrs[ENTRIES]
        return dense[0], dense[1], {POSITION: (either >> 32) - len(one), FEATURE_DIM: either & 0xFFFFFFFF}
    if POSITION in index:
        index[POSITION] -= one.sizes[POSITION]
    return numbers(one), numbers(other), index


def told(found: Diff, most: int) -> Iterator[str]:
    """Differences in lines for people, of inputs and of the summary at most so many."""
    for side, one in (("A", found.a), ("B", found.b)):
        yield f"{side}  {one['profile']}/{one['behaviour']}/{one['phase']}  {one['key'][:12]}"
    lines = [f"{each.phase}: {change(each.kind, each.input, each.a, each.b)}" for each in found.inputs]
    lines += [f"summary: {each['field']} {short(each['a'])} → {short(each['b'])}" for each in found.summary]
    yield from lines[:most]
    if len(lines) > most:
        yield f"… and {len(lines) - most} more (--top)"
    counts = found.cells
    yield (
        f"cells: {counts['equal']} equal, {counts['differing']} differ, {counts['a']} only in A, "
        f"{counts['b']} only in B"
    )
    for each in found.variables:
        yield f"  {each.variable}: in {each.cells} cells{_apart(each)}"


def _apart(each: Variable) -> str:
    """How far a variable is apart."""
    other = f", of another shape in {each.shapes}" if each.shapes else ""
    if not each.values:
        return other
    at = ", ".join(f"{axis} {value}" for axis, value in each.where.items())
    size = "" if each.max_abs is None else f", by at most {each.max_abs:.4g}, {each.mean_abs:.4g} in the mean"
    return f"{other}, {each.values} values{size}; at {at}: {short(each.a)} and {short(each.b)}"
