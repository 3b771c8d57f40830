"""A finished drawing and its bytes: the same drawing gives the same bytes, and they carry their provenance.

There are no dates, fonts are fixed, and so is the salt of SVG ids. Provenance goes into PNG text chunks, SVG
metadata and the document information of PDF, so that a picture that was copied out of the store can be
traced.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import Formatter

from tasks.drawing.style import visible

CREATOR = "circuitstore"
CANVASES = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG, "pdf": FigureCanvasPdf}


@dataclass(frozen=True)
class Plate:
    """One drawing with its name, title and caption; these are plain text."""

    name: str
    title: str
    caption: str
    figure: Figure


def provenance(name: str, sources: dict[str, str], settings: dict[str, object]) -> str:
    """What a figure was drawn from, a line each: content hashes of artifacts by phase, then settings."""
    lines = [f"figure {name}"]
    lines += [f"{phase} sha256:{content}" for phase, content in sources.items()]
    lines += [f"set {setting}={value}" for setting, value in settings.items()]
    return "\n".join(lines)


def settle(plate: Plate) -> Plate:
    """The drawing with all its text visible and its layout made, once for all formats; nothing is drawn yet.

    Texts of prompts and labels may hold anything. All that is drawn passes here, wherever it came from.
    """
    for axes in plate.figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_Visible(axis.get_major_formatter()))
            axis.set_minor_formatter(_Visible(axis.get_minor_formatter()))
    for text in plate.figure.findobj(Text):
        text.set_text(visible(text.get_text()))
    if (engine := plate.figure.get_layout_engine()) is not None:
        engine.execute(plate.figure)
    plate.figure.set_layout_engine("none")  # else each format would lay it out anew, at its own resolution
    return plate


def render(plate: Plate, kind: str, origin: str, dpi: int) -> bytes:
    """The bytes of a drawing as "png", "svg" or "pdf", with its title, caption and provenance inside."""
    title, origin = visible(plate.title), visible(origin)
    text = visible(f"{plate.title}. {plate.caption}")
    metadata = {
        "png": {"Title": title, "Description": text, "Source": origin, "Software": CREATOR},
        "svg": {
            "Title": title,
            "Description": text,
            "Source": origin,
            "Creator": CREATOR,
            "Date": None,
        },
        "pdf": {
            "Title": title,
            "Subject": text,
            "Keywords": origin,
            "Creator": CREATOR,
            "Producer": CREATOR,
            "CreationDate": None,
        },
    }[kind]
    buffer, figure = io.BytesIO(), plate.figure
    figure.set_dpi(dpi)
    # Not `savefig`, which draws everything once more beforehand, to lay it out.
    printed: Any = getattr(CANVASES[kind](figure), f"print_{kind}")
    printed(buffer, metadata=metadata)
    return buffer.getvalue()


class _Visible(Formatter):
    """The labels of ticks as another formatter gives them, visible: they are made anew whenever one draws."""

    def __init__(self, labels: Formatter):
        self._labels = labels

    def __call__(self, x: float, pos: int | None = None) -> str:
        return visible(self._labels(x, pos))

    def format_ticks(self, values: Any) -> list[str]:
        return [visible(label) for label in self._labels.format_ticks(values)]

    def get_offset(self) -> str:
        return visible(self._labels.get_offset())
