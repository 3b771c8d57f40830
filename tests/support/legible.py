"""Whether what is drawn can be read: texts within the page and apart from each other."""

from __future__ import annotations

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from tasks.drawing.plate import Plate, settle


def measurable(plate: Plate) -> Plate:
    """The drawing laid out as for all formats, with every text where the renderer sets it."""
    settle(plate).figure.draw_without_rendering()
    return plate


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
