"""The results of phases `attribution` and `circuit` as plain columns.

Graphs are read one at a time, since the graphs of a large model do not fit in memory together.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from circuitstore.circuits.methods import MARGIN_METHODS
from tasks.drawing import paths

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.engine.inputs import Upstream

THRESHOLDS = (0.95, 0.9, 0.8, 0.7)  # of pruning, as published


@dataclass
class Graphs:
    """Phase `attribution`: the numbers of each graph, and the graphs of the examples whole."""

    completeness: np.ndarray  # (prompt,)
    replacement: np.ndarray  # (prompt,)
    identity_error: np.ndarray  # (prompt,)
    kept_weight: np.ndarray  # (prompt,): the share of all absolute weight that stored edges hold
    kept: np.ndarray  # (prompt, threshold): nodes, of all kinds, within each of `THRESHOLDS` of influence
    path_length: np.ndarray  # (prompt,): see `tasks.drawing.paths`
    # the same of what pruning keeps: "completeness", "replacement", "path_length", "nodes" → (prompt,)
    pruned: dict[str, np.ndarray]
    graphs: dict[str, xr.Dataset]
    # method → (entry,) nats: attributions of the features of all prompts to the margin, where computed
    contributions: dict[str, np.ndarray] = field(default_factory=dict)
    spearman: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (prompt,): of gradient and direct

    @classmethod
    def of(cls, upstream: Upstream, examples: list[str]) -> Graphs:
        """From phase `attribution`; `examples` are the ids of prompts whose graphs are kept whole."""
        scored, kept, lengths, spearman = [], [], [], []
        parts: list[dict[str, float]] = []
        contributions: dict[str, list[np.ndarray]] = {}
        graphs = {}
        for coords, graph in upstream.each({}):
            name = str(coords["prompt"])
            if name in examples:
                graphs[name] = graph
            scores = ("completeness_score", "replacement_score", "identity_error", "kept_weight")
            scored.append([float(graph[score]) for score in scores])
            kept.append([int((graph.node_cumulative.values <= threshold).sum()) for threshold in THRESHOLDS])
            whole = part = paths.UNKNOWN
            if np.isfinite(graph.identity_error):  # an edge by gradients holds whole paths
                whole = paths.numbers(graph, np.ones(graph.sizes["edge"], dtype=bool))
                part = paths.numbers(graph, graph.prune_edge_mask.values)
            lengths.append(whole.path_length)
            parts.append({**asdict(part), "nodes": int(graph.prune_node_mask.sum())})
            if "gradient_attribution" in graph:
                for method in MARGIN_METHODS:
                    values = graph[f"{method}_attribution"].values[: graph.sizes["feature_node"]]
                    contributions.setdefault(method, []).append(values)
                spearman.append(float(graph.gradient_direct_spearman))
        completeness, replacement, identity_error, kept_weight = np.array(scored).T
        return cls(
            completeness=completeness,
            replacement=replacement,
            identity_error=identity_error,
            kept_weight=kept_weight,
            kept=np.array(kept),
            path_length=np.array(lengths),
            pruned={name: np.array([part[name] for part in parts]) for name in parts[0]},
            graphs={name: graphs[name] for name in examples if name in graphs},
            contributions={name: np.concatenate(parts) for name, parts in contributions.items()},
            spearman=np.array(spearman),
        )


def mean(values: np.ndarray) -> float:
    """The mean of what is known of (prompt,); NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


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

    def contribution(self, layer: int, feature: int) -> tuple[str, float]:
        """The position role in which a feature contributes most to the margin, and its mean there in nats."""
        data = self.data
        same = np.flatnonzero((data.unit_layer.values == layer) & (data.unit_feature.values == feature))
        most = same[self.merit[same].argmax()]
        value = data[f"{data.attrs['rank_by']}_attribution"].values[most]
        return str(data.unit_role.values[most]), float(value)

    def top_features(self, count: int) -> list[tuple[int, int]]:
        """(layer, feature) of the features that contribute most to the margin on train prompts.

        Their sign and position role do not count.
        """
        data, merit = self.data, self.merit
        order = np.argsort(-merit, kind="stable")
        ranked = order[(data.unit_kind.values[order] == "feature") & (merit[order] > 0)]
        columns = (data[name].values[ranked].tolist() for name in ("unit_layer", "unit_feature"))
        return list(dict.fromkeys(zip(*columns, strict=True)))[:count]
