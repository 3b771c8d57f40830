"""An attribution graph as a record of a page.

Nodes are sorted as in the graph: features, errors, embeddings, logits. Kinds are numbered in this order. The
layer of an embedding is -1 and that of a logit is the number of layers. `feature` is the token id of an
embedding or a logit, and -1 for an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from circuitstore.viewer.bundle import smallest

if TYPE_CHECKING:
    import xarray as xr

FEATURE, ERROR, EMBEDDING, LOGIT = range(4)
CONTRIBUTIONS = ("direct_attribution", "total_attribution")


def graph_record(graph: xr.Dataset, *, pruned: bool = False, **facts: Any) -> dict[str, Any]:
    """The record of a graph in the store, with further `facts` about it.

    Facts are its title, text and model, and there may be its answers, partner, roles (of positions), labels
    ("LAYER/FEATURE" → label) and thresholds (of nodes and edges, with which it was pruned). `turns`
    (position,) says whose turn of a conversation each token is, "" for those of the template. It is empty
    where there is none. `asked` is what to ask about in a script: the text if one is given, else token ids.
    `heads` and `looks` are what is known of its attention (`tasks/exploring/attention.py`).

    With `pruned` it holds the nodes that pruning kept, and all stored edges between them. `node_total` is
    Σ |edge| over all stored edges into a node, those from nodes that are left out included, so that scores
    can be computed from the rest: what is left out counts as unexplained.
    """
    graph = graph.load()
    keep = graph.prune_node_mask.values if pruned else np.ones(graph.sizes["node"], dtype=bool)
    index = np.cumsum(keep) - 1
    source, target, weight = (graph[f"edge_{name}"].values for name in ("source", "target", "weight"))
    total = np.bincount(target, np.abs(weight).astype(np.float64), minlength=len(keep))
    stays = keep[source] & keep[target]
    columns = {name: column[keep] for name, column in _nodes(graph).items()}
    return {
        "roles": [],
        "turns": list(map(str, graph.token_role.values)) if "token_role" in graph else [],
        "labels": {},
        "heads": [],
        "looks": [],
        "thresholds": [None, None],
        **facts,
        "asked": facts.get("asked") or graph.input_tokens.values.tolist(),
        "pruned": pruned,
        "tokens": list(map(str, graph.token_text.values)),
        "n_layers": int(graph.n_layers),
        "logits": {
            "text": list(map(str, graph.logit_text.values)),
            "probability": graph.logit_probabilities.values.astype(np.float32),
            "weight": graph.logit_weights.values.astype(np.float32),
            "against": graph.logit_against_ids.values.astype(np.int32),
        },
        "nodes": {
            **columns,
            "original": smallest(np.flatnonzero(keep)),
            "total": total[keep].astype(np.float32),
            "kept": graph.prune_node_mask.values[keep].astype(np.uint8),
        },
        "influence_total": float(graph.node_influence.values.sum()),
        "count": {"nodes": len(keep), "edges": len(weight)},
        "edges": {
            "source": smallest(index[source[stays]]),
            "target": smallest(index[target[stays]]),
            "weight": weight[stays].astype(np.float32),
            "kept": graph.prune_edge_mask.values[stays].astype(np.uint8),
        },
        "scores": {
            name: float(graph[name]) for name in ("replacement_score", "completeness_score", "kept_weight")
        },
    }


def _nodes(graph: xr.Dataset) -> dict[str, np.ndarray]:
    """What is known of every node, (node,) each."""
    n_tokens, n_layers, n_logits = graph.sizes["position"], int(graph.n_layers), graph.sizes["logit"]
    chosen = graph.selected_features.values
    active = graph.active_features.values[chosen].reshape(len(chosen), 3)
    places, layers = np.arange(n_tokens), np.arange(n_layers)
    tokens, answers = graph.input_tokens.values, graph.logit_token_ids.values
    none = np.full(n_layers * n_tokens, -1)
    kind = np.repeat([FEATURE, ERROR, EMBEDDING, LOGIT], [len(chosen), len(none), n_tokens, n_logits])
    layer = (active[:, 0], layers.repeat(n_tokens), np.full(n_tokens, -1), np.full(n_logits, n_layers))
    position = (active[:, 1], np.tile(places, n_layers), places, np.full(n_logits, n_tokens - 1))
    columns = {
        "kind": kind,
        "layer": np.concatenate(layer),
        "position": np.concatenate(position),
        "feature": np.concatenate((active[:, 2], none, tokens, answers)),
    }
    activation = np.zeros(len(kind), dtype=np.float32)
    activation[: len(chosen)] = graph.activation_values.values[chosen]
    numbers = {"activation": activation, "influence": graph.node_influence.values}
    numbers["cumulative"] = graph.node_cumulative.values
    numbers |= {name: graph[name].values for name in CONTRIBUTIONS if name in graph}
    return {name: smallest(column) for name, column in columns.items()} | {
        name: column.astype(np.float32) for name, column in numbers.items()
    }
