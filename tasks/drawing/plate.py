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
    """The drawing with its layout made, once for all formats; nothing is drawn yet."""
    if (engine := plate.figure.get_layout_engine()) is not None:
        engine.execute(plate.figure)
    plate.figure.set_layout_engine("none")  # else each format would lay it out anew, at its own resolution
    return plate


def render(plate: Plate, kind: str, origin: str, dpi: int) -> bytes:
    """The bytes of a drawing as "png", "svg" or "pdf", with its title, caption and provenance inside."""
    text = f"{plate.title}. {plate.caption}"
    metadata = {
        "png": {"Title": plate.title, "Description": text, "Source": origin, "Software": CREATOR},
        "svg": {
            "Title": plate.title,
            "Description": text,
            "Source": origin,
            "Creator": CREATOR,
            "Date": None,
        },
        "pdf": {
            "Title": plate.title,
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
