"""A finished drawing and its bytes: the same drawing gives the same bytes, and they say what they were drawn
from.

No dates, fixed fonts and a fixed salt for SVG ids. Provenance goes into PNG text chunks, SVG metadata and the
PDF's document information, so that a picture that was copied out of the store can still be traced.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from matplotlib.figure import Figure

CREATOR = "circuitstore"


@dataclass(frozen=True)
class Plate:
    """One drawing: its name, title and caption (plain text)."""

    name: str
    title: str
    caption: str
    figure: Figure


def provenance(name: str, sources: dict[str, str], settings: dict[str, object]) -> str:
    """What a figure was drawn from, a line each: the content hash of each phase's artifact, and the figure's
    own settings.
    """
    lines = [f"figure {name}"]
    lines += [f"{phase} sha256:{content}" for phase, content in sources.items()]
    lines += [f"set {setting}={value}" for setting, value in settings.items()]
    return "\n".join(lines)


def settle(plate: Plate) -> Plate:
    """The drawing with its layout made, once and for all formats."""
    plate.figure.draw_without_rendering()
    plate.figure.set_layout_engine("none")  # or each format would lay it out anew, at its own resolution
    return plate


def render(plate: Plate, kind: str, origin: str, dpi: int) -> bytes:
    """The bytes of a drawing as "png", "svg" or "pdf", with its title, caption and provenance inside."""
    said = f"{plate.title}. {plate.caption}"
    metadata = {
        "png": {"Title": plate.title, "Description": said, "Source": origin, "Software": CREATOR},
        "svg": {
            "Title": plate.title,
            "Description": said,
            "Source": origin,
            "Creator": CREATOR,
            "Date": None,
        },
        "pdf": {
            "Title": plate.title,
            "Subject": said,
            "Keywords": origin,
            "Creator": CREATOR,
            "Producer": CREATOR,
            "CreationDate": None,
        },
    }[kind]
    buffer = io.BytesIO()
    plate.figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()
