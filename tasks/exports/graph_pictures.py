"""The pruned graph of one prompt as a picture, in the look of the figures for a printed page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.drawing import graphs, turns
from tasks.drawing.plate import Plate, provenance, render, settle
from tasks.drawing.style import Look
from tasks.drawing.tables_features import Interpretation
from tasks.exports.feature_labels import interpreted
from tasks.settings.phases import Figures

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.storage.layout import Store
    from circuitstore.storage.refs import Name


def short_labels(store: Store, name: Name, transcoders: object) -> graphs.Short:
    """What diagrams print of the features of a behaviour, as its figures do; "" where none is interpreted.

    `transcoders` is the identity of the set that its graphs are of. Raises DamageError.
    """
    for units in interpreted(store, name.profile, name.behaviour, transcoders):
        return Interpretation.opened(units).short
    return lambda layer, feature: ""


def picture(
    graph: xr.Dataset,
    kind: str,
    name: str,
    origin: dict[str, str],
    short: graphs.Short,
    roles: Sequence[str] = (),
) -> bytes:
    """The bytes of a diagram as "png", "svg" or "pdf"; `short` gives what it prints of a feature.

    `name` is that of the prompt, and `origin` says what it was drawn from, by phase: content hashes.
    `roles` (position,) are those of a conversation. Settings are the defaults of phase `figures`.
    """
    config, look = Figures(), Look()
    with look.applied():
        shown, note = graphs.shown(graph, config, short)
        figure = graphs.diagram_of(look, graph, shown, note, roles)
        dotted = graphs.SUPPRESSED if "suppressed" in graph else ""
        caption = f"{graphs.HOW_TO_READ}{turns.told(roles)}{dotted} {note}"
        plate = settle(Plate(f"graph-{name}", f"Attribution graph of {name}", caption, figure))
        return render(plate, kind, provenance(plate.name, origin, {}), config.dpi)
