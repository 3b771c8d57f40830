"""Paths through an attribution graph: how long they are, and how much of the answer the pruned part explains.

The share of an edge is |weight| over the sum of |weight| of all stored edges into its target. The share of a
path is the product of the shares of its edges.

A part of a graph is scored as the whole is, and what is hidden counts as error: influence runs along the
edges that are shown, and what else enters a node counts as if an error node sent it. With everything shown
these are the stored scores. The explorer scores its graphs in the same way.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Evaluating attribution graphs" and appendix
"Graph pruning".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

MAX_STEPS = 200  # of a path; in these graphs no path is longer than twice the layers


@dataclass(frozen=True)
class Numbers:
    """What paths say of a graph or of a part of it."""

    completeness: float
    replacement: float
    path_length: float  # mean number of edges from embeddings to logits, paths weighted by their shares


UNKNOWN = Numbers(*[float("nan")] * 3)  # of a graph whose edges are no single steps


def numbers(graph: xr.Dataset, shown: np.ndarray) -> Numbers:
    """The numbers of the part whose edges are `shown` (edge,) bool.

    Scores are NaN where nothing leads to the logits, and the length is NaN where no path begins at an
    embedding.
    """
    count, n_logits, n_tokens = (graph.sizes[name] for name in ("node", "logit", "position"))
    target, source = graph.edge_target.values[shown], graph.edge_source.values[shown]
    every = np.abs(input_shares(graph.edge_target.values, graph.edge_weight.values, count))
    share = every[shown]
    embeddings = slice(count - n_logits - n_tokens, count - n_logits)
    errors = slice(graph.sizes["feature_node"], embeddings.start)
    reached: np.ndarray = np.zeros(count)
    reached[count - n_logits :] = graph.logit_weights.values
    given, length = reached.copy(), 0.0  # Σ of influence and weight of every node, and of lengths
    for step in range(1, MAX_STEPS):
        reached = np.bincount(source, reached[target] * share, minlength=count)
        if not reached.any():
            break
        given += reached
        length += step * reached[embeddings].sum()
    has_input = np.bincount(graph.edge_target.values, minlength=count) > 0
    from_error = (source >= errors.start) & (source < errors.stop)
    known = np.bincount(target, share * ~from_error, minlength=count)
    seen = np.bincount(target, share, minlength=count)
    hidden = float((given * np.where(has_input, np.maximum(1 - seen, 0), 0)).sum())
    explained = float((given * np.where(has_input, known, 1)).sum())
    arrived = float(given[embeddings].sum())
    ends = arrived + float(given[errors].sum()) + hidden
    return Numbers(
        completeness=_ratio(explained + hidden, float(given.sum()) + hidden),
        replacement=_ratio(arrived, ends),
        path_length=_ratio(length, arrived),
    )


def input_shares(target: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """Each edge as a signed share of all that enters its target, by absolute value: (edge,) float64.

    `target` (edge,) are nodes, `count` is the number of all nodes, `weight` is (edge,).
    """
    weight = weight.astype(np.float64)
    entering = np.bincount(target, np.abs(weight), minlength=count)
    return np.asarray(weight / np.where(entering[target] > 0, entering[target], 1))


def _ratio(part: float, whole: float) -> float:
    """A quotient; NaN where there is nothing to divide by."""
    return part / whole if whole > 0 else float("nan")
