"""The results of phases `attribution` and `circuit` as plain columns.

Graphs are read one at a time, since the graphs of a large model do not fit in memory together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from circuitstore.circuits.methods import MARGIN_METHODS

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.engine.inputs import Upstream

THRESHOLDS = (0.95, 0.9, 0.8, 0.7)  # of pruning, as published
MAX_STEPS = 200  # of a path; in these graphs no path is longer than twice the layers


@dataclass
class Graphs:
    """Phase `attribution`: the numbers of each graph, and the graphs of the examples whole."""

    completeness: np.ndarray  # (prompt,)
    replacement: np.ndarray  # (prompt,)
    identity_error: np.ndarray  # (prompt,)
    kept: np.ndarray  # (prompt, threshold): nodes, of all kinds, within each of `THRESHOLDS` of influence
    path_length: np.ndarray  # (prompt,): see `path_length`
    graphs: dict[str, xr.Dataset]
    # method → (entry,) nats: attributions of the features of all prompts to the margin, where computed
    contributions: dict[str, np.ndarray] = field(default_factory=dict)
    spearman: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (prompt,): of gradient and direct

    @classmethod
    def of(cls, upstream: Upstream, examples: list[str]) -> Graphs:
        """From phase `attribution`; `examples` are the ids of prompts whose graphs are kept whole."""
        numbers, kept, lengths, spearman = [], [], [], []
        contributions: dict[str, list[np.ndarray]] = {}
        graphs = {}
        for coords, graph in upstream.each({}):
            name = str(coords["prompt"])
            if name in examples:
                graphs[name] = graph
            scores = ("completeness_score", "replacement_score", "identity_error")
            numbers.append([float(graph[score]) for score in scores])
            kept.append([int((graph.node_cumulative.values <= threshold).sum()) for threshold in THRESHOLDS])
            lengths.append(path_length(graph))
            if "gradient_attribution" in graph:
                for method in MARGIN_METHODS:
                    values = graph[f"{method}_attribution"].values[: graph.sizes["feature_node"]]
                    contributions.setdefault(method, []).append(values)
                spearman.append(float(graph.gradient_direct_spearman))
        completeness, replacement, identity_error = np.array(numbers).T
        return cls(
            completeness=completeness,
            replacement=replacement,
            identity_error=identity_error,
            kept=np.array(kept),
            path_length=np.array(lengths),
            graphs={name: graphs[name] for name in examples if name in graphs},
            contributions={name: np.concatenate(parts) for name, parts in contributions.items()},
            spearman=np.array(spearman),
        )


@dataclass
class Circuit:
    """Phase `circuit`: its dataset."""

    data: xr.Dataset

    @classmethod
    def of(cls, upstream: Upstream) -> Circuit:
        """From phase `circuit`."""
        ((_, data),) = upstream.each({})
        return cls(data)

    @property
    def merit(self) -> np.ndarray:
        """The size of the mean attribution by which the circuit is ranked: (unit,)."""
        return np.asarray(np.abs(self.data[f"{self.data.attrs['rank_by']}_attribution"].values))

    def contribution(self, layer: int, feature: int) -> float:
        """The mean contribution of a feature to the margin in nats, of the role in which it is largest."""
        data = self.data
        same = (data.unit_layer.values == layer) & (data.unit_feature.values == feature)
        values = data[f"{data.attrs['rank_by']}_attribution"].values[same]
        return float(values[np.abs(values).argmax()])

    def top_features(self, count: int) -> list[tuple[int, int]]:
        """(layer, feature) of the features that contribute most to the margin on train prompts.

        Their sign and position role do not count.
        """
        data, merit = self.data, self.merit
        ranked = [
            i
            for i in np.argsort(-merit, kind="stable")
            if data.unit_kind.values[i] == "feature" and merit[i] > 0
        ]
        features = [(int(data.unit_layer.values[i]), int(data.unit_feature.values[i])) for i in ranked]
        return list(dict.fromkeys(features))[:count]


def path_length(graph: xr.Dataset) -> float:
    """Mean number of edges on the way from embeddings to logits, each path weighted by its share.

    The share of an edge is |weight| over the sum of |weight| into its target; the share of a path is the
    product of the shares of its edges. The shares of all paths into the logits that begin at an embedding or
    an error node sum to one. Only paths that begin at embeddings count here.
    """
    count, n_logits = graph.sizes["node"], graph.sizes["logit"]
    target, source = graph.edge_target.values, graph.edge_source.values
    share = np.abs(input_shares(target, graph.edge_weight.values, count))
    embeddings = slice(count - n_logits - graph.sizes["position"], count - n_logits)
    reached: np.ndarray = np.zeros(count)
    reached[count - n_logits :] = graph.logit_weights.values
    length = arrived = 0.0
    for step in range(1, MAX_STEPS):
        reached = np.bincount(source, reached[target] * share, minlength=count)
        if not reached.any():
            break
        arrived += reached[embeddings].sum()
        length += step * reached[embeddings].sum()
    return length / arrived if arrived > 0 else float("nan")


def input_shares(target: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """Each edge as a signed share of all that enters its target, by absolute value: (edge,) float64.

    `target` (edge,) are nodes, `count` is the number of all nodes, `weight` is (edge,).
    """
    weight = weight.astype(np.float64)
    entering = np.bincount(target, np.abs(weight), minlength=count)
    return np.asarray(weight / np.where(entering[target] > 0, entering[target], 1))
