"""Edges in bfloat16 beside those in float32."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from random_model import write_model, write_transcoders

from circuitstore.circuits.graph import attribute
from circuitstore.circuits.precision import compared, edge_ratios, in_dtype
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

TOKENS = [208, 3, 17, 99, 45, 3, 120]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    return write_model(folder / "m", 3), Transcoders.open(write_transcoders(folder / "t", 1))


@pytest.mark.parametrize("kind", ["gemma3_text", "qwen3"])
def test_a_model_in_another_dtype_is_the_one_that_loads_in_it(tmp_path, kind):
    """To the bit, there and back: rotary frequencies are not rounded, and a bfloat16 model loses nothing."""
    folder = write_model(tmp_path, 3, kind=kind)
    loaded = {name: load_model(folder, dtype=name) for name in ("float32", "bfloat16")}
    for source, wanted in (("float32", "bfloat16"), ("bfloat16", "bfloat16")):
        logits = capture(in_dtype(loaded[source], wanted), TOKENS).logits
        assert torch.equal(logits, capture(loaded[wanted], TOKENS).logits)
    raised = in_dtype(loaded["bfloat16"], "float32")
    assert raised.dtype == torch.float32 and raised.parts.layers[0].value.weight.dtype == torch.float32
    assert torch.equal(raised.parts.embeddings, loaded["bfloat16"].parts.embeddings.float())
    assert loaded["bfloat16"].parts.embeddings.dtype == torch.bfloat16  # which stays as it was


def test_edges_are_matched_by_their_nodes(both):
    """A graph beside itself with other nodes, one edge doubled and one turned round."""
    model, transcoders = load_model(both[0]), both[1]
    exact = attribute(model, transcoders, TOKENS, max_feature_nodes=40)
    more = attribute(model, transcoders, TOKENS, max_feature_nodes=60)
    found = compared(exact, more)
    shared = set(map(tuple, exact.active_features[exact.selected_features].tolist()))
    shared &= set(map(tuple, more.active_features[more.selected_features].tolist()))
    assert found.shared == pytest.approx(len(shared) / (100 - len(shared))) and found.shared < 1
    np.testing.assert_allclose(found.ratio, 1, rtol=1e-3)
    changed = exact.edge_rows.copy()
    row, column = np.unravel_index(np.abs(changed).argmax(), changed.shape)
    changed[row, column] *= -2
    found = compared(exact, dataclasses.replace(exact, edge_rows=changed))
    assert len(found.ratio) == np.count_nonzero(exact.adjacency_matrix) and found.shared == 1
    (wrong,) = np.flatnonzero(found.ratio != 1)
    assert found.ratio[wrong] == -2 and found.size[wrong] == 1 and found.size.min() > 0


def test_half_precision_changes_edges_and_the_small_ones_most(both):
    """The median of the largest class is within a few per cent, and small edges scatter more."""
    (found,) = edge_ratios(load_model(both[0]), both[1], [TOKENS], 100)
    large, small = (found.ratio[some] for some in (found.size > 0.1, found.size < 0.01))
    assert abs(np.median(large) - 1) < 0.05 and (found.ratio != 1).mean() > 0.9
    assert np.abs(small - 1).mean() > 3 * np.abs(large - 1).mean()
