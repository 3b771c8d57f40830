"""What a graph is compared with: edges by differentiation, and the sums that hold by themselves."""

from __future__ import annotations

import numpy as np

TOKENS = [208, 17, 3, 99, 3, 150, 42]


def assert_rows_agree(graph, slow):
    """Every edge, bias share and pre-activation is that of `bench.naive`, and so is what is 0."""
    largest = np.abs(slow.adjacency).max(axis=1, keepdims=True)
    largest[largest == 0] = 1
    assert (np.abs(graph.adjacency_matrix - slow.adjacency) / largest).max() < 1e-5
    assert ((graph.adjacency_matrix == 0) == (slow.adjacency == 0)).all()
    scale = np.maximum(largest[:, 0], np.abs(slow.bias))
    assert (np.abs(graph.node_bias - slow.bias) / scale).max() < 1e-5
    assert (np.abs(graph.node_preactivation - slow.preactivation) / scale).max() < 1e-5


def assert_rows_add_up(graph, tolerance=1e-4):
    """Edges, bias and omitted share of each feature and logit sum to its pre-activation."""
    total = graph.adjacency_matrix.sum(axis=1, dtype=np.float64) + graph.node_bias + graph.node_omitted
    scale = np.abs(graph.adjacency_matrix).max(axis=1) + np.abs(graph.node_bias) + 1e-3
    assert (np.abs(total - graph.node_preactivation) / scale).max() < tolerance
