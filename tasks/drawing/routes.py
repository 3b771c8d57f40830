"""Routes of edges in a diagram, upwards and around the boxes that lie between.

A route is a chain of curves that are vertical at their ends. Where it would cross a box, it is led through
the nearest gap of that row. Lengths are in cm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, right, foot, top

GAP = 0.07  # between a route and a box
STEPS = np.linspace(0, 1, 33)


def route(start: Point, end: Point, boxes: Iterable[Box], sides: Point) -> list[Point]:
    """Where a route from ``start`` up to ``end`` is vertical: both ends, and its passages between boxes.

    ``sides`` are the least and the largest x of a passage, which must be free at one of them at least.
    """
    points = [start, end]
    rows: dict[Point, list[Point]] = {}  # (foot, top) → what its boxes take of the row
    for left, right, foot, top in boxes:
        if foot > start[1] and top < end[1]:
            rows.setdefault((foot, top), []).append((left - GAP, right + GAP))
    # Each passage bends the route below it, where it may then meet boxes that it passed before.
    while passage := next(_passages(points, rows, sides), None):
        row, x = passage
        del rows[row]
        points = sorted([*points, (x, row[0]), (x, row[1])], key=lambda point: point[1])
    return points


def _passages(
    points: list[Point], rows: dict[Point, list[Point]], sides: Point
) -> Iterator[tuple[Point, float]]:
    """The rows, from below, in which the route would cross a box, and where it can pass."""
    x, y = curve(points)
    for foot, top in sorted(rows):
        middle = float(np.interp((foot + top) / 2, y, x))
        inside = [middle, *x[(y >= foot) & (y <= top)]]
        if any(left < max(inside) and right > min(inside) for left, right in rows[foot, top]):
            yield (foot, top), nearest_free(middle, rows[foot, top], sides)


def nearest_free(x: float, taken: list[tuple[float, float]], sides: Point) -> float:
    """The place nearest to ``x`` that is in none of the intervals and between the ``sides``."""
    low, high = sides
    ends = [end for end in (x, *sides, *(end for each in taken for end in each)) if low <= end <= high]
    free = [end for end in ends if not any(left < end < right for left, right in taken)]
    return min(free, key=lambda end: abs(end - x))


def curve(points: list[Point]) -> tuple[np.ndarray, np.ndarray]:
    """Points along a route, x and y (n,), y ascending."""
    parts = [
        (x0 + (x1 - x0) * STEPS**2 * (3 - 2 * STEPS), bent(y0, y1)) for (x0, y0), (x1, y1) in pairwise(points)
    ]
    x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    return x, y


def bent(low: float, high: float) -> np.ndarray:
    """The heights along one curve of a route, whose control points lie at 45 % and 55 % of its height."""
    a, b = low + 0.45 * (high - low), high - 0.45 * (high - low)
    rest = 1 - STEPS
    return np.asarray(rest**3 * low + 3 * rest**2 * STEPS * a + 3 * rest * STEPS**2 * b + STEPS**3 * high)
