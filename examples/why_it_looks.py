"""The strongest edge that moves between positions: the head that carried it, and why that head looked there.

python examples/why_it_looks.py "The keys near the cabinet" [STORE [PROFILE]]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import circuitstore as cs
from circuitstore.results.graphs import nodes


def why_it_looks(text: str, store: str | None = None, profile: str | None = None) -> dict[str, Any]:
    """The edge and its weight, the layer and head with the largest loading, and the pairs of its score."""
    graph = cs.attribute(text, model=profile, store=store)
    rows = nodes(graph)
    position = np.array([row["position"] for row in rows])
    source, target = graph.edge_source.values, graph.edge_target.values
    moving = np.where(position[source] < position[target], np.abs(graph.edge_weight.values), 0)
    ends = [(int(source[moving.argmax()]), int(target[moving.argmax()]))]

    heads = cs.heads(graph, ends, model=profile, store=store)
    loading = heads.loading.values[0]
    layer, head = np.unravel_index(np.abs(loading).argmax(), loading.shape)

    query, key = (int(position[node]) for node in reversed(ends[0]))
    why = cs.attention(graph, int(layer), int(head), query, key, pairs=5, model=profile, store=store)
    kinds = why.source_kind.values
    where = zip(kinds, why.source_layer.values, why.source_position.values, strict=True)
    names = [f"{kind} of layer {layer} at {at}" for kind, layer, at in where]
    pairs = zip(why.pair_share.values, why.pair_query.values, why.pair_key.values, strict=True)
    return {
        "edge": [rows[node]["name"] for node in ends[0]],
        "weight": float(heads.weight[0]),
        "head": (int(layer), int(head)),
        "loading": float(loading[layer, head]),
        "score": float(why.score),
        "pairs": [(float(share), names[i], names[j]) for share, i, j in pairs],
    }


if __name__ == "__main__":
    found = why_it_looks(*sys.argv[1:4])
    print(f"{' → '.join(found['edge'])}: {found['weight']:.3f}")
    print(f"head {found['head'][1]} of layer {found['head'][0]} carried {found['loading']:.3f}")
    print(f"its score is {found['score']:.3f} nats, of which")
    for share, query, key in found["pairs"]:
        print(f"{share:>8.3f}  {query}, with {key}")
