"""A sparse variable as a table of its entries, for what is too large as a dense array."""

from __future__ import annotations

import numpy as np
import xarray as xr

from circuitstore.errors import UsageError
from circuitstore.results.arrays import FEATURE_DIM, POSITION
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.sparse import POINTER


def open_entries(store: Store, artifacts: list[Artifact]) -> xr.Dataset:
    """The entries of the one sparse variable of a phase, all with dim `entry`.

    Columns are the phase's cell axes, `position` (from the end, -1 is the last), `feature`, and the value
    under the variable's name. Raises UsageError for several behaviours or a phase without a sparse variable,
    DamageError.
    """
    if len(artifacts) != 1:
        got = ", ".join(artifact.behaviour for artifact in artifacts)
        raise UsageError("sparse=True", expected="one behaviour", got=got)
    (artifact,) = artifacts
    first = reader(store, artifact.cells[0].object)
    names = [name.removesuffix(POINTER) for name in first.variables if name.endswith(POINTER)]
    if len(names) != 1:
        raise UsageError("sparse=True", expected="a phase with a sparse variable", got=artifact.phase)
    return _entries(store, artifact, names[0])


def _entries(store: Store, artifact: Artifact, name: str) -> xr.Dataset:
    columns: dict[str, list[np.ndarray]] = {
        axis: [] for axis in (*artifact.axes, POSITION, FEATURE_DIM, name)
    }
    for cell in artifact.cells:
        opened = reader(store, cell.object).holding(cell.content, cell.row)
        pointer, feature, value, _ = opened.sparse(name, cell.row)
        count = len(pointer) - 1
        for axis in artifact.axes:
            columns[axis].append(np.full(len(value), cell.coords[axis]))
        columns[POSITION].append(np.repeat(np.arange(count) - count, np.diff(pointer)))
        columns[FEATURE_DIM].append(feature)
        columns[name].append(value)
    return xr.Dataset({column: ("entry", np.concatenate(parts)) for column, parts in columns.items()})
