"""What the features of a graph are called, where a behaviour of the same profile was interpreted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from circuitstore.results.defaults import store_path
from circuitstore.results.described import FeatureLabels
from circuitstore.results.open import artifact_of
from circuitstore.storage.layout import Store

if TYPE_CHECKING:
    import xarray as xr


def labels(graph: xr.Dataset, store: str | os.PathLike[str] | None = None) -> Mapping[tuple[int, int], str]:
    """(layer, feature) → label of the features of a graph's transcoders, by all behaviours of its profile.

    A reviewer's label goes before an automatic one. Raises MissingError, DamageError.
    """
    opened = Store(store_path(store)).check()
    return FeatureLabels(opened, graph.attrs["profile"], artifact_of(graph, opened)).found
