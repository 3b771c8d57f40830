"""Every figure in both styles: panels are filled, no label covers another or is cut at the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from drawn import SETTINGS
from legible import apart, assert_legible, corners, measurable
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from tasks.drawing import activity
from tasks.drawing.plate import Plate
from tasks.drawing.style import Look, zero_line
from tasks.figures import CONTENTS


@pytest.fixture(scope="module", params=["paper", "talk"])
def drawn(request, given) -> Iterator[list[Plate]]:
    """Every figure, drawn but not yet saved, in each style."""
    look = Look(request.param)
    with look.applied():  # for as long as they are measured: new tick labels take their size from here
        yield [
            measurable(plate)
            for _, draw, needs in CONTENTS
            for plate in draw(look, SETTINGS, *(given[name] for name in needs))
        ]


def test_no_panel_is_empty(drawn):
    """Each panel holds data, not only lines of reference, and says what its axes are."""
    for plate in drawn:
        for axes in plate.figure.axes:
            assert data_in(axes), plate.name
            if axes.axison and axes.get_label() != "<colorbar>":
                beside = axes.get_shared_y_axes().get_siblings(axes)  # one of these has the words for all
                below = axes.get_shared_x_axes().get_siblings(axes)
                assert any(other.get_xlabel() or other.get_xticklabels() for other in below), plate.name
                assert any(other.get_ylabel() or other.get_yticklabels() for other in beside), plate.name


def data_in(axes: Axes) -> list[Artist]:
    """The artists of a panel that show data: placed by its coordinates on both axes, and somewhere finite."""
    lines = [
        line
        for line in axes.lines
        if line.get_transform() is axes.transData and np.isfinite(line.get_xydata()).all(1).any()
    ]
    return [*lines, *axes.images, *axes.collections, *(axes.texts if not axes.axison else ())]


def test_emptiness_is_noticed():
    """A panel that holds a line of zero alone is empty, and so is a panel of gaps."""
    look = Look()
    _, (axes, other) = look.axes(8, 4, columns=2)
    zero_line(axes)
    other.plot([1, 2], [np.nan, np.nan])
    assert not data_in(axes) and not data_in(other)
    assert axes.plot([1], [2]) == data_in(axes)


def test_no_label_covers_another_or_leaves_the_page(drawn):
    """Bounding boxes of all texts, as the real renderer sets them, are apart and within the figure."""
    for plate in drawn:
        assert_legible(plate)


def test_long_names_are_cut_rather_than_overlap(given, monkeypatch):
    """Heatmaps with narrow groups of long names, and with as many categories as are shown."""
    names = np.array([f"the {['first', 'second', 'third'][i % 3]} of the long names" for i in range(12)])
    prompts = replace(given["prompts"], labels={"category": names}, partner=np.array([""] * 12))
    monkeypatch.setattr(activity, "SIGNIFICANT", 1.0)
    look = Look()
    with look.applied():
        known = [given[name] for name in ("features", "circuit", "interpretation")]
        for plate in [
            *activity.heatmap(look, SETTINGS, prompts, *known),
            *activity.associations(look, SETTINGS, *known[1:]),
        ]:
            assert_legible(measurable(plate))
            categories = plate.figure.axes[0].get_xticklabels()
    assert len(categories) >= 10


def test_overlap_is_noticed():
    """Labels at one place are not apart, and neither are crossed ones; labels side by side are."""
    figure = Look().figure(5, 5, layout="none")
    one, two, three, crossed = (
        figure.text(0.5, 0.5, "one"),
        figure.text(0.52, 0.5, "two"),
        figure.text(0.9, 0.5, "three"),
        figure.text(0.5, 0.45, "crossed", rotation=40),
    )
    figure.draw_without_rendering()
    assert not apart(corners(one), corners(two)) and not apart(corners(two), corners(crossed))
    assert apart(corners(one), corners(three))


def test_the_comparison_says_everything_whole(drawn):
    """No quantity and no number of the table is cut."""
    (table,) = [plate for plate in drawn if plate.name == "comparison"]
    words = [text.get_text() for text in table.figure.axes[0].texts]
    assert len(words) > 40 and not [word for word in words if "…" in word]
