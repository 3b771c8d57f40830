"""Reads a store with json, numpy and zarr alone, as `store/README.md` specifies it.

python examples/read_store.py STORE PROFILE BEHAVIOUR PHASE
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr


def record(path: Path) -> dict[str, Any]:
    """The record in a sealed file, its seal checked."""
    raw = path.read_bytes()
    body = raw[len(b'{"sha256":"","record":') + 64 : -2]
    if json.loads(raw)["sha256"] != hashlib.sha256(body).hexdigest():
        raise ValueError(f"{path} was altered")
    return dict(json.loads(body))


def cells(store: Path, artifact: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str, int]]:
    """Coordinates, content hash, object and row of each cell of an artifact, of either version."""
    yield from map(tuple, artifact.get("cells", []))
    for node, *_ in artifact.get("nodes", []):
        for name, _ in record(store / "pieces" / node[:2] / f"{node}.json")["leaves"]:
            leaf = record(store / "pieces" / name[:2] / f"{name}.json")
            for i, content in enumerate(leaf["content"]):
                coords = {axis: values[i] for axis, values in leaf["coords"].items()}
                yield coords, content, leaf["objects"][leaf["object"][i]], leaf["row"][i]


def variables(group: zarr.Group, row: int) -> Iterator[tuple[str, tuple[str, ...], np.ndarray]]:
    """Name, dims and values of each variable of one cell of an object."""
    for name, array in group.arrays():
        first, *rest = array.metadata.dimension_names
        if first != "cell":  # the cells follow each other along this dim
            ends = np.cumsum(group[f"size.{first}"][:])
            values = array[ends[row - 1] if row else 0 : ends[row]]
        elif name.startswith("size."):
            continue
        else:
            values = array[row]
        if array.attrs.get("encoding") == "bfloat16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        yield name, tuple(rest if first == "cell" else (first, *rest)), values


if __name__ == "__main__":
    store, profile, behaviour, phase = Path(sys.argv[1]), *sys.argv[2:]
    ref = record(store / "refs" / profile / behaviour / f"{phase}.json")
    for coords, _, name, row in cells(store, record(store / "artifacts" / f"{ref['artifact']}.json")):
        group = zarr.open_group(store / "objects" / name[:2] / name, mode="r")
        print(coords, {name: values.shape for name, _, values in variables(group, row)})
