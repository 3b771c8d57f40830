"""Exported arrays as somebody else opens them, and what they are compared with."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import xarray as xr
import zarr
from workspace import BEHAVIOUR

import circuitstore as cs

FORMATS = ("zarr", "zip", "netcdf", "parquet")
ARE_FILES = ("zip", "netcdf")


def opened(path: Path) -> xr.DataTree:
    """As somebody else opens it. A warning is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if path.is_file() and not zipfile.is_zipfile(path):
            with xr.open_datatree(path, engine="netcdf4") as tree:
                return tree.load()
        if path.is_dir() and not (path / "zarr.json").exists():
            return unstacked(path)
        source = zarr.storage.ZipStore(path, mode="r") if path.is_file() else path
        return xr.open_datatree(source, engine="zarr").load()


def here(built, phase: str, **which) -> xr.Dataset | xr.DataTree:
    return cs.open(phase, behaviour=BEHAVIOUR, store=built.store, profile=str(built.profile), **which)


def assert_same(got: xr.Dataset, wanted: xr.Dataset) -> None:
    """Names, dims, attributes and values, numbers to the bit."""
    attributes = {name: value for name, value in got.attrs.items() if name != "artifacts"}
    xr.testing.assert_identical(got.drop_attrs(deep=False).assign_attrs(attributes), wanted)
    for name, variable in wanted.variables.items():
        if variable.dtype.kind not in "UT":
            assert got[name].dtype == variable.dtype, name
            assert got[name].values.tobytes() == np.ascontiguousarray(variable.values).tobytes(), name


def unstacked(folder: Path) -> xr.DataTree:
    """The tree that the tables were made from: cells are nodes, and beside entries the rest is `dense`."""
    found: dict[str, list[xr.Dataset]] = {}
    told_of = json.loads((folder / "attributes.json").read_text(encoding="utf-8"))
    attributes, cells = told_of["root"], told_of["cells"]
    count = len(next(iter(cells)).strip("/").split("/")) if cells else 0
    for path in sorted(folder.glob("*.parquet")):
        table = pq.read_table(path)
        metadata = {name.decode(): text.decode() for name, text in table.schema.metadata.items()}
        dims, coordinates = (json.loads(metadata.pop(name)) for name in ("dims", "coordinates"))
        assert metadata.items() <= attributes.items() and {"key", "content"} <= metadata.keys()
        assert path.name == ("-".join(dims) or "scalars") + ".parquet"
        columns = {field.name: _values(table, field.name) for field in table.schema}
        told = {
            field.name: {name.decode(): text.decode() for name, text in (field.metadata or {}).items()}
            for field in table.schema
        }
        group = "dense" if (folder / "entry.parquet").exists() and path.name != "entry.parquet" else "/"
        rows = {group: np.arange(len(table))}
        if cells:
            labels = [pd.Series(columns.pop(axis)).astype(str) for axis in dims[:count]]
            paths = sum(("/" + label for label in labels[1:]), "/" + labels[0])
            indices = paths.groupby(paths).indices
            rows = {at: indices.get(at, rows[group][:0]) for at in cells}
        for at, chosen in rows.items():
            part = {name: values[chosen] for name, values in columns.items()}
            found.setdefault(at, []).append(_arrays(part, dims[count:], coordinates, told))
    merged = {
        at: xr.merge(parts).assign_attrs({**attributes, **cells.get(at, {})}) for at, parts in found.items()
    }
    tree = xr.DataTree.from_dict(merged)
    tree.attrs = attributes
    return tree


def _values(table: Any, name: str) -> np.ndarray:
    """A column, with None where a cell does not have it."""
    return table.column(name).to_numpy(zero_copy_only=False)


def _different(values: np.ndarray) -> np.ndarray:
    """The different values, in the order in which they come first."""
    first = np.unique(values, return_index=True)[1]
    return values[np.sort(first)]


def _arrays(
    part: dict[str, np.ndarray], dims: list[str], coordinates: list[str], told: dict[str, dict[str, str]]
) -> xr.Dataset:
    labels = {dim: _different(part[dim]) for dim in dims}
    shape = tuple(map(len, labels.values()))  # an array without values has no rows, and so no length but 0
    variables = {
        name: (dims, values.reshape(shape), told[name])
        for name, values in part.items()
        if name not in dims and not (values.dtype == object and None in values.tolist())
    }
    indexes = {dim: (dim, labels[dim], told[dim]) for dim in labels if dim in coordinates}
    dataset = xr.Dataset(variables, indexes)
    return dataset.set_coords([name for name in coordinates if name in variables])
