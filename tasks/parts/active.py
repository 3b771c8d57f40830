"""The active features of one prompt, read from its cells of phase `features`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from circuitstore.transcoders.sparse import SparseRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    import xarray as xr

    from circuitstore.storage.records import Coords

ACTIVATION = "activation"  # the sparse variable of phase `features`


class Entries(NamedTuple):
    """Active features at positions of a prompt, sorted by layer, position, feature; arrays (entry,)."""

    layer: np.ndarray  # int64
    position: np.ndarray  # int64, counted from the first token
    feature: np.ndarray  # int32
    value: np.ndarray  # float32, activation


def active_entries(cells: Iterable[tuple[Coords, xr.Dataset]]) -> Entries:
    """All active features of the cells of one prompt, at least one cell, in any order of layers."""
    columns = []
    for coords, cell in sorted(cells, key=lambda pair: pair[0]["layer"]):
        rows = SparseRows.of(cell, ACTIVATION)
        layer = np.full(len(rows.feature), int(coords["layer"]))
        columns.append((layer, int(cell.n_tokens) + rows.position_from_end, rows.feature, rows.value))
    return Entries(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def n_kept(cell: xr.Dataset) -> int:
    """How many positions were kept, in a cell of phase `features`."""
    return SparseRows.of(cell, ACTIVATION).n_positions
