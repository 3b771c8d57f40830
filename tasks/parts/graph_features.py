"""The features that a prompt's graph is made of, from its cells of phase `features`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitstore.circuits.active import ActiveFeatures
from tasks.parts.active import active_entries, n_kept
from tasks.parts.positions import covered

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.storage.records import Coords


def features_of(layers: list[tuple[Coords, xr.Dataset]], n_layers: int, n_tokens: int) -> ActiveFeatures:
    """The active features of one prompt; a layer or position that was not kept is not covered."""
    looked_at = np.zeros((n_layers, n_tokens), dtype=bool)
    for coords, cell in layers:
        looked_at[int(coords["layer"])] = covered(n_tokens, n_kept(cell))
    return ActiveFeatures(*active_entries(layers), looked_at)
