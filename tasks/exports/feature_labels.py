"""What features are called: the reviewer's label, else the automatic one, of the behaviours of a profile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import circuitstore.results.open as results
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import names
from tasks.parts.dominant import UNLABELLED

if TYPE_CHECKING:
    import xarray as xr

PHASE = "interpretation"
COLUMNS = ("layer", "feature", "reviewer_label", "label")


def labels(
    store: Store, profile: str, behaviour: str = "", transcoders: object = None
) -> dict[tuple[int, int], str]:
    """(layer, feature) → label, of one behaviour, or of all of them; empty where none was interpreted.

    A reviewer's label goes before an automatic one, of whichever behaviour. With `transcoders`, the identity
    of a set, only behaviours whose features are of that set count. Raises DamageError.
    """
    automatic: dict[tuple[int, int], str] = {}
    reviewed: dict[tuple[int, int], str] = {}
    for units in interpreted(store, profile, behaviour, transcoders):
        columns = (units[each].to_numpy().tolist() for each in COLUMNS)
        for layer, feature, by_hand, by_rule in zip(*columns, strict=True):
            if by_hand:
                reviewed.setdefault((layer, feature), by_hand)
            if by_rule not in ("", UNLABELLED):
                automatic.setdefault((layer, feature), by_rule)
    return automatic | reviewed


def interpreted(store: Store, profile: str, behaviour: str, transcoders: object) -> Iterator[xr.Dataset]:
    """Phase `interpretation` of one behaviour, or of all, as `labels` chooses them. Raises DamageError."""
    for name in names(store):
        if (name.profile, name.phase) != (profile, PHASE) or behaviour not in ("", name.behaviour):
            continue
        units: Any = results.open(PHASE, behaviour=name.behaviour, store=store.root, profile=profile)
        if transcoders in (None, results.artifact_of(units, store).components.resources["transcoders"]):
            yield units
