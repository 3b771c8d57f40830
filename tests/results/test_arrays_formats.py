"""The formats of `export arrays`: what each can hold and cannot, and what a disk that fills up does to it."""

from __future__ import annotations

import resource

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from exported import FORMATS, assert_same, here, opened
from workspace import one_line_error

from circuitstore.errors import InputError
from circuitstore.results.arrays_netcdf import write_netcdf
from circuitstore.results.arrays_parquet import write_tables


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_may_not_grow_further_leaves_nothing(export, tmp_path, kind):
    """Libraries in C write the files of some formats. They end with an error of one line, too."""
    (tmp_path / "empty").mkdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    try:
        outcome = export("activations", "--format", kind, place=tmp_path / "empty" / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert "expected a place that can be written" in one_line_error(outcome, code=1)
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize(("kind", "package"), [("netcdf", "netCDF4"), ("parquet", "pyarrow")])
def test_a_package_that_is_not_installed_is_named(export, tmp_path, monkeypatch, kind, package):
    """With the extra that installs it. Zarr needs none."""
    from circuitstore.results import arrays_file

    monkeypatch.setattr(arrays_file, "find_spec", lambda name: None)
    error = one_line_error(export("prompts", "--format", kind), code=2)
    assert package in error and f'pip install "circuitstore[{kind}]"' in error
    assert list(tmp_path.iterdir()) == []
    assert export("prompts").code == 0


ODD = {"phase": "odd", "profile": "p", "behaviour": "b", "key": "k", "content": "c", "artifacts": "{}"}


@pytest.mark.parametrize(
    ("write", "dataset", "told"),
    [
        (write_netcdf, xr.Dataset({"t": ("x", ["a\0b"])}), "NUL"),
        (write_netcdf, xr.Dataset({"t": ("x", [1], {"a/b": 1})}), "NetCDF has"),
        (write_tables, xr.Dataset({"t": ("../x", [1])}), "dims"),
        (write_tables, xr.Dataset({"x": (("x", "y"), [[1]])}), "variable 'x'"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, write, dataset, told):
    """It is never cut off, renamed or written elsewhere."""
    with pytest.raises(InputError, match=told):
        write(xr.DataTree(dataset.assign_attrs(ODD)), (), str(tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} <= {"out"}


def test_types_that_netcdf_lacks_are_widened(tmp_path):
    """Numbers of 16 bits keep their values, also those that are not finite; attributes become JSON."""
    values = np.array([1.5, np.nan, -np.inf, 6e-8], dtype=np.float16)
    dataset = xr.Dataset({"v": ("x", values, {"flag": True, "list": [1, None]})}, attrs=ODD)
    write_netcdf(xr.DataTree(dataset), (), str(tmp_path / "out"))
    with xr.open_dataset(tmp_path / "out", engine="netcdf4") as found:
        assert found.v.dtype == np.float32
        np.testing.assert_array_equal(found.v.values, values.astype(np.float32))
        assert found.v.attrs == {"flag": "true", "list": "[1,null]"}


def test_tables_are_written_some_rows_at_a_time(export, built, tmp_path, monkeypatch):
    """However large an array is. What comes back is the same."""
    monkeypatch.setattr("circuitstore.results.arrays_parquet.MOST_ROWS", 500)
    assert export("activations", "--format", "parquet").code == 0
    file = pq.ParquetFile(tmp_path / "out" / "prompt-layer-position-d_model.parquet")
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    assert len(sizes) > 3 and max(sizes) < sum(sizes) / 3
    assert_same(opened(tmp_path / "out").to_dataset(), here(built, "activations"))


def test_coordinates_alone_have_a_table(tmp_path):
    """Of a dim that no variable has. Dims without coordinates are counted."""
    made = xr.Dataset({"v": (("y", "z"), [[1.0, 2.0]])}, coords={"x": [5, 6], "y": ["a"]}, attrs=ODD)
    write_tables(xr.DataTree(made), (), str(tmp_path / "out"))
    xr.testing.assert_identical(opened(tmp_path / "out").to_dataset(), made)
    assert pd.read_parquet(tmp_path / "out" / "y-z.parquet").z.tolist() == [0, 1]


def test_pandas_reads_a_table_of_all_graphs(export, built, tmp_path):
    """A row is an edge, with its prompt; nodes are found by number. Columns carry their units."""
    assert export("attribution", "--format", "parquet").code == 0
    edges = pd.read_parquet(tmp_path / "out" / "prompt-edge.parquet")
    graphs = here(built, "attribution")
    sizes = {name: graph.sizes["edge"] for name, graph in graphs.children.items()}
    assert edges.groupby("prompt").size().to_dict() == sizes
    rows = pd.read_parquet(tmp_path / "out" / "prompt-node.parquet").set_index(["prompt", "node"])
    ends = rows.loc[list(zip(edges.prompt, edges.edge_target, strict=True))]
    assert set(ends.node_kind) <= {"feature", "logit"}
    field = pq.read_schema(tmp_path / "out" / "prompt-node.parquet").field("node_bias")
    assert field.metadata[b"units"] == b"unit of the pre-activation"
