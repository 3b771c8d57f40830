"""A graph is the same on every device, within the rounding of float32."""

from __future__ import annotations

import numpy as np
import pytest
from workspace import ROOT

from circuitstore.circuits.graph import attribute
from circuitstore.models.load import load_model, tokenize
from circuitstore.transcoders.per_layer import Transcoders

TINY = ROOT / "tasks" / "profiles" / "tiny"


def graph(device: str):
    """The graph of a sentence by `tiny`, with all nodes and the margin."""
    model = load_model(TINY / "model", device=device)
    transcoders = Transcoders.open(TINY / "transcoders", device=device)
    tokens = tokenize(model.tokenizer, "The keys near the cabinet")
    return attribute(model, transcoders, tokens, margin=(5, 9))


@pytest.mark.gpu
def test_tiny_on_a_gpu_is_tiny_on_the_cpu():
    """Every edge within 1e-5 of the largest of its row, the same features, and the same masks."""
    here, there = graph("cpu"), graph("cuda")
    for name in ("active_features", "selected_features", "logit_token_ids", "prune_node_mask"):
        assert np.array_equal(getattr(here, name), getattr(there, name)), name
    largest = np.abs(here.adjacency_matrix).max(axis=1, keepdims=True)
    assert (np.abs(here.adjacency_matrix - there.adjacency_matrix) <= 1e-5 * largest).all()
    for name, values in vars(here.margin).items():
        np.testing.assert_allclose(getattr(there.margin, name), values, atol=1e-4 * np.abs(values).max())
