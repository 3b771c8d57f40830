"""Influence and pruning on graphs small enough to follow by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitstore.circuits import pruning

# features 0, 1 (layer 0), 2 (layer 1); errors 3, 4; embedding 5; logit 6
KINDS = (3, 2, 1, 1)
LEVELS = np.array([0, 0, 1, -1, -1, -1, 2])
WEIGHTS = np.array([0, 0, 0, 0, 0, 0, 0.5])


def graph(**edges):
    matrix = np.zeros((7, 7), dtype=np.float32)
    for name, weight in edges.items():
        source, target = name[1:].split("_")
        matrix[int(target), int(source)] = weight
    return torch.from_numpy(matrix)


PATHS = graph(_5_0=2, _5_1=-1, _0_2=3, _1_2=1, _2_6=-6, _3_6=1, _4_6=1)


def test_influence_is_the_share_of_all_paths():
    """|weights| normalised by row and multiplied along every path, times the probability of the logit."""
    expected = np.array([0.75 * 0.375, 0.25 * 0.375, 0.375, 0.0625, 0.0625, 0.375, 0])
    np.testing.assert_allclose(pruning.influence(PATHS, WEIGHTS, LEVELS), expected)
    np.testing.assert_allclose(
        pruning.cumulative(expected)[[2, 5, 0]], np.array([0.375, 0.75, 1.03125]) / 1.25
    )


def test_influence_of_some_rows_only():
    """A node whose row is not known passes nothing on."""
    rows = np.array([6, 2])
    expected = np.array([0.75 * 0.375, 0.25 * 0.375, 0.375, 0.0625, 0.0625, 0, 0])
    np.testing.assert_allclose(pruning.influence(PATHS[rows], WEIGHTS, LEVELS, rows), expected)


def test_scores():
    """Half of the numbers of the first test: errors send a quarter of the logit's row and nothing else."""
    flow = pruning.influence(PATHS, WEIGHTS, LEVELS)
    replacement, completeness = pruning.scores(PATHS, WEIGHTS, flow, KINDS)
    assert replacement == pytest.approx(0.375 / 0.5)
    assert completeness == pytest.approx(1 - 0.25 * 0.5 / (flow.sum() + 0.5))


def test_pruning_keeps_the_shares_asked_for():
    """Nodes down to the cumulative share, embeddings and logits always; then edges among them."""
    kept = pruning.prune(PATHS, WEIGHTS, LEVELS, KINDS, node_threshold=0.8, edge_threshold=0.98)
    assert kept.node_mask.tolist() == [True, False, True, False, False, True, True]
    assert sorted(zip(*(axis.tolist() for axis in kept.edge_mask.nonzero()), strict=True)) == [
        (0, 5),
        (2, 0),
        (6, 2),
    ]


def test_a_feature_that_nothing_reaches_goes_and_takes_its_chain_along():
    """Feature 0 has no edge in; then feature 2 has none either, nor has the error that fed only feature 1."""
    chain = graph(_0_2=1, _2_6=1, _3_6=1, _5_6=1, _4_1=1)
    kept = pruning.prune(chain, WEIGHTS, LEVELS, KINDS, node_threshold=1.0, edge_threshold=1.0)
    assert kept.node_mask.tolist() == [False, False, False, True, False, True, True]
    assert sorted(zip(*(axis.tolist() for axis in kept.edge_mask.nonzero()), strict=True)) == [(6, 3), (6, 5)]


def test_a_feature_that_reaches_nothing_goes():
    """A feature goes when each edge out of it is too weak, though the edge into it, their sum, is not."""
    split = graph(_5_0=1, _0_2=1, _5_1=1, _1_2=0.01, _1_6=0.01, _2_6=1)
    kept = pruning.prune(split, WEIGHTS, LEVELS, KINDS, node_threshold=1.0, edge_threshold=0.99)
    assert kept.node_mask.tolist() == [True, False, True, False, False, True, True]
    assert sorted(zip(*(axis.tolist() for axis in kept.edge_mask.nonzero()), strict=True)) == [
        (0, 5),
        (2, 0),
        (6, 2),
    ]


def test_strongest_edges_by_share_by_target_and_in_all():
    """Each rule takes from what the one before left; zeros are never kept."""
    matrix = graph(_5_0=2, _5_1=-1, _3_2=1, _0_2=3, _1_2=-4, _2_6=-6, _3_6=1, _4_6=1)
    output = np.array([1, 2, 3, 0, 0, 0, 4.0])

    def kept(**rules):
        return {
            (int(source), int(target))
            for target, source in np.argwhere(pruning.strongest(matrix, output, **rules))
        }

    everything = {(5, 0), (5, 1), (3, 2), (0, 2), (1, 2), (2, 6), (3, 6), (4, 6)}
    assert kept() == everything
    assert kept(min_share=0.126) == everything - {(3, 2), (3, 6), (4, 6)}
    assert kept(top_k=1) == {(5, 0), (5, 1), (1, 2), (2, 6)}
    assert kept(top_k=2) == everything - {(3, 2), (4, 6)}  # of equal ones the first
    assert kept(most=3) == {(2, 6), (5, 1), (1, 2)}  # 6/8 * 4, 1 * 2, 4/8 * 3
    assert kept(min_share=0.126, top_k=1, most=3) == {(2, 6), (5, 1), (1, 2)}


def test_strongest_edges_agree_with_sorting_everything():
    """Blocks of rows do not matter."""
    generator = np.random.default_rng(0)
    matrix = np.tril(generator.normal(size=(1100, 1100)) ** 3, -1).astype(np.float32)
    output = generator.random(1100)
    scores = (
        np.abs(matrix)
        / np.maximum(np.abs(matrix).sum(1, keepdims=True, dtype=np.float64), 1e-30)
        * output[:, None]
    )
    largest = np.zeros(matrix.shape, dtype=bool)
    largest.ravel()[np.argsort(-scores.ravel())[:5000]] = True
    assert np.array_equal(pruning.strongest(torch.from_numpy(matrix), output, most=5000), largest)


@pytest.mark.parametrize("top_k", [1, 2, 5, 19])
def test_the_first_of_equal_edges_are_kept(top_k):
    """Of many equal ones into a target, as a stable sort of all of them would have it."""
    adjacency = torch.from_numpy(np.random.default_rng(0).integers(-2, 3, (30, 20)).astype(np.float32))
    kept = pruning.strongest(adjacency, np.ones(30), top_k=top_k)
    order = np.argsort(-np.abs(adjacency.numpy()), axis=1, kind="stable")[:, :top_k]
    first = np.zeros(adjacency.shape, dtype=bool)
    np.put_along_axis(first, order, True, axis=1)
    assert (kept == (first & (adjacency.numpy() != 0))).all()
