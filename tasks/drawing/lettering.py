"""How much room text takes when it is drawn."""

from __future__ import annotations

from bisect import bisect_left

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from tasks.drawing import style


def width(text: str, size: float) -> float:
    """How wide a line of text is at this size of type, in points, as it is drawn (`style.visible`)."""
    font = FontProperties(family="DejaVu Sans")
    measured, _, _ = TextToPath().get_text_width_height_descent(style.visible(text), font, ismath=False)
    return float(measured) * size / font.get_size_in_points()


def fit(text: str, points: float, size: float) -> str:
    """As much of a text as fits into `points` at this size of type.

    The last character is an ellipsis where something is left out.
    """
    if width(text, size) <= points:
        return text
    fits = bisect_left(range(2, len(text)), True, key=lambda n: width(style.cut(text, n), size) > points)
    return style.cut(text, fits + 1) if fits else text[:1]


def wrap(text: str, points: float, size: float) -> list[str]:
    """A text in lines that fit into `points`, broken between words; of a longer word, what fits."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size) <= points:
            lines[-1] = longer
        else:
            lines.append(fit(word, points, size))
    return lines or [""]
