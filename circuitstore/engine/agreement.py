"""Whether two contents of one cell agree: they are the same, but for the last bits of their numbers.

Another processor, another number of threads or another device adds in another order. The same cell then has
other last bits, and so another content hash. Whole numbers and text must be equal. Floating-point numbers may
differ by a share of the largest value of their variable: a sum of large terms that cancel has the rounding of
these terms, however small the sum is.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from typing import Any

import msgspec
import numpy as np
import xarray as xr

from circuitstore.engine.limits import TOLERANCE
from circuitstore.storage.content import content_hash, dtype_name, plain

# Two numbers that are rounded to few digits differ by a whole step when they lie about half-way.
STEPS = {"bfloat16": 2.0**-7, "float16": 2.0**-10}


class Difference(msgspec.Struct, frozen=True):
    """One variable in which two contents differ, or the attributes of the cell.

    share: the largest difference, as a share of the variable's largest value; None for what must be equal.
    within: whether it is within the tolerance.
    """

    variable: str
    problem: str
    share: float | None
    within: bool


def compare(
    stored: xr.Dataset, made: xr.Dataset, tolerance: float = TOLERANCE, rounding: Container[str] = ()
) -> list[Difference]:
    """The variables in which two contents of one cell differ; none when they are equal to the bit.

    Variables in `rounding` measure rounding as a share of something else: their scale is 1.
    """
    found = []
    if plain(stored.attrs) != plain(made.attrs):
        found.append(_unequal("attributes", f"{plain(stored.attrs)} and {plain(made.attrs)}"))
    for name in sorted({*map(str, stored.variables), *map(str, made.variables)}):
        if name not in stored.variables or name not in made.variables:
            found.append(_unequal(name, "only in one of the two"))
        else:
            scale = 1.0 if name in rounding else None
            found += _compare(name, stored[name].variable, made[name].variable, tolerance, scale)
    return found


def largest(differences: Iterable[Difference]) -> float:
    """The largest share by which variables differ; infinite where something that must be equal is not."""
    return max((math.inf if each.share is None else each.share for each in differences), default=0.0)


def _compare(
    name: str, stored: xr.Variable, made: xr.Variable, tolerance: float, scale: float | None
) -> list[Difference]:
    """The difference of one variable, if there is one."""
    if content_hash(xr.Dataset({name: stored})) == content_hash(xr.Dataset({name: made})):
        return []
    kinds = [(v.dims, dtype_name(v.values), v.shape, plain(v.attrs)) for v in (stored, made)]
    if kinds[0] != kinds[1]:
        shapes = [dict(zip(each.dims, each.shape, strict=True)) for each in (stored, made)]
        return [_unequal(name, f"{shapes[0]} and {shapes[1]}, or another kind of value")]
    encoding = str(stored.attrs.get("encoding", stored.dtype.name))
    ours, theirs = _numbers(stored, encoding), _numbers(made, encoding)
    if ours.dtype.kind != "f":
        return [_unequal(name, f"{np.count_nonzero(ours != theirs)} of {ours.size} values are not equal")]
    finite = np.isfinite(ours)
    if (
        not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True)
        or not np.isfinite(theirs[finite]).all()
    ):
        return [_unequal(name, "NaN or infinity in other places")]
    most = float(np.max(np.abs(ours[finite]), initial=0.0)) if scale is None else scale
    allowed = max(tolerance, STEPS.get(encoding, 0.0))
    return [_of_numbers(name, np.abs(ours[finite] - theirs[finite]), most, allowed)]


def _of_numbers(name: str, apart: np.ndarray[Any, Any], most: float, allowed: float) -> Difference:
    """The difference of numbers that are so far `apart`, where the largest is `most`."""
    worst = float(np.max(apart, initial=0.0))
    share = worst / most if most else (math.inf if worst else 0.0)
    problem = f"{np.count_nonzero(apart)} of {apart.size} values differ, by at most {share:.1e} of {most:.4g}"
    return Difference(name, problem, share, share <= allowed)


def _numbers(variable: xr.Variable, encoding: str) -> np.ndarray[Any, Any]:
    """The values, floating-point ones in double precision."""
    values = np.asarray(variable.values)
    if encoding == "bfloat16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def _unequal(variable: str, problem: str) -> Difference:
    return Difference(variable, problem, None, False)
