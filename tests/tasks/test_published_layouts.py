"""Transcoders of other layouts and hooks through the phases, from files to graphs."""

from __future__ import annotations

import json

import numpy as np
import published
import pytest
import torch
import yaml
from workspace import BEHAVIOUR, LAYERS, MODEL, TRANSCODERS, Workspace, one_line_error

import circuitstore as cs
from circuitstore.circuits.intervene import Edit, intervene
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

WIDTH = json.loads((MODEL / "config.json").read_text())["hidden_size"]


def opened(made: Workspace, phase: str):
    return cs.open(phase, behaviour=BEHAVIOUR, profile=str(made.profile), store=made.store)


def test_cross_layer_transcoders(tmp_path):
    """Features, labels and graphs are built; there is no reconstruction error, and rows add up."""
    folder = published.cross_layer(
        tmp_path / "coders", 1, layers=LAYERS, d_model=WIDTH, n_features=80, threshold=True
    )
    made = Workspace.create(tmp_path / "work", transcoders=folder)
    for phase in ("attribution", "interpretation"):
        outcome = made.build(phase=phase)
        assert outcome.code == 0, outcome.err
    summary = made.artifact("features").summary["layers"]
    assert set(summary) == set("0123") and all(set(layer) == {"l0"} for layer in summary.values())
    features = opened(made, "features")
    assert np.isnan(features.error_square.values).any() and float(summary["0"]["l0"]) > 3
    graphs = opened(made, "attribution")
    assert max(float(graph.identity_error) for graph in graphs.values()) < 1e-4
    # The promoted tokens are those of the sum of what a feature writes to all layers.
    units, coders, model = opened(made, "interpretation"), Transcoders.open(folder), load_model(MODEL)
    layer, feature = int(units.layer.values[0]), int(units.feature.values[0])
    added = coders.layer(layer).decoder_rows([feature])[0] * model.parts.gain(model.parts.final_norm)
    values = (model.parts.unembedding - model.parts.mean_unembedding) @ added
    assert float(units.promoted_value.values[0, 0]) == pytest.approx(float(values.max()), rel=1e-3)


def test_the_same_weights_in_another_layout(tmp_path):
    """The content of features is the same, whatever the layout; an edit of cfg.json moves their key."""
    native = Workspace.create(tmp_path / "native")
    folder = published.saelens(TRANSCODERS, tmp_path / "coders")
    other = Workspace.create(tmp_path / "other", transcoders=folder)
    for made in (native, other):
        assert made.build(phase="features").code == 0
    assert native.contents(("features",)) == other.contents(("features",))
    beside = folder / "blocks.2.mlp.hook_in" / "cfg.json"
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"device": "cuda"}))
    computed = other.build(phase="features").computed
    assert "activations" not in computed and computed["features"] > 0


def test_hooks_are_in_the_key_of_what_is_captured(tmp_path):
    """Another hook in config.yaml captures other inputs, and nothing of the baseline is computed again."""
    folder = tmp_path / "coders"
    folder.mkdir()
    for path in TRANSCODERS.glob("layer_*.safetensors"):
        (folder / path.name).write_bytes(path.read_bytes())
    made = Workspace.create(tmp_path / "work", transcoders=folder)
    assert made.build(phase="activations").code == 0 and made.build(phase="baseline").code == 0
    before = opened(made, "activations").mlp_input.values
    config = {"feature_input_hook": "hook_resid_mid", "feature_output_hook": "hook_mlp_out"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    computed = made.build(phase="attribution").computed
    assert "baseline" not in computed and computed["activations"] > 0
    after = opened(made, "activations").mlp_input.values
    assert after.shape == before.shape and np.nanmax(np.abs(after - before)) > 0.1
    graphs = opened(made, "attribution")
    assert max(float(graph.identity_error) for graph in graphs.values()) < 1e-4
    tokens = graphs["a"].input_tokens.values.tolist()
    coders, model = Transcoders.open(folder), load_model(MODEL)
    active = graphs["a"].active_features.values[0].tolist()
    direct = intervene(model, coders, tokens, [[Edit(*active, 0.0)]], regime="direct").logits
    assert torch.isfinite(direct).all()


def test_k_is_a_setting(tmp_path):
    """A top-k set that nowhere says its k is refused with the remedy, which works and is in the key."""
    folder = tmp_path / "coders"
    folder.mkdir()
    for path in TRANSCODERS.glob("layer_*.safetensors"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "config.yaml").write_text("activation: topk\n")
    made = Workspace.create(tmp_path / "work", transcoders=folder)
    assert "--set transcoders.k=NUMBER" in one_line_error(made.build(phase="features"), code=1)
    for k in (4, 7):
        assert made.build("--set", f"transcoders.k={k}", phase="features").computed["features"] > 0
        cells = opened(made, "features")
        assert np.nanmax(cells.l0.values) == k
