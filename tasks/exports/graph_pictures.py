"""The pruned graph of one prompt as a picture, in the look of the figures for a printed page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.drawing import graphs
from tasks.drawing.labels import shortened
from tasks.drawing.plate import Plate, provenance, render, settle
from tasks.drawing.style import Look
from tasks.parts.dominant import UNLABELLED
from tasks.settings.phases import Figures

if TYPE_CHECKING:
    import xarray as xr


def picture(
    graph: xr.Dataset, kind: str, name: str, origin: dict[str, str], labels: Mapping[tuple[int, int], str]
) -> bytes:
    """The bytes of a diagram as "png", "svg" or "pdf"; `labels` are those of (layer, feature).

    `name` is that of the prompt, and `origin` says what it was drawn from, by phase: content hashes. Settings
    are the defaults of phase `figures`.
    """
    config, look = Figures(), Look()

    def short(layer: int, feature: int) -> str:
        label = labels.get((layer, feature), UNLABELLED)
        return "" if label.startswith(UNLABELLED) else shortened(label)

    with look.applied():
        shown, note = graphs.shown(graph, config, short)
        figure = graphs.diagram_of(look, graph, shown, note)
        dotted = graphs.SUPPRESSED if "suppressed" in graph else ""
        caption = f"{graphs.HOW_TO_READ}{dotted} {note}"
        plate = settle(Plate(f"graph-{name}", f"Attribution graph of {name}", caption, figure))
        return render(plate, kind, provenance(plate.name, origin, {}), config.dpi)
