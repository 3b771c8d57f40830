"""Influence, pruning and scores of an attribution graph.

With Â = |A|, each row divided by its sum (rows are targets), and w the weight of each logit node (its
probability, 0 elsewhere): influence = Σ_{k≥1} w Âᵏ, the share of the output that runs through a node along
all paths. A is a directed acyclic graph ordered by layer, so one pass over the rows from the logits down sums
the whole series.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), appendix "Graph pruning" and section
"Evaluating attribution graphs". All sums are float64: a mask must not depend on their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLOCK = 512  # rows raised to float64 at a time


@dataclass(frozen=True)
class Pruned:
    """What pruning keeps."""

    node_mask: np.ndarray  # (node,) bool
    edge_mask: np.ndarray  # (node target, node source) bool


def influence(
    adjacency: np.ndarray, weights: np.ndarray, levels: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    """Influence of every node: (node,) float64, in the unit of ``weights``.

    ``adjacency`` (row target, node source), ``weights`` (node,), ``levels`` (node,) int: an edge runs from a
    lower level to a higher one, and nodes below level 0 have no edges into them. ``rows`` (row,) names the
    node of each row when ``adjacency`` holds only some of them (the others then pass nothing on).
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
    adjacency: np.ndarray,
    weights: np.ndarray,
    levels: np.ndarray,
    kinds: tuple[int, int, int, int],
    *,
    node_threshold: float = 0.8,
    edge_threshold: float = 0.98,
) -> Pruned:
    """Keep the nodes, then the edges, that carry these shares of influence; then what has lost its connection
    goes too.

    ``kinds`` counts features, errors, embeddings and logits, in the order of the nodes. Embeddings and logits
    always stay.
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
    adjacency: np.ndarray, weights: np.ndarray, node_influence: np.ndarray, kinds: tuple[int, int, int, int]
) -> tuple[float, float]:
    """(replacement, completeness), both from 0 to 1.

    replacement = influence of embeddings / (embeddings + errors): how much of the output runs from token to
    logit through features alone. completeness = Σ (1 − share of errors in the row) · (influence + w) / Σ
    (influence + w): how much of what enters the nodes comes from something explained.
    """
    n_features, n_errors, n_embeddings, _ = kinds
    errors = slice(n_features, n_features + n_errors)
    embeddings = slice(errors.stop, errors.stop + n_embeddings)
    from_errors, from_embeddings = node_influence[errors].sum(), node_influence[embeddings].sum()
    explained = from_errors + from_embeddings
    replacement = from_embeddings / explained if explained > 0 else 0.0
    error_share = np.concatenate(
        [
            _row_shares(adjacency[start : start + _BLOCK])[:, errors].sum(axis=1)
            for start in range(0, len(adjacency), _BLOCK)
        ]
    )
    output = node_influence + weights
    return float(replacement), float(((1 - error_share) * output).sum() / output.sum())


def strongest(
    adjacency: np.ndarray,
    output: np.ndarray,
    *,
    min_share: float = 0.0,
    top_k: int = 0,
    most: int | None = None,
) -> np.ndarray:
    """Which edges are worth keeping where all are too many: (node target, node source) bool; never an edge
    that is 0.

    Kept are those that hold ``min_share`` of what enters their target (of Σ |A| of the row), of these the
    ``top_k`` largest into each target (0: all), and of these the ``most`` that carry most influence, |A| / Σ
    |A| · ``output`` (node,): influence + w.
    """
    kept = adjacency != 0
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


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` largest of every row (row, column), of equal ones the first: (row, column) bool."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    result = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(result, order, True, axis=1)
    return result


def cumulative(node_influence: np.ndarray) -> np.ndarray:
    """Share of all influence held by a node and those above it: (node,) float64; small for what matters most."""
    order = np.argsort(-node_influence, kind="stable")
    result = np.empty(len(node_influence))
    result[order] = np.cumsum(node_influence[order]) / node_influence.sum()
    return result


def _threshold(values: np.ndarray, share: float) -> float:
    """The largest value such that it and those above it hold ``share`` of the sum."""
    if not len(values):
        return 0.0
    descending = np.sort(values, axis=None)[::-1]
    running = np.cumsum(descending)
    reached = np.searchsorted(running / running[-1], share) if running[-1] > 0 else len(running)
    return float(descending[min(reached, len(descending) - 1)])


def _row_shares(adjacency: np.ndarray) -> np.ndarray:
    """Â: |A| as float64 with each row divided by its sum; a row of zeros stays so."""
    shares = adjacency.astype(np.float64)
    np.abs(shares, out=shares)
    total = shares.sum(axis=1, keepdims=True)
    return np.divide(shares, total, out=shares, where=total > 0)
