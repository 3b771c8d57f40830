"""Influence, pruning and scores of an attribution graph.

Rows of the adjacency matrix A are targets. Â is |A| with each row divided by its sum. w holds the weight of
each logit node, its probability, and 0 elsewhere. Then influence = Σ_{k≥1} w Âᵏ: the share of the output that
runs through a node along all paths. A is a directed acyclic graph ordered by layer, so one pass over the rows
from the logits down sums the whole series.

All sums are float64, because a mask must not depend on their order.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), appendix "Graph pruning" and section
"Evaluating attribution graphs".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 512  # rows raised to float64 at a time

Adjacency = NDArray[np.floating]  # (node target, node source)
Values = NDArray[np.floating]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Pruned:
    """What pruning keeps."""

    node_mask: Mask  # (node,)
    edge_mask: Mask  # (node target, node source)


def influence(
    adjacency: Adjacency, weights: Values, levels: Numbers, rows: Numbers | None = None
) -> NDArray[np.float64]:
    """Influence of every node: (node,) float64, in the unit of ``weights``.

    ``adjacency`` (row target, node source) and ``weights`` (node,) are A and w. An edge runs from a lower one
    of ``levels`` (node,) to a higher one, and none enters a node below level 0. ``rows`` (row,) names the
    node of each row when ``adjacency`` holds only some rows; other nodes then pass nothing on.
    """
    rows = np.arange(len(adjacency)) if rows is None else rows
    result = np.zeros(adjacency.shape[1])
    for level in np.unique(levels[rows])[::-1]:
        if level < 0:
            break
        members = np.flatnonzero(levels[rows] == level)
        given = result[rows[members]] + weights[rows[members]]
        for start in range(0, len(members), _BLOCK):  # a level has no edges within itself
            block = adjacency[members[start : start + _BLOCK]].astype(np.float64)
            np.abs(block, out=block)
            total = block.sum(axis=1)
            share = np.divide(given[start : start + _BLOCK], total, out=np.zeros_like(total), where=total > 0)
            result += share @ block
    return result


def prune(
    adjacency: Adjacency,
    weights: Values,
    levels: Numbers,
    kinds: tuple[int, int, int, int],
    *,
    node_threshold: float = 0.8,
    edge_threshold: float = 0.98,
) -> Pruned:
    """Keep nodes, then edges, that carry these shares of influence; then drop what lost its connection.

    ``adjacency`` (node target, node source), ``weights`` (node,) and ``levels`` (node,) are as in
    `influence`. ``kinds`` counts features, errors, embeddings and logits, in the order of the nodes.
    Embeddings and logits are always kept.
    """
    n_features, n_errors = kinds[0], kinds[1]
    inner = n_features + n_errors
    scores = influence(adjacency, weights, levels)
    node_mask = scores >= _threshold(scores, node_threshold)
    node_mask[inner:] = True

    kept = np.flatnonzero(node_mask)
    small = adjacency[np.ix_(kept, kept)]  # everything below is about the kept nodes only
    shares = _row_shares(small)
    flow = influence(small, weights[kept], levels[kept]) + weights[kept]
    edges = shares * flow[:, None]
    edge_mask = (edges >= _threshold(edges[edges > 0], edge_threshold)) & (edges > 0)

    is_feature, is_inner = kept < n_features, kept < inner
    alive = np.ones(len(kept), dtype=bool)
    while True:
        survivors = alive & (edge_mask.any(axis=0) | ~is_inner) & (edge_mask.any(axis=1) | ~is_feature)
        if (survivors == alive).all():
            break
        alive = survivors
        edge_mask[~alive] = False
        edge_mask[:, ~alive] = False

    node_mask = np.zeros(len(adjacency), dtype=bool)
    node_mask[kept[alive]] = True
    full = np.zeros(adjacency.shape, dtype=bool)
    full[np.ix_(kept, kept)] = edge_mask
    return Pruned(node_mask, full)


def scores(
    adjacency: Adjacency, weights: Values, node_influence: Values, kinds: tuple[int, int, int, int]
) -> tuple[float, float]:
    """(replacement, completeness), both from 0 to 1.

    replacement = influence of embeddings / influence of embeddings and errors: how much of the output runs
    from token to logit through features alone. completeness = Σ (1 − share of errors in the row) ·
    (influence + w) / Σ (influence + w): how much of what enters the nodes is explained.
    """
    n_features, n_errors, n_embeddings, _ = kinds
    errors = slice(n_features, n_features + n_errors)
    embeddings = slice(errors.stop, errors.stop + n_embeddings)
    from_errors, from_embeddings = node_influence[errors].sum(), node_influence[embeddings].sum()
    explained = from_errors + from_embeddings
    replacement = from_embeddings / explained if explained > 0 else 0.0
    blocks = (adjacency[start : start + _BLOCK] for start in range(0, len(adjacency), _BLOCK))
    error_share = np.concatenate([_row_shares(block)[:, errors].sum(axis=1) for block in blocks])
    output = node_influence + weights
    return float(replacement), float(((1 - error_share) * output).sum() / output.sum())


def padded(weights: Values, n_nodes: int) -> NDArray[np.float64]:
    """Weights of the logits as weights of all nodes: (logit,) → (node,)."""
    return np.concatenate([np.zeros(n_nodes - len(weights)), weights])


def strongest(
    adjacency: Adjacency,
    output: Values,
    *,
    min_share: float = 0.0,
    top_k: int = 0,
    most: int | None = None,
) -> Mask:
    """The edges to keep where all are too many: (node target, node source) bool; never an edge that is 0.

    First, an edge must hold ``min_share`` of Σ |A| of its row. Then the ``top_k`` largest edges into each
    target are kept, all of them with 0. Then the ``most`` edges are kept that carry most influence, which is
    Â · ``output``; ``output`` (node,) is the influence + w of the target.
    """
    kept: Mask = adjacency != 0
    if not min_share and not top_k and (most is None or np.count_nonzero(kept) <= most):
        return kept
    scores = np.zeros(adjacency.shape, dtype=np.float32)
    for start in range(0, len(adjacency), _BLOCK):
        rows = slice(start, start + _BLOCK)
        shares = _row_shares(adjacency[rows])
        kept[rows] &= shares >= min_share
        if 0 < top_k < adjacency.shape[1]:
            kept[rows] &= _largest(shares, top_k)
        scores[rows] = shares * output[rows, None]
    if most is not None and np.count_nonzero(kept) > most:
        flat = np.flatnonzero(kept)
        first = flat[np.argsort(-scores.ravel()[flat], kind="stable")[:most]]
        kept[:] = False
        kept.ravel()[first] = True
    return kept


def _largest(values: Values, count: int) -> Mask:
    """The ``count`` largest of every row (row, column), the first of equal ones: (row, column) bool."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    result: Mask = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(result, order, True, axis=1)
    return result


def cumulative(node_influence: Values) -> NDArray[np.float64]:
    """Share of all influence that a node and those with more hold: (node,) float64, least for the largest.

    It is 0 for every node when no node has influence.
    """
    order = np.argsort(-node_influence, kind="stable")
    result = np.empty(len(node_influence))
    result[order] = np.cumsum(node_influence[order]) / (node_influence.sum() or 1.0)
    return result


def _threshold(values: Values, share: float) -> float:
    """The largest value such that it and those above it hold ``share`` of the sum."""
    if not len(values):
        return 0.0
    descending = np.sort(values, axis=None)[::-1]
    running = np.cumsum(descending)
    reached = np.searchsorted(running / running[-1], share) if running[-1] > 0 else len(running)
    return float(descending[min(reached, len(descending) - 1)])


def _row_shares(adjacency: Adjacency) -> NDArray[np.float64]:
    """Â: |A| as float64 with each row divided by its sum; a row of zeros stays so."""
    shares: NDArray[np.float64] = adjacency.astype(np.float64)
    np.abs(shares, out=shares)
    total = shares.sum(axis=1, keepdims=True)
    np.divide(shares, total, out=shares, where=total > 0)
    return shares
