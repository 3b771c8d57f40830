"""NaN and infinity are failures: whatever meets one fails the cell, says where, and stores nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from planted import INF, NAN, planted, stored
from random_model import write_model, write_transcoders
from safetensors.torch import load_file, save_file
from workspace import LAYERS, MODEL, PIPELINE, Workspace, one_line_error, run

from circuitstore.circuits.graph import attribute
from circuitstore.circuits.intervene import Edit, intervene
from circuitstore.engine.finite import check_finite
from circuitstore.errors import InputError, NonFiniteError
from circuitstore.models.bits import storable
from circuitstore.models.load import load_model
from circuitstore.results.comparison import compare, of_dataset
from circuitstore.storage.layout import Store
from circuitstore.transcoders.per_layer import Transcoders

TOKENS = [1, 10, 40, 25, 70]
DOWN = "model.layers.{}.mlp.down_proj.weight"


@pytest.mark.parametrize("phase", ["baseline", "activations"])
@pytest.mark.parametrize(("value", "name"), [(NAN, "nan"), (INF, "inf")])
def test_a_weight_of_the_model(tmp_path, phase, value, name):
    """A weight of layer 1 that is not finite: the MLP output of layer 1 is named, at the first position."""
    model = planted(MODEL, tmp_path / "model", DOWN.format(1), value, (0, 0))
    workspace = Workspace.create(tmp_path / "work", model=model)
    error = one_line_error(workspace.build(phase=phase), code=1)
    assert "MLP output: expected finite numbers, got" in error and "layer 1, position 0" in error
    assert stored(workspace.store, phase) == []


def test_float16_that_overflows(tmp_path):
    """The remedy works: the same weights in float32 give a result."""
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    tensors = load_file(model / "model.safetensors")
    tensors[DOWN.format(0)] *= 1e6
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    workspace = Workspace.create(tmp_path / "work", model=model)
    error = one_line_error(workspace.build("--set", "model.dtype=float16"), code=1)
    assert "MLP output: expected finite numbers, got" in error and "at layer 0, position 0" in error
    assert "--set model.dtype=float32" in error
    assert workspace.build("--set", "model.dtype=float32").code == 0
    asked = ["attribute", "the keys", "--store", workspace.store, "--profile", workspace.profile]
    asked += ["--set", "model.dtype=float16"]
    assert "at layer 0" in one_line_error(run(*asked), code=1)


def test_only_the_cell_that_meets_it_fails(tmp_path):
    """The embedding of one word is NaN: prompts without it are kept, the other is named."""
    tokens = load_model(MODEL).tokenizer.encode(" dog", add_special_tokens=False)
    model = planted(MODEL, tmp_path / "model", "model.embed_tokens.weight", NAN, tokens)
    workspace = Workspace.create(tmp_path / "work", model=model)
    error = one_line_error(workspace.build(phase="activations"), code=1)
    assert "prompt c" in error and "residual stream: expected finite numbers, got nan at layer 0" in error
    assert f"{LAYERS} of {3 * LAYERS} cells failed" in error


@pytest.mark.parametrize(
    ("name", "where", "said"),
    [
        ("b_enc", (3,), "b_enc of {}: expected finite numbers, got {} at feature 3"),
        ("b_dec", (5,), "b_dec of {}: expected finite numbers, got {} at dimension 5"),
        (
            "activation_function.threshold",
            (2,),
            "threshold of {}: expected finite numbers, got {} at feature 2",
        ),
        ("W_enc", (4, 0), "pre-activations of {}: expected finite numbers, got"),
        (
            "W_dec",
            (slice(None), 0),
            "W_dec of {} in rows of active features: expected finite numbers, got {}",
        ),
        ("W_skip", (0, 0), "reconstruction with {}: expected finite numbers, got"),
    ],
)
@pytest.mark.parametrize("value", [NAN, INF])
def test_a_weight_of_a_transcoder(tmp_path, name, where, said, value):
    """Phase `features` and command `attribute` name the file of the layer, and where in it."""
    model = write_model(tmp_path / "model", 1)
    whole = write_transcoders(tmp_path / "whole", 2, threshold=True, skip=True)
    coders = planted(whole, tmp_path / "coders", name, value, where)
    for layer in (0, 2):
        shutil.copyfile(whole / f"layer_{layer}.safetensors", coders / f"layer_{layer}.safetensors")
    workspace = Workspace.create(tmp_path / "work", model=model, transcoders=coders)
    error = one_line_error(workspace.build(phase="features"), code=1)
    assert said.format(coders / "layer_1.safetensors", value) in error and "layer 1" in error
    artifacts = Store(workspace.store)
    assert not (Path(artifacts.root) / "refs" / "small" / "mine" / "features.json").exists()
    with pytest.raises(NonFiniteError, match="finite numbers"):
        attribute(load_model(model), Transcoders.open(coders), TOKENS)


def test_edges(tmp_path, monkeypatch):
    """An edge that overflows is named by its target and its source."""
    from circuitstore.circuits import edges

    original = edges.effects

    def overflowing(network, targets, sources, out):
        original(network, targets, sources, out)
        out[3, 5] = NAN

    monkeypatch.setattr(edges, "effects", overflowing)
    workspace = Workspace.create(tmp_path / "work")
    error = one_line_error(workspace.build(), code=1)
    assert "edges: expected finite numbers, got nan at target 3, source node 5" in error
    assert stored(workspace.store, "attribution") == []


def test_an_edited_run(tmp_path):
    """An activation that is set to infinity gives logits that are no result."""
    model = load_model(write_model(tmp_path / "model", 1))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "coders", 2))
    with pytest.raises(NonFiniteError, match=r"logits of an edited run: .* at set of edits 1, position"):
        intervene(model, transcoders, TOKENS, [[], [Edit(1, 2, 3, INF)]])


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_whatever_a_phase_yields_is_looked_through(value, dtype):
    """A variable of any precision that is not finite is named, with its index; no phase need ask for it."""
    tensor = torch.zeros(2, 3, dtype=dtype)
    task = PIPELINE.task("activations")
    cell = xr.Dataset({"residual": storable(tensor, ("position", "d_model"))})
    check_finite(task, cell)
    tensor[1, 2] = value
    cell = xr.Dataset({"residual": storable(tensor, ("position", "d_model"))})
    with pytest.raises(NonFiniteError, match="residual of phase activations at position 1, d_model 2"):
        check_finite(task, cell)


def test_documented_nan_stays_and_infinity_does_not():
    """Where a phase says that a value may not exist, it is NaN; nothing is ever infinite."""
    task = PIPELINE.task("circuit")
    check_finite(task, xr.Dataset({"pearson_p": ("unit", np.array([0.5, NAN]))}))
    with pytest.raises(NonFiniteError, match="pearson_p"):
        check_finite(task, xr.Dataset({"pearson_p": ("unit", np.array([0.5, INF]))}))
    with pytest.raises(NonFiniteError, match="influence"):
        check_finite(task, xr.Dataset({"influence": ("unit", np.array([0.5, NAN]))}))


def test_graphs_of_nan_are_not_alike(tmp_path):
    """`diff` refuses a graph whose weights or influences are NaN instead of calling it equal to itself."""
    workspace = Workspace.create(tmp_path / "work")
    assert workspace.build().code == 0
    from circuitstore.results.graphs import dataset

    where = {"behaviour": "mine", "profile": "small", "store": str(workspace.store)}
    graph = dataset("a", **where).load()
    assert compare(of_dataset(graph), of_dataset(graph))["edges"]["jaccard"] == 1
    for name in ("edge_weight", "node_cumulative"):
        broken = graph.copy(deep=True)
        broken[name].values[:] = NAN
        with pytest.raises(InputError, match="expected a finite number, got nan"):
            of_dataset(broken)
    nothing = graph.copy(deep=True)
    nothing["prune_edge_mask"].values[:] = False
    assert compare(of_dataset(nothing), of_dataset(nothing))["edges"]["jaccard"] is None
