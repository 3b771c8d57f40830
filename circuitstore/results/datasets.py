"""Artifacts as labelled datasets: an xarray.Dataset over all cells, or a tree with one node a cell.

Every variable gets the cell axes in front of its own dims. Cells whose variables differ in size in more than
their positions, such as attribution graphs, say so by the attribute `structure = "tree"` (store/README.md),
and open as a tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import xarray as xr

from circuitstore import pipeline
from circuitstore.results.arrays import (
    FEATURE_DIM,
    POSITION,
    Array,
    CellArray,
    LazyArray,
    SparseArray,
)
from circuitstore.results.described import FeatureLabels, described, with_nodes
from circuitstore.results.grid import BEHAVIOUR, PROMPT, Grid, grid_of, grid_of_all
from circuitstore.storage.artifact import Artifact, Cell
from circuitstore.storage.layout import Store
from circuitstore.storage.sparse import POINTER

STRUCTURE, TREES = "structure", ("tree", "graph")  # "graph" is the older spelling of "tree"


def open_artifacts(
    store: Store, artifacts: Mapping[str, Artifact], all_behaviours: bool = False, *, profile: str = ""
) -> xr.Dataset | xr.DataTree:
    """The cells of one behaviour's artifact, or with `all_behaviours` of all of them.

    All of them have a dim `behaviour` in front.

    `artifacts` are by behaviour, `profile` is the name of theirs. Raises DamageError.
    """
    first = next(iter(artifacts.values()))
    attributes = provenance(profile, artifacts, all_behaviours)
    labels = FeatureLabels(store, profile, first)
    grid = grid_of_all(store, artifacts) if all_behaviours else grid_of(store, first)
    if grid.axes and grid.first.attributes(grid.present[0].row).get(STRUCTURE) in TREES:
        return described(_tree(grid, attributes, labels), first.phase)
    opened = with_nodes(_dataset(grid, attributes), labels)
    add = pipeline.services().columns.get(first.phase)
    return described(add(opened) if add else opened, first.phase)


def provenance(profile: str, artifacts: Mapping[str, Artifact], all_behaviours: bool) -> dict[str, str]:
    """What a result is and where it came from.

    That is phase, profile, behaviour, key and content hash, and as JSON settings, upstream and summary. With
    `all_behaviours`, the last five are there for each behaviour, under names such as `key_plural`.
    """
    first = next(iter(artifacts.values()))
    attributes = {"phase": first.phase, "profile": profile}
    if not all_behaviours:
        attributes["behaviour"] = next(iter(artifacts))
    for behaviour, artifact in artifacts.items():
        told = {"key": artifact.key, "content": artifact.content}
        told["settings"] = msgspec.json.encode(artifact.components.config).decode()
        told["upstream"] = msgspec.json.encode(artifact.upstream).decode()
        if artifact.summary:
            told["summary"] = msgspec.json.encode(artifact.summary).decode()
        attributes |= {f"{name}_{behaviour}" if all_behaviours else name: text for name, text in told.items()}
    return attributes


def _dataset(grid: Grid, attributes: dict[str, str]) -> xr.Dataset:
    names = grid.first.variables
    sparse = [name.removesuffix(POINTER) for name in names if name.endswith(POINTER)]
    length = max(grid.sizes(POSITION), default=0)
    variables: dict[str, xr.Variable] = {}
    coordinates: dict[str, Any] = {}
    for base in sparse:
        array = SparseArray(grid, base, length)
        variables[base] = _variable(grid, array, (POSITION, FEATURE_DIM), {})
    for name in names:
        if grid.first.dims(name) == (name,):  # labels of a dim of the phase's own, the same in every cell
            coordinates[name] = grid.first.part(name, grid.present[0].row)
        elif not any(name.startswith(base + ".") for base in sparse):
            variables[name] = _stored(grid, name, length)
    for axis, labels in zip(grid.axes, grid.labels, strict=True):
        if not (axis == PROMPT and BEHAVIOUR in grid.axes):
            coordinates[axis] = np.array(labels)
    if BEHAVIOUR in grid.axes and PROMPT in grid.axes:
        coordinates["prompt_id"] = ((BEHAVIOUR, PROMPT), _prompt_ids(grid))
    if length:
        coordinates[POSITION] = np.arange(-length, 0)
    return xr.Dataset(variables, coordinates, attributes)


def _tree(grid: Grid, attributes: dict[str, str], labels: FeatureLabels) -> xr.DataTree:
    """One node a cell, named by its coordinates."""
    nodes = {"/": xr.Dataset(attrs=attributes)}
    for index, cell in zip(np.ndindex(*grid.shape), grid.cells, strict=True):
        if cell is not None:
            path = "/".join(str(cell.coords.get(axis, grid.labels[0][index[0]])) for axis in grid.axes)
            nodes[path] = _one_cell(grid.store, cell, attributes, labels)
    return xr.DataTree.from_dict(nodes)


def one_cell(store: Store, artifact: Artifact, cell: Cell, attributes: Mapping[str, str]) -> xr.Dataset:
    """One cell by itself, as a node of a tree. Raises DamageError."""
    labels = FeatureLabels(store, attributes["profile"], artifact)
    return described(_one_cell(store, cell, attributes, labels), artifact.phase)


def _one_cell(store: Store, cell: Cell, attributes: Mapping[str, str], labels: FeatureLabels) -> xr.Dataset:
    single = Grid(store, [], [], {(): cell})
    variables = {name: _stored(single, name, 0) for name in single.first.variables}
    return with_nodes(
        xr.Dataset(variables, attrs={**attributes, **single.first.attributes(cell.row)}), labels
    )


def _prompt_ids(grid: Grid) -> Array:
    """(behaviour, prompt): the id of each prompt, "" where a behaviour has fewer."""
    ids = np.full(grid.shape, "", dtype=object)
    for index, cell in zip(np.ndindex(*grid.shape), grid.cells, strict=True):
        ids[index] = str(cell.coords[PROMPT]) if cell else ""
    by_axes = np.moveaxis(ids, [grid.axes.index(BEHAVIOUR), grid.axes.index(PROMPT)], [0, 1])
    return by_axes.reshape(*by_axes.shape[:2], -1)[:, :, 0].astype(str)


def _stored(grid: Grid, name: str, length: int) -> xr.Variable:
    """A variable as it is stored. Text is read at once, all else when it is indexed."""
    array = CellArray(grid, name, length)
    opened = grid.first
    values = array.eager() if array.dtype.kind == "T" else array
    return _variable(grid, values, opened.dims(name), dict(opened.array(name).attrs))


def _variable(
    grid: Grid, array: Array | CellArray, dims: tuple[str, ...], attributes: dict[str, Any]
) -> xr.Variable:
    attributes.pop("encoding", None)
    data = LazyArray(array) if isinstance(array, CellArray) else array
    return xr.Variable((*grid.axes, *dims), data, attributes)
