"""Every figure in both styles: panels are filled, no label covers another or is cut at the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from drawn import SETTINGS
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from tasks.drawing import activity
from tasks.drawing.plate import Plate, settle
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


def measurable(plate: Plate) -> Plate:
    """The drawing laid out as for all formats, with every text where the renderer sets it."""
    settle(plate).figure.draw_without_rendering()
    return plate


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


def assert_legible(plate: Plate) -> None:
    """All labels are within the page and apart from each other."""
    page = plate.figure.bbox
    boxes = [(text.get_text(), corners(text)) for text in labels(plate.figure)]
    for i, (words, box) in enumerate(boxes):
        assert box[:, 0].min() > -1 and box[:, 0].max() < page.width + 1, (plate.name, words)
        assert box[:, 1].min() > -1 and box[:, 1].max() < page.height + 1, (plate.name, words)
        for other, rest in boxes[:i]:
            assert apart(box, rest), (plate.name, words, other)


def labels(figure: Figure) -> list[Text]:
    """Every text that is drawn."""
    hidden = {
        text
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for text in undrawn(axis, whole=not axes.axison)
    }
    texts = figure.findobj(Text)
    return [text for text in texts if text.get_visible() and text.get_text().strip() and text not in hidden]


def undrawn(axis: Axis, *, whole: bool) -> set[Text]:
    """The texts of an axis that are not drawn: of ticks out of view, or all if the `whole` axis is off."""
    low, high = sorted(axis.get_view_interval())
    reach = 1e-6 * (high - low)
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    out_of_view = [tick for tick in ticks if whole or not low - reach <= tick.get_loc() <= high + reach]
    words = {axis.label, axis.get_offset_text()} if whole else set()
    return words | {text for tick in out_of_view for text in (tick.label1, tick.label2)}


def corners(text: Text) -> np.ndarray:
    """The four corners of the box of a text, turned as the text is and a little smaller: (4, 2) pixels."""
    renderer = text.figure.canvas.get_renderer()
    angle = text.get_rotation()
    upright = text.get_window_extent(renderer)
    if angle % 90 == 0:
        x0, y0, x1, y1 = upright.extents
        words = text.get_text()
        blank = len(words) - len(words.lstrip("\n"))  # lines on top
        y1 -= (y1 - y0) * blank / (1 + words.count("\n"))
        box = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    else:
        width, height, _ = renderer.get_text_width_height_descent(
            text.get_text(), text.get_fontproperties(), False
        )
        turn = np.deg2rad(angle)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        corner = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
        box = corner @ rotation
        box += np.array([(upright.x0 + upright.x1) / 2, (upright.y0 + upright.y1) / 2])
    middle = box.mean(0)
    return middle + (box - middle) * 0.9


def apart(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two convex boxes do not meet: an edge of one of them parts them."""
    for box in (first, second):
        for i in range(4):
            edge = box[(i + 1) % 4] - box[i]
            normal = np.array([edge[1], -edge[0]])
            one, other = first @ normal, second @ normal
            if one.max() <= other.min() or other.max() <= one.min():
                return True
    return False


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
