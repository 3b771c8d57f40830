"""Routes of edges: upwards, vertical at their ends, and through no box."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.drawing.routes import curve, nearest_free, route

ROW = [(left, left + 1.0, 2.0, 2.5) for left in (0.0, 1.2, 2.4, 6.0)]
FAR = (-9.0, 19.0)  # sides that are in nobody's way


def crossed(points: list, boxes: list) -> list:
    """The boxes inside which the route has a point."""
    x, y = curve(points)
    return [box for box in boxes if ((x > box[0]) & (x < box[1]) & (y > box[2]) & (y < box[3])).any()]


@pytest.mark.parametrize("start", [0.5, 1.7, 3.0, 4.5, 9.0])
@pytest.mark.parametrize("end", [0.2, 2.9, 5.0, 6.5])
def test_no_box_between_is_crossed(start, end):
    """Two rows of boxes, from and to many places; the straight way crosses some of them."""
    boxes = ROW + [(left + 0.5, right + 0.5, 3.2, 3.7) for left, right, *_ in ROW]
    points = route((start, 1.0), (end, 5.0), boxes, FAR)
    assert points[0] == (start, 1.0) and points[-1] == (end, 5.0)
    assert (np.diff([y for _, y in points]) > 0).all()
    assert crossed(points, boxes) == []


def test_a_free_way_stays_as_it_is():
    """And boxes of the rows of both ends, and beyond, are not in the way."""
    assert route((4.5, 1.0), (5.0, 5.0), ROW, FAR) == [(4.5, 1.0), (5.0, 5.0)]
    assert crossed([(0.5, 1.0), (0.5, 5.0)], ROW) == [ROW[0]]
    assert len(route((0.5, 2.5), (0.5, 5.0), ROW, FAR)) == len(route((0.5, 0.0), (0.5, 2.0), ROW, FAR)) == 2


def test_the_nearest_gap_is_taken():
    """Touching intervals leave no gap between them."""
    taken = [(0.0, 1.0), (0.8, 2.0), (3.0, 4.0)]
    assert nearest_free(0.9, taken, FAR) == 0.0 and nearest_free(1.9, taken, FAR) == 2.0
    assert nearest_free(2.5, taken, FAR) == 2.5 and nearest_free(3.6, taken, FAR) == 4.0


def test_no_passage_is_beyond_the_sides():
    """The way round the outside is nearer, but off the page; where all is free, nothing is moved."""
    taken = [(0.5, 1.0), (2.0, 4.5)]
    assert nearest_free(4.4, taken, (0.0, 4.0)) == 2.0 and nearest_free(4.4, taken, (0.0, 4.5)) == 4.5
    assert nearest_free(0.6, taken, (0.7, 9.0)) == 1.0
    points = route((0.5, 1.0), (0.5, 5.0), ROW, (0.3, 7.0))
    assert all(0.3 <= x <= 7.0 for x, _ in points) and crossed(points, ROW) == []
