"""Whether two contents of one cell agree: they are the same, but for the last bits of their numbers.

Another processor, another number of threads or another device adds in another order. The same cell then has
other last bits, and so another content hash. Whole numbers and text must be equal. Floating-point numbers may
differ by a share of the largest value of their variable: a sum of large terms that cancel has the rounding of
these terms, however small the sum is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import xarray as xr

from circuitstore.engine.limits import RANKED, TOLERANCE
from circuitstore.engine.task import Task
from circuitstore.storage.content import content_hash, dtype_name, plain

# Two numbers that are rounded to few digits differ by a whole step when they lie about half-way.
STEPS = {"bfloat16": 2.0**-7, "float16": 2.0**-10}
Array = np.ndarray[Any, Any]


class Difference(msgspec.Struct, frozen=True):
    """One variable in which two contents differ, or the attributes of the cell.

    share: the largest difference, as a share of the variable's largest value; None for what has no size.
    within: whether the two agree all the same.
    """

    variable: str
    problem: str
    share: float | None
    within: bool


def compare(
    stored: xr.Dataset, made: xr.Dataset, task: Task | None = None, tolerance: float = TOLERANCE
) -> list[Difference]:
    """The variables in which two contents of one cell differ; none when they are equal to the bit.

    The phase says which of its variables measure rounding or follow from an order (`Task`).
    """
    found = []
    if plain(stored.attrs) != plain(made.attrs):
        found.append(_unequal("attributes", f"{plain(stored.attrs)} and {plain(made.attrs)}"))
    for name in sorted({*map(str, stored.variables), *map(str, made.variables)}):
        if name not in stored.variables or name not in made.variables:
            found.append(_unequal(name, "only in one of the two"))
        else:
            found += _compare(name, stored[name].variable, made[name].variable, task, tolerance)
    return found


def largest(differences: Iterable[Difference]) -> float:
    """The largest share by which variables differ."""
    return max((each.share for each in differences if each.share is not None), default=0.0)


def _compare(
    name: str, stored: xr.Variable, made: xr.Variable, task: Task | None, tolerance: float
) -> list[Difference]:
    """The difference of one variable, if there is one."""
    if content_hash(xr.Dataset({name: stored})) == content_hash(xr.Dataset({name: made})):
        return []
    kinds = [(v.dims, dtype_name(v.values), v.shape, plain(v.attrs)) for v in (stored, made)]
    if kinds[0] != kinds[1]:
        shapes = [dict(zip(each.dims, each.shape, strict=True)) for each in (stored, made)]
        return [_unequal(name, f"{shapes[0]} and {shapes[1]}, or another kind of value")]
    encoding = str(stored.attrs.get("encoding", stored.dtype.name))
    ours, theirs = numbers(stored), numbers(made)
    allowed = max(tolerance, STEPS.get(encoding, 0.0))
    if task is not None and name in task.ranked:
        return [_of_ranked(name, ours, theirs, allowed)]
    if ours.dtype.kind != "f":
        return [_unequal(name, f"{np.count_nonzero(ours != theirs)} of {ours.size} values are not equal")]
    finite = np.isfinite(ours)
    same_places = np.array_equal(ours[~finite], theirs[~finite], equal_nan=True)
    if not same_places or not np.isfinite(theirs[finite]).all():
        return [_unequal(name, "NaN or infinity in other places")]
    scale = 1.0 if task is not None and name in task.rounding else None
    return [_of_numbers(name, ours[finite], theirs[finite], scale, allowed)]


def _of_numbers(name: str, ours: Array, theirs: Array, scale: float | None, allowed: float) -> Difference:
    """The difference of finite numbers, against a scale or else the largest of them."""
    apart = np.abs(ours - theirs)
    worst = float(np.max(apart, initial=0.0))
    most = float(np.max(np.abs(ours), initial=0.0)) if scale is None else scale
    share = worst / most if most else (math.inf if worst else 0.0)
    count = f"{np.count_nonzero(apart)} of {apart.size} values differ"
    problem = f"{count}, by at most {share:.1e} of the largest, {most:.4g}"
    return Difference(name, problem, share, share <= allowed)


def _of_ranked(name: str, ours: Array, theirs: Array, allowed: float) -> Difference:
    """The difference of what follows from an order: the same numbers at other places, or a few other choices.

    With no tolerance both must be equal.
    """
    if ours.dtype.kind == "f":
        found = _of_numbers(name, np.sort(ours, axis=None), np.sort(theirs, axis=None), None, allowed)
        problem = f"sorted by size, {found.problem}"
        return Difference(name, problem, found.share, found.within and allowed > 0)
    count = int(np.count_nonzero(ours != theirs))
    problem = f"{count} of {ours.size} choices are others"
    return Difference(name, problem, None, count <= (RANKED * ours.size if allowed else 0))


def numbers(variable: xr.Variable) -> Array:
    """The values, floating-point ones in double precision."""
    values = np.asarray(variable.values)
    if variable.attrs.get("encoding") == "bfloat16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def _unequal(variable: str, problem: str) -> Difference:
    return Difference(variable, problem, None, False)
