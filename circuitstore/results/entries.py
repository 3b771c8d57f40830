"""A sparse variable as a table of its entries, for what is too large as a dense array."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import numpy as np
import xarray as xr

from circuitstore.errors import UsageError
from circuitstore.results.arrays import FEATURE_DIM, POSITION
from circuitstore.results.datasets import provenance
from circuitstore.results.described import described
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.sparse import POINTER


def open_entries(store: Store, artifacts: Mapping[str, Artifact], profile: str) -> xr.Dataset:
    """The entries of the one sparse variable of a phase, all with dim `entry`.

    Columns are the phase's cell axes, `position` (from the end, -1 is the last), `feature`, and the value
    under the variable's name. Attributes say what it is. Raises UsageError for several behaviours or a phase
    without a sparse variable, DamageError.
    """
    if len(artifacts) != 1:
        got = ", ".join(artifacts)
        raise UsageError("sparse=True", expected="one behaviour", got=got)
    (artifact,) = artifacts.values()
    names = sparse_names(store, artifact)
    if len(names) != 1:
        raise UsageError("sparse=True", expected="a phase with a sparse variable", got=artifact.phase)
    entries = _entries(store, artifact, names[0]).assign_attrs(provenance(profile, artifacts, False))
    return described(entries, artifact.phase)


def sparse_names(store: Store, artifact: Artifact) -> list[str]:
    """The sparse variables of a phase's output. Raises DamageError."""
    first = reader(store, artifact.cells[0].object)
    return [name.removesuffix(POINTER) for name in first.variables if name.endswith(POINTER)]


def _entries(store: Store, artifact: Artifact, name: str) -> xr.Dataset:
    """Objects are read whole, one after the other, as far as their cells stand together."""
    columns: dict[str, list[np.ndarray]] = {
        axis: [] for axis in (*artifact.axes, POSITION, FEATURE_DIM, name)
    }
    for object_id, group in groupby(artifact.cells, key=lambda cell: cell.object):
        cells = list(group)
        opened = reader(store, object_id)
        for cell in cells:
            opened.holding(cell.content, cell.row)
        found = opened.sparse_cells(name, np.array([cell.row for cell in cells]))
        entries = np.diff(found.start)
        of_cell = np.diff(found.start[found.first])
        for axis in artifact.axes:
            columns[axis].append(np.repeat(np.array([cell.coords[axis] for cell in cells]), of_cell))
        rows = np.diff(found.first)
        position = np.arange(len(entries)) - np.repeat(found.first[1:], rows)
        columns[POSITION].append(np.repeat(position, entries))
        columns[FEATURE_DIM].append(found.feature)
        columns[name].append(found.value)
    return xr.Dataset({column: ("entry", np.concatenate(parts)) for column, parts in columns.items()})
