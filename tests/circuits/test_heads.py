"""Edges split over heads: against differentiation with heads cut off, and by their sums."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from graphs import TOKENS
from linear_cases import CASES, CROSS_LAYER, HOOKS, written
from random_model import write_model, write_transcoders

from bench import naive
from circuitstore.circuits.graph import attribute
from circuitstore.circuits.heads import Edge, loadings
from circuitstore.circuits.sources import NONE
from circuitstore.errors import UsageError
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

PLAIN = ("mlp.hook_in", "mlp.hook_out")


def slow_edges(model, coders, hooks, open_heads):
    """The adjacency matrix of the network in which only some (layer, head) pass anything on."""
    n_heads = model.config.num_attention_heads

    def closing(layer):
        def hook(module, args):
            heads = list(args[0].unflatten(-1, (n_heads, -1)).unbind(-2))
            heads = [each if (layer, h) in open_heads else each.detach() for h, each in enumerate(heads)]
            return (torch.stack(heads, dim=-2).flatten(-2),)

        return hook

    with ExitStack() as stack:
        for index, layer in enumerate(model.model.layers):
            stack.callback(layer.self_attn.o_proj.register_forward_pre_hook(closing(index)).remove)
        return naive.graph(model, coders, TOKENS, hooks=hooks, batch=5)


def assert_agrees(folder, transcoders, coders, hooks):
    """For the largest edge through each head, and for some of every kind of source and target."""
    slow, n_layers = naive.load(folder, folder)[0], len(coders)
    n_heads = slow.config.num_attention_heads
    closed = slow_edges(slow, coders, hooks, set())
    expected = np.zeros((n_layers, n_heads, *closed.adjacency.shape))
    for layer in range(n_layers):
        below = {(lower, head) for lower in range(layer) for head in range(n_heads)}
        start = slow_edges(slow, coders, hooks, below).adjacency
        for head in range(n_heads):
            expected[layer, head] = slow_edges(slow, coders, hooks, below | {(layer, head)}).adjacency - start
    model = load_model(folder)
    graph = attribute(model, transcoders, TOKENS)
    assert graph.active_features.tolist() == closed.features.tolist()
    n_features, n_pos = len(closed.features), len(TOKENS)
    names = [tuple(row) for row in closed.features.tolist()]
    names += [(i // n_pos, i % n_pos, NONE) for i in range(n_layers * n_pos)]
    names += [(NONE, i, NONE) for i in range(n_pos)]
    rows, columns = np.unravel_index(
        np.abs(expected).reshape(n_layers * n_heads, -1).argmax(1), closed.adjacency.shape
    )
    pairs = set(zip(rows.tolist(), columns.tolist(), strict=True))
    generator = np.random.default_rng(0)
    for block in (slice(0, n_features), slice(n_features, -n_pos - 1), slice(len(names) - n_pos, len(names))):
        there = np.argwhere(graph.adjacency_matrix[:, block])
        pairs |= {(int(row), int(column) + block.start) for row, column in generator.permutation(there)[:12]}
    pairs |= {(len(closed.bias) - 1, len(names) - n_pos), (0, len(names) - n_pos)}  # from position 0
    unembedding = model.parts.unembedding.float()
    asked = []
    for row, column in sorted(pairs):
        logit = row - len(names)
        direction = None if logit < 0 else unembedding[graph.logit_token_ids[logit]] - unembedding.mean(0)
        asked.append(Edge(names[column], names[row] if logit < 0 else None, direction))
    rows, columns = np.array(sorted(pairs)).T
    of_heads, direct = (
        part.numpy().astype(np.float64) for part in loadings(model, transcoders, TOKENS, asked)
    )
    scale = np.abs(graph.adjacency_matrix).max(1)[rows]
    edges = graph.adjacency_matrix[rows, columns]
    assert (np.abs(of_heads.sum((1, 2)) + direct - edges) / scale).max() < 1e-5
    assert (
        np.abs(of_heads - np.moveaxis(expected[..., rows, columns], -1, 0)).max((1, 2)) / scale
    ).max() < 1e-5
    assert (np.abs(direct - closed.adjacency[rows, columns]) / scale).max() < 1e-5
    assert (np.abs(of_heads) > 0).any(0).all() and (direct != 0).any()  # every head carries something


@pytest.mark.parametrize("kind", ["gqa1", "bias-tied-jumprelu-skip", "gemma3"])
def test_per_layer(kind, tmp_path):
    """Each head's loading, of edges between all kinds of nodes; with skip connections after the last head."""
    model_options, coder_options = CASES[kind]
    folder = write_model(tmp_path / "model", 3, **model_options)
    coders = write_transcoders(tmp_path / "coders", 103, **coder_options)
    assert_agrees(folder, Transcoders.open(coders), naive.load(folder, coders)[1], PLAIN)


@pytest.mark.parametrize("kind", ["gqa4", "gemma2"])
def test_cross_layer(kind, tmp_path):
    """A feature enters at several layers, and what enters late has passed no head of the layers below."""
    folder = write_model(tmp_path / "model", 3, **CROSS_LAYER[kind])
    coders, tensors = written(tmp_path, skip=True)
    assert_agrees(folder, Transcoders.open(coders), tensors, HOOKS)


@pytest.mark.parametrize(
    "source, target",
    [
        ((0, 1, 1_000), None),
        ((0, 9, NONE), None),
        ((3, 1, NONE), None),
        ((NONE, -1, NONE), None),
        ((NONE, 1, NONE), (1, 1, 1_000)),
    ],
)
def test_nodes_that_are_not_there_are_refused(source, target, tmp_path):
    """A silent feature, a position or layer that there is not."""
    model = load_model(write_model(tmp_path / "model", 3))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "coders", 103))
    with pytest.raises(UsageError, match="of an edge"):
        loadings(model, transcoders, TOKENS, [Edge(source, target, torch.ones(48))])
