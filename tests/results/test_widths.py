"""Layers whose transcoders differ in their number of features: the widest decides, and none is left out."""

from __future__ import annotations

import shutil

import numpy as np
from safetensors.numpy import load_file, save_file
from workspace import BEHAVIOUR, LAYERS, PROFILE, TRANSCODERS, Workspace

import circuitstore as cs

WIDTH, NARROW = 256, 100


def test_layers_of_different_widths_are_read_whole(tmp_path):
    """Wherever the narrow layer lies. Beyond its own features it has NaN, which is not an activation of 0."""
    for narrow in (0, LAYERS - 1):
        folder = shutil.copytree(TRANSCODERS, tmp_path / f"coders-{narrow}")
        path = folder / f"layer_{narrow}.safetensors"
        tensors = load_file(path)
        cut = {name: t[:NARROW] if t.shape[0] == WIDTH else t for name, t in tensors.items()}
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in cut.items()}, path)
        work = Workspace.create(tmp_path / f"work-{narrow}", transcoders=folder)
        assert work.build(phase="features").code == 0
        selection = {"behaviour": BEHAVIOUR, "store": work.store, "profile": PROFILE}
        dense = cs.open("features", **selection).activation
        assert dense.sizes["feature"] == WIDTH
        assert np.isnan(dense.sel(layer=narrow, feature=slice(NARROW, None))).all()
        entries = cs.open("features", sparse=True, **selection)
        wide = dense.load().sel(layer=[layer for layer in range(LAYERS) if layer != narrow])
        assert np.isfinite(wide.isel(position=-1)).all()
        assert int((np.nan_to_num(dense.values) != 0).sum()) == entries.sizes["entry"]
        assert int((np.nan_to_num(wide.isel(feature=slice(NARROW, None)).values) != 0).sum()) > 0
