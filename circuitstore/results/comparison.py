"""How alike two attribution graphs are: which nodes they share, and how the edges between shared nodes agree.

A node is the same in two graphs when it is of the same kind, layer, position and feature (or token). Weights
are compared where both graphs have the edge; an edge of one graph alone counts in the overlap, not in the
correlation. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from circuitstore.errors import InputError
from circuitstore.results.graph_file import GraphFile, identity, read_file, token_texts
from circuitstore.results.interchange import to_file

if TYPE_CHECKING:
    import xarray as xr

Identity = tuple[str, int, int, int]  # kind, layer, position, feature or token id


@dataclass(frozen=True)
class Comparable:
    """What is compared of a graph.

    influence: the cumulative share of each node, None for logits; weight: that of each edge; texts: what
    tokens are called, by id.
    """

    influence: dict[Identity, float | None]
    weight: dict[tuple[Identity, Identity], float]  # (source, target)
    texts: dict[int, str] = field(default_factory=dict)


def of_file(file: GraphFile) -> Comparable:
    """A graph that was read. Raises InputError for a weight or an influence that is NaN or infinite."""
    names = {node.node_id: identity(node) for node in file.nodes}
    graph = Comparable(
        {names[node.node_id]: node.influence for node in file.nodes},
        {(names[link.source], names[link.target]): link.weight for link in file.links},
        token_texts(file),
    )
    _check_finite(graph)
    return graph


def _check_finite(graph: Comparable) -> None:
    """Raise InputError for a number that is not finite: it differs from itself, so it cannot be compared."""
    numbers: dict[str, float | None] = {
        f"influence of {text(node, graph.texts)}": value for node, value in graph.influence.items()
    }
    for (source, target), weight in graph.weight.items():
        numbers[f"weight of {text(source, graph.texts)} → {text(target, graph.texts)}"] = weight
    for what, value in numbers.items():
        if value is not None and not math.isfinite(value):
            raise InputError(
                what, expected="a finite number", got=value, remedy="compute the graph anew in float32"
            )


def of_path(path: str) -> Comparable:
    """A graph file. Raises InputError for what cannot be read or compared."""
    return of_file(read_file(path))


def of_dataset(graph: xr.Dataset) -> Comparable:
    """A graph of the store; what pruning kept. Raises InputError for one that holds NaN or infinity."""
    return of_file(to_file(graph, slug="", scan=""))


def compare(a: Comparable, b: Comparable, *, top: int = 10) -> dict[str, Any]:
    """Counts, overlaps (Jaccard) and correlations; `largest`: the `top` edges that differ most.

    Keys: nodes, edges: {a, b, shared, jaccard}, with jaccard None where neither graph has any;
    weight_pearson, weight_spearman over shared edges;
    influence_spearman over nodes that have one in both; largest: [{source, target, a, b}], None where a graph
    lacks the edge. Correlations of fewer than three values, or of constants, are None.
    """
    texts = b.texts | a.texts
    both = sorted(a.weight.keys() & b.weight.keys())
    shared = sorted(
        node
        for node in a.influence.keys() & b.influence.keys()
        if None not in (a.influence[node], b.influence[node])
    )
    weights = [a.weight[edge] for edge in both], [b.weight[edge] for edge in both]
    differing = sorted(
        a.weight.keys() | b.weight.keys(),
        key=lambda edge: (-abs(a.weight.get(edge, 0) - b.weight.get(edge, 0)), edge),
    )
    return {
        "nodes": _overlap(a.influence.keys(), b.influence.keys()),
        "edges": _overlap(a.weight.keys(), b.weight.keys()),
        "weight_pearson": _pearson(*weights),
        "weight_spearman": _spearman(*weights),
        "influence_spearman": _spearman(
            [a.influence[node] for node in shared], [b.influence[node] for node in shared]
        ),
        "largest": [
            {
                "source": text(edge[0], texts),
                "target": text(edge[1], texts),
                "a": a.weight.get(edge),
                "b": b.weight.get(edge),
            }
            for edge in differing[:top]
            if a.weight.get(edge) != b.weight.get(edge)
        ],
    }


def text(node: Identity, texts: Mapping[int, str]) -> str:
    """A node as people read it, with the names of `circuitstore.circuits.nodes`."""
    kind, layer, position, number = node
    token = repr(texts[number]) if number in texts else f"of token {number}"
    what = {"feature": f"L{layer} #{number}", "error": f"error L{layer}"}.get(kind, f"{kind} {token}")
    return f"{what} at {position}"


def _overlap(a: Set[Any], b: Set[Any]) -> dict[str, Any]:
    shared, either = len(a & b), len(a | b)
    return {"a": len(a), "b": len(b), "shared": shared, "jaccard": shared / either if either else None}


def _pearson(x: Sequence[Any], y: Sequence[Any]) -> float | None:
    import numpy as np

    if len(x) < 3 or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    return float(np.corrcoef(np.array(x, dtype=float), np.array(y, dtype=float))[0, 1])


def _spearman(x: Sequence[Any], y: Sequence[Any]) -> float | None:
    import numpy as np

    from circuitstore.statistics.correlation import spearman

    value = spearman(np.array(x, dtype=float), np.array(y, dtype=float))
    return None if np.isnan(value) else value
