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
import torch
from numpy.typing import NDArray
from torch import Tensor

_BLOCK = 512  # rows raised to float64 at a time
_RAISED = 10**7  # numbers of rows that are raised while influence is passed on

Values = NDArray[np.floating]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Pruned:
    """What pruning keeps."""

    node_mask: Mask  # (node,)
    edge_mask: Mask  # (row target, node source)


def influence(
    adjacency: Tensor, weights: Values, levels: Numbers, rows: Numbers | None = None
) -> NDArray[np.float64]:
    """Influence of every node: (node,) float64, in the unit of ``weights``.

    ``adjacency`` (row target, node source), on any device, and ``weights`` (node,) are A and w. An edge runs
    from a lower one of ``levels`` (node,) to a higher one, and none enters a node below level 0. ``rows``
    (row,) names the node of each row when ``adjacency`` holds only some rows; other nodes then pass nothing
    on.
    """
    rows = np.arange(len(adjacency)) if rows is None else rows
    weight = torch.from_numpy(np.asarray(weights, dtype=np.float64)).to(adjacency.device)
    result = torch.zeros_like(weight)
    for level in np.unique(levels[rows])[::-1]:
        if level < 0:
            break
        members = np.flatnonzero(levels[rows] == level)
        for start in range(0, len(members), _BLOCK):
            some = members[start : start + _BLOCK]
            pass_on(result, weight, rows[some], adjacency[_on(adjacency, some)])
    return np.asarray(result.cpu().numpy())


def pass_on(result: Tensor, weight: Tensor, nodes: Numbers, rows: Tensor) -> None:
    """Let ``nodes`` (row,) of one level give what they have to those that enter them.

    ``result`` (node,) float64, the influence so far, is added to; ``weight`` (node,) is w. ``rows`` (row,
    node source) are the edges into the nodes. A level has no edges within itself. All levels above must have
    been passed on before.
    """
    step = max(min(_BLOCK, _RAISED // rows.shape[1]), 1)
    for start in range(0, len(nodes), step):
        some = slice(start, start + step)
        at = _on(result, nodes[some])
        block = rows[some].abs().double()
        total = block.sum(dim=1)
        result += torch.where(total > 0, (result[at] + weight[at]) / total, 0) @ block


def prune(
    adjacency: Tensor,
    weights: Values,
    levels: Numbers,
    kinds: tuple[int, int, int, int],
    *,
    rows: Numbers | None = None,
    node_threshold: float = 0.8,
    edge_threshold: float = 0.98,
) -> Pruned:
    """Keep nodes, then edges, that carry these shares of influence; then drop what lost its connection.

    ``adjacency`` (row target, node source), ``weights`` (node,), ``levels`` (node,) and ``rows`` (row,) are
    as in `influence`; every feature and logit has a row. The edge mask has the shape of ``adjacency``.
    ``kinds`` counts features, errors, embeddings and logits, in the order of the nodes.
    Embeddings and logits are always kept.
    """
    n_features, n_errors = kinds[0], kinds[1]
    inner = n_features + n_errors
    rows = np.arange(len(adjacency)) if rows is None else rows
    scores = influence(adjacency, weights, levels, rows)
    node_mask = scores >= _threshold(torch.from_numpy(scores), node_threshold)
    node_mask[inner:] = True

    kept = np.flatnonzero(node_mask)
    kept_rows = np.flatnonzero(node_mask[rows])
    # Everything below is about the kept nodes only; ``at`` says which of them each row is of.
    small = adjacency[_on(adjacency, kept_rows)[:, None], _on(adjacency, kept)]
    at = np.searchsorted(kept, rows[kept_rows])
    flow = influence(small, weights[kept], levels[kept], at) + weights[kept]
    edges = _row_shares(small) * torch.from_numpy(flow[at]).to(small.device)[:, None]
    edge_mask = (edges >= _threshold(edges[edges > 0], edge_threshold)) & (edges > 0)

    is_feature, is_inner = (_on(small, kept < count) for count in (n_features, inner))
    alive = torch.ones_like(is_inner)
    while True:
        entered = torch.zeros_like(alive)
        entered[_on(alive, at)] = edge_mask.any(dim=1)
        survivors = alive & (edge_mask.any(dim=0) | ~is_inner) & (entered | ~is_feature)
        if (survivors == alive).all():
            break
        alive = survivors
        edge_mask[~alive[_on(alive, at)]] = False
        edge_mask[:, ~alive] = False

    node_mask = np.zeros(len(node_mask), dtype=bool)
    node_mask[kept[alive.cpu().numpy()]] = True
    full = np.zeros(adjacency.shape, dtype=bool)
    full[np.ix_(kept_rows, kept)] = edge_mask.cpu().numpy()
    return Pruned(node_mask, full)


def scores(
    adjacency: Tensor,
    weights: Values,
    node_influence: Values,
    kinds: tuple[int, int, int, int],
    rows: Numbers | None = None,
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
    shares = [_row_shares(block)[:, errors].sum(dim=1) for block in adjacency.split(_BLOCK)]
    error_share = np.zeros(len(node_influence))
    error_share[slice(None) if rows is None else rows] = torch.cat(shares).cpu().numpy()
    output = node_influence + weights
    return float(replacement), float(((1 - error_share) * output).sum() / output.sum())


def padded(weights: Values, n_nodes: int) -> NDArray[np.float64]:
    """Weights of the logits as weights of all nodes: (logit,) → (node,)."""
    return np.concatenate([np.zeros(n_nodes - len(weights)), weights])


def strongest(
    adjacency: Tensor,
    output: Values,
    *,
    min_share: float = 0.0,
    top_k: int = 0,
    most: int | None = None,
) -> Mask:
    """The edges to keep where all are too many: (row target, node source) bool; never an edge that is 0.

    First, an edge must hold ``min_share`` of Σ |A| of its row. Then the ``top_k`` largest edges into each
    target are kept, all of them with 0. Then the ``most`` edges are kept that carry most influence, which is
    Â · ``output``; ``output`` (row,) is the influence + w of the target.
    """
    kept = adjacency != 0
    if min_share or top_k or (most is not None and int(kept.count_nonzero()) > most):
        flow = torch.from_numpy(np.asarray(output, dtype=np.float64)).to(adjacency.device)
        scores = torch.zeros_like(adjacency)
        for start in range(0, len(adjacency), _BLOCK):
            rows = slice(start, start + _BLOCK)
            shares = _row_shares(adjacency[rows])
            kept[rows] &= shares >= min_share
            if 0 < top_k < adjacency.shape[1]:
                kept[rows] &= _largest(shares, top_k)
            scores[rows] = (shares * flow[rows, None]).float()
        if most is not None:
            _keep_most(kept, scores, most)
    mask: Mask = kept.cpu().numpy()
    return mask


def _keep_most(kept: Tensor, scores: Tensor, most: int) -> None:
    """Keep the ``most`` entries of largest ``scores``, of equal ones the first; in place."""
    flat = kept.flatten().nonzero().squeeze(1)
    if len(flat) <= most:
        return
    values = scores.flatten()[flat]
    least = values.kthvalue(len(values) - most + 1).values
    equal = (values == least).nonzero().squeeze(1)
    chosen = values > least
    chosen[equal[: most - int(chosen.count_nonzero())]] = True
    kept[:] = False
    kept.view(-1)[flat[chosen]] = True


def _largest(values: Tensor, count: int) -> Tensor:
    """The ``count`` largest of every row (row, column), the first of equal ones: (row, column) bool."""
    least = values.topk(count, dim=1).values[:, -1:]
    above, equal = values > least, values == least
    wanted = count - above.sum(dim=1, keepdim=True)
    return above | (equal & (equal.cumsum(dim=1) <= wanted))


def cumulative(node_influence: Values) -> NDArray[np.float64]:
    """Share of all influence that a node and those with more hold: (node,) float64, least for the largest.

    It is 0 for every node when no node has influence.
    """
    order = np.argsort(-node_influence, kind="stable")
    result = np.empty(len(node_influence))
    result[order] = np.cumsum(node_influence[order]) / (node_influence.sum() or 1.0)
    return result


def _threshold(values: Tensor, share: float) -> float:
    """The largest value such that it and those above it hold ``share`` of the sum."""
    if not len(values):
        return 0.0
    descending = values.sort(descending=True).values
    running = descending.cumsum(dim=0)
    reached = int(torch.searchsorted(running / running[-1], share)) if running[-1] > 0 else len(running)
    return float(descending[min(reached, len(descending) - 1)])


def _row_shares(adjacency: Tensor) -> Tensor:
    """Â: |A| as float64 with each row divided by its sum; a row of zeros stays so."""
    shares = adjacency.abs().double()
    total = shares.sum(dim=1, keepdim=True)
    return shares.div_(torch.where(total > 0, total, 1))


def _on(tensor: Tensor, values: NDArray[np.int64] | NDArray[np.bool_]) -> Tensor:
    """``values`` on the device of ``tensor``."""
    return torch.from_numpy(values).to(tensor.device)
