"""Artifacts that were changed and sealed again, as a forger would; and ones as version 1 wrote them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.records import seal, seal_of

Change = Callable[[dict], object]


def as_version_1(store: Store, key: str) -> dict:
    """Write an artifact as version 1 did, with all of its cells in one list; the record."""
    artifact = read_artifact(store, key)
    assert artifact is not None
    names = ("phase", "behaviour", "key", "content", "axes", "count", "objects", "components", "upstream")
    record = {name: getattr(artifact, name) for name in (*names, "summary")}
    record["cells"] = [[cell.coords, cell.content, cell.object, cell.row] for cell in artifact.cells]
    Path(store.artifact(key)).write_bytes(seal(record))
    found: dict = json.loads(seal(record))["record"]
    return found


def forge_leaf(store: Store, artifact: Artifact, change: Change) -> set[str]:
    """Change the first leaf of an artifact, and name it by honest hashes; what can be named for it."""
    path = Path(store.artifact(artifact.key))
    record = json.loads(path.read_bytes())["record"]
    node = _piece(store, record["nodes"][0][0])
    leaf = _put(store, change(_piece(store, node["leaves"][0][0])))
    node["leaves"][0][0] = leaf
    record["nodes"][0][0] = _put(store, node)
    path.write_bytes(seal(record))
    return {str(path), store.piece(leaf)}


def _piece(store: Store, name: str) -> dict:
    found: dict = json.loads(Path(store.piece(name)).read_bytes())["record"]
    return found


def _put(store: Store, record: object) -> str:
    raw = seal(record)
    path = Path(store.piece(seal_of(raw)))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw)
    return seal_of(raw)


def column(name: str, change: Callable[[list], list]) -> Change:
    """A leaf with one column changed."""
    return lambda leaf: {**leaf, name: change(leaf[name])}


def every_column(change: Callable[[list], list]) -> Change:
    """A leaf with all columns changed alike."""

    def changed(leaf: dict) -> dict:
        coords = {axis: change(values) for axis, values in leaf["coords"].items()}
        return {**leaf, "coords": coords} | {
            name: change(leaf[name]) for name in ("content", "object", "row")
        }

    return changed


def coordinates(change: Callable[[list], list]) -> Change:
    """A leaf with all coordinates changed alike."""
    return lambda leaf: {
        **leaf,
        "coords": {axis: change(values) for axis, values in leaf["coords"].items()},
    }


def exchanged(values: list) -> list:
    """The first two the other way round."""
    return [values[1], values[0], *values[2:]]


def first(value: object) -> Callable[[list], list]:
    """Another first one."""
    return lambda values: [value, *values[1:]]


LEAVES: dict[str, Change] = {
    "a row before the first": column("row", first(-1)),
    "a row after the last": column("row", first(10**9)),
    "rows exchanged": column("row", exchanged),
    "coordinates exchanged": coordinates(exchanged),
    "an object that is not listed": column("object", first(10**6)),
    "an object before the first": column("object", first(-1)),
    "an object too many": column("objects", lambda names: [*names, "0" * 64]),
    "an object that is a path": column("objects", first("../../../../../../tmp/secret")),
    "a column that is shorter": column("content", lambda values: values[1:]),
    "a cell less": every_column(lambda values: values[1:]),
    "a cell twice": every_column(lambda values: [values[0], *values]),
    "another content": column("content", first("0" * 64)),
    "a content that is no hash": column("content", first("\x1b[2J")),
    "other axes": lambda leaf: {**leaf, "coords": {"x": leaf["row"]}},
    "no axes": lambda leaf: {**leaf, "coords": {}},
    "no cells at all": every_column(lambda values: []),
    "a node": lambda leaf: {"kind": "node", "leaves": [["0" * 64, len(leaf["row"])]]},
    "other data": lambda leaf: {"x": 1},
}

CELLS: dict[str, Callable[[list], object]] = {
    "a row before the first": lambda cells: [[*cells[0][:3], -1], *cells[1:]],
    "a row after the last": lambda cells: [[*cells[0][:3], 10**9], *cells[1:]],
    "rows exchanged": lambda cells: [[*cells[0][:3], cells[1][3]], [*cells[1][:3], cells[0][3]], *cells[2:]],
    "coordinates exchanged": lambda cells: [
        [cells[1][0], *cells[0][1:]],
        [cells[0][0], *cells[1][1:]],
        *cells[2:],
    ],
    "an object that is not listed": lambda cells: [[*cells[0][:2], "0" * 64, 0], *cells[1:]],
    "a cell less": lambda cells: cells[1:],
    "a cell twice": lambda cells: [cells[0], *cells],
    "another content": lambda cells: [[cells[0][0], "0" * 64, *cells[0][2:]], *cells[1:]],
    "other axes": lambda cells: [[{"x": 1}, *cells[0][1:]], *cells[1:]],
    "no cells at all": lambda cells: {"x": 1},
}


def forge_cells(store: Store, artifact: Artifact, change: Callable[[list], object]) -> set[str]:
    """Change the cells of an artifact that is written as version 1 did; what can be named for it."""
    record = as_version_1(store, artifact.key)
    path = Path(store.artifact(artifact.key))
    path.write_bytes(seal({**record, "cells": change(record["cells"])}))
    return {str(path)}


FORGED = {f"version 1, {name}": (forge_cells, change) for name, change in CELLS.items()}
FORGED |= {f"version 2, {name}": (forge_leaf, change) for name, change in LEAVES.items()}
