"""The nodes and edges of a stored attribution graph, as rows and as a networkx graph. Imports no torch.

Figures, listings and analysis scripts learn here what the index of a node means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx
    import xarray as xr


def nodes(graph: xr.Dataset) -> list[dict[str, Any]]:
    """One row a node, in the order of dimension `node`: features, errors (layer-major), embeddings, logits.

    Keys: name; kind ("feature", "suppressed", "error", "embedding" or "logit"); layer (None for embeddings
    and logits); position (0 is the prepended token); feature and activation (None for other kinds); token
    (the text at the position, or the answer of a logit); influence; kept (by pruning). What is explained in
    the place of logits, such as a feature, has the kind "logit" and its own name.

    A suppressed feature is active in the minimal pair alone; its activation is minus the one there.
    """
    texts = [str(text) for text in graph.token_text.values]
    rows: list[dict[str, Any]] = []
    active, values = graph.active_features.values, graph.activation_values.values
    silent = graph.suppressed.values if "suppressed" in graph else [False] * len(values)
    for i in graph.selected_features.values:
        layer, position, feature = map(int, active[i])
        name, kind = f"L{layer} #{feature}", "suppressed" if silent[i] else "feature"
        rows.append(_row(name, kind, layer, position, texts[position], feature, float(values[i])))
    for layer in range(int(graph.n_layers)):
        rows += [_row(f"error L{layer}", "error", layer, i, text) for i, text in enumerate(texts)]
    rows += [_row(f"embedding {text!r}", "embedding", None, i, text) for i, text in enumerate(texts)]
    last = int(graph.target_position) if "target_position" in graph else len(texts) - 1
    for token, text in zip(graph.logit_token_ids.values, map(str, graph.logit_text.values), strict=True):
        rows.append(_row(f"logit {text!r}" if token >= 0 else text, "logit", None, last, text))
    for row, influence, kept in zip(
        rows, graph.node_influence.values, graph.prune_node_mask.values, strict=True
    ):
        row["influence"], row["kept"] = float(influence), bool(kept)
    return rows


def _row(
    name: str,
    kind: str,
    layer: int | None,
    position: int,
    token: str,
    feature: int | None = None,
    activation: float | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "layer": layer,
        "position": position,
        "token": token,
        "feature": feature,
        "activation": activation,
    }


def to_networkx(graph: xr.Dataset, *, pruned: bool = True) -> nx.DiGraph[int]:
    """An attribution graph as a directed graph from sources to targets.

    Nodes have the attributes of `nodes`, edges have `weight`. With ``pruned``, only the nodes and edges that
    pruning kept are there.
    """
    import networkx as nx

    rows = nodes(graph)
    kept = graph.prune_edge_mask.values if pruned else slice(None)
    result = nx.DiGraph(
        completeness_score=float(graph.completeness_score),
        replacement_score=float(graph.replacement_score),
        tokens=graph.token_text.values.tolist(),
    )
    result.add_nodes_from((i, row) for i, row in enumerate(rows) if row["kept"] or not pruned)
    columns = (graph[name].values[kept].tolist() for name in ("edge_source", "edge_target", "edge_weight"))
    result.add_weighted_edges_from(zip(*columns, strict=True))
    return result
