"""What `show` says of a phase: what a person asks of it, in place of the shapes of its arrays."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitstore.circuits.nodes import nodes
from circuitstore.engine.services import Table
from circuitstore.errors import unknown

if TYPE_CHECKING:
    import xarray as xr

Labels = Mapping[tuple[int, int], str]
PROMOTED = 3  # tokens listed of a feature


def attribution(tree: Any, labels: Labels, top: int, prompts: Sequence[str]) -> list[Table]:
    """Features of most influence and the strongest edges, over the graphs of all prompts, or of these.

    A feature counts in a graph at all of its positions together, and so does an edge. Raises UsageError.
    """
    if wrong := [prompt for prompt in prompts if prompt not in tree.children]:
        raise unknown("prompt", wrong[0], tree.children)
    graphs = [tree.children[prompt].to_dataset() for prompt in prompts or tree.children]
    features, edges = defaultdict[tuple[int, int], _Sum](_Sum), defaultdict[tuple[str, str], _Sum](_Sum)
    for number, graph in enumerate(graphs):
        rows = nodes(graph)
        for row in (row for row in rows if row["kept"] and row["kind"] == "feature"):
            features[row["layer"], row["feature"]].add(number, row["influence"], row["token"])
        kept = graph.prune_edge_mask.values
        columns = (graph[f"edge_{name}"].values[kept].tolist() for name in ("source", "target", "weight"))
        for source, target, weight in zip(*columns, strict=True):
            edges[rows[source]["name"], rows[target]["name"]].add(number, weight)
    scores = [
        (name, *_spread(float(graph[f"{name}_score"]) for graph in graphs))
        for name in ("completeness", "replacement")
    ]
    return [
        Table("score", ("", "mean", "least", "most"), scores),
        Table(
            "features of most influence",
            ("influence", "graphs", "feature", "mostly at", "label"),
            [
                (each.total / len(graphs), len(each.graphs), _name(*unit), each.where, labels.get(unit, ""))
                for unit, each in _largest(features, top)
            ],
        ),
        Table(
            "strongest edges",
            ("weight", "graphs", "source", "target"),
            [(each.total / len(graphs), len(each.graphs), *ends) for ends, each in _largest(edges, top)],
        ),
    ]


def interpretation(units: xr.Dataset, labels: Labels, top: int, prompts: Sequence[str]) -> list[Table]:
    """Features with the most certain labels, and the tokens that they promote."""
    order = np.lexsort((-units.max_activation.values, -units.confidence.values))[:top]
    texts = dict(zip(units.token.values.tolist(), units.token_text.values.tolist(), strict=True))
    rows = []
    for i in order.tolist():
        unit = int(units.layer[i]), int(units.feature[i])
        promoted = ", ".join(repr(texts[t]) for t in units.promoted_token.values[i, :PROMOTED].tolist())
        numbers = float(units.confidence[i]), int(units.active_prompts[i]), float(units.max_activation[i])
        rows.append((*numbers, _name(*unit), labels.get(unit, ""), promoted))
    columns = ("confidence", "prompts", "activation", "feature", "label", "promotes")
    return [Table("features with the most certain labels", columns, rows)]


def circuit(graph: xr.Dataset, labels: Labels, top: int, prompts: Sequence[str]) -> list[Table]:
    """Features that contribute most to the margin, and the strongest edges of the aggregated graph."""
    features = np.flatnonzero(graph.absolute_rank.values >= 0)
    first = features[np.argsort(graph.absolute_rank.values[features])][:top]
    columns = (graph[f"unit_{name}"].values.tolist() for name in ("kind", "layer", "feature", "role"))
    units = list(zip(*columns, strict=True))
    weights = graph.edge_weight.values * graph.edge_frequency.values
    strongest = np.argsort(-np.abs(weights), kind="stable")[:top]
    return [
        Table(
            "features that contribute most to the margin",
            ("nats", "active in", "feature", "role", "label"),
            [
                (
                    float(graph.gradient_attribution[i]),
                    float(graph.active_frequency[i]),
                    _name(*units[i][1:3]),
                    units[i][3],
                    labels.get(units[i][1:3], ""),
                )
                for i in first.tolist()
            ],
        ),
        Table(
            "strongest edges",
            ("weight", "active in", "source", "target"),
            [
                (
                    float(graph.edge_weight[i]),
                    float(graph.edge_frequency[i]),
                    _unit(*units[int(graph.edge_source[i])]),
                    _unit(*units[int(graph.edge_target[i])]),
                )
                for i in strongest.tolist()
            ],
        ),
    ]


class _Sum:
    """The total of a value over graphs, the graphs that have one, and the tokens it was found at."""

    def __init__(self) -> None:
        self.total, self.graphs, self.tokens = 0.0, set[int](), Counter[str]()

    def add(self, graph: int, value: float, token: str = "") -> None:
        self.total += value
        self.graphs.add(graph)
        self.tokens[token] += 1

    @property
    def where(self) -> str:
        """The token that it was found at most often."""
        return repr(self.tokens.most_common(1)[0][0])


def _largest(sums: Mapping[Any, _Sum], top: int) -> list[tuple[Any, _Sum]]:
    return sorted(sums.items(), key=lambda item: (-abs(item[1].total), item[0]))[:top]


def _spread(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean, least and most."""
    array = np.array(list(values))
    return float(array.mean()), float(array.min()), float(array.max())


def _unit(kind: str, layer: int, feature: int, role: str) -> str:
    """A unit of a circuit as people read it."""
    what = {"feature": _name(layer, feature), "error": f"error L{layer}"}.get(kind, kind)
    return f"{what} at {role}" if role else what


def _name(layer: int, feature: int) -> str:
    return f"L{layer} #{feature}"
