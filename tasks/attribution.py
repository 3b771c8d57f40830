"""Phase `attribution`: one attribution graph a prompt, exact in the frozen replacement model.

The features are those of the `features` phase, so no encoder is read again; a layer or position that it does
not cover has no features, and its whole MLP output is an error node. The mathematics is in
`circuitstore.circuits.graph`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from circuitstore.circuits.active import ActiveFeatures
from circuitstore.circuits.graph import attribute
from circuitstore.circuits.methods import MARGIN_METHODS
from circuitstore.circuits.pruning import strongest
from circuitstore.statistics.correlation import spearman
from tasks.parts.memory import memory_bytes

ROWS = 512  # of a matrix of edges, looked at at a time


def attribution(cells, config, prompts, features, model, transcoders):
    """Yield one dataset a prompt; `node` runs over features, errors (layer-major), embeddings, logits, in
    this order.

    input_tokens (position,) int64, token_text (position,); active_features (active_feature, column) int64:
    layer, position, feature, sorted, none at the prepended token; activation_values (active_feature,)
    float32; selected_features (feature_node,) int64: the rows of active_features that are nodes;
    logit_token_ids, logit_against_ids (logit,) int64 (-1: the vocabulary's mean), logit_text,
    logit_probabilities (logit,) float32. node_preactivation, node_bias, node_omitted, node_influence,
    node_cumulative (node,) float32, prune_node_mask (node,) bool: for every feature and logit row, sum of the
    edges + unstored + bias + omitted = pre-activation. edge_target, edge_source (edge,) int32, edge_weight
    (edge,) float32, prune_edge_mask (edge,) bool: by target, then source, every edge that is not zero, or the
    strongest (`edge_min_share`, `edge_top_k`, `max_edges`) and those that pruning keeps. kept_weight:
    float64, share of all absolute weight that these edges hold; node_unstored (node,) float32: the sum of the
    others into a node, 0 when every edge is stored. replacement_score, completeness_score: float64;
    identity_error: float64, the largest difference in that sum, as a share of its scale; n_layers: int32.
    direct_attribution, total_attribution, gradient_attribution (node,) float32, nats: what each node
    contributes to the correct - incorrect logit difference by the edge alone, by all paths through features,
    and by the real model's gradient (`circuitstore.circuits.margin`); gradient_direct_spearman: float64, the
    rank correlation of two of these over the features. With method "gradient", edges and pruning are those of
    `circuitstore.circuits.gradient_graph`, no identity holds and its error is NaN.

    Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Attribution" and "Pruning".
    """
    for cell in cells:
        prompt = prompts.one(cell)
        tokens = prompt.tokens.values.tolist()
        margin = (int(prompt.correct_id), int(prompt.incorrect_id))
        graph = attribute(
            model,
            transcoders,
            tokens,
            features=_active(features.all(cell), model.n_layers, len(tokens)),
            difference=margin if config.targets == "difference" else None,
            targets=margin if config.targets == "answers" else None,
            margin=margin,
            **settings(config),
        )
        yield cell, dataset(graph, model, prompt.token_text.values, config)


def settings(config) -> dict:
    """The arguments of `circuitstore.circuits.graph.attribute` that the configuration sets."""
    elsewhere = ("targets", "memory", "edge_min_share", "edge_top_k", "max_edges")
    return {name: getattr(config, name) for name in config.__struct_fields__ if name not in elsewhere} | {
        "memory": memory_bytes(config.memory)
    }


def dataset(graph, model, token_text: np.ndarray, config) -> xr.Dataset:
    """A graph as labelled arrays, its edges sparse."""
    weights = np.zeros(len(graph.node_influence))
    weights[len(weights) - len(graph.logit_probabilities) :] = graph.logit_probabilities
    kept = graph.prune_edge_mask | strongest(
        graph.adjacency_matrix,
        graph.node_influence + weights,
        min_share=config.edge_min_share,
        top_k=config.edge_top_k,
        most=config.max_edges or None,
    )
    target, source = np.nonzero(kept)
    weight = graph.adjacency_matrix[target, source]
    unstored, left = _unstored(graph.adjacency_matrix, kept)
    held = float(np.abs(weight).sum(dtype=np.float64))
    per_node = (
        "node_preactivation",
        "node_bias",
        "node_omitted",
        "node_influence",
        "node_cumulative",
        "prune_node_mask",
    )
    per_logit = ("logit_token_ids", "logit_against_ids", "logit_probabilities")
    return xr.Dataset(
        {
            "input_tokens": ("position", graph.input_tokens),
            "token_text": ("position", token_text),
            "active_features": (("active_feature", "column"), graph.active_features),
            "activation_values": ("active_feature", graph.activation_values),
            "selected_features": ("feature_node", graph.selected_features),
            **{name: ("logit", getattr(graph, name)) for name in per_logit},
            "logit_text": (
                "logit",
                np.array([model.tokenizer.decode([int(i)]) for i in graph.logit_token_ids], dtype=str),
            ),
            **{name: ("node", getattr(graph, name)) for name in per_node},
            "edge_target": ("edge", target.astype(np.int32)),
            "edge_source": ("edge", source.astype(np.int32)),
            "edge_weight": ("edge", weight),
            "prune_edge_mask": ("edge", graph.prune_edge_mask[target, source]),
            "node_unstored": ("node", unstored),
            "kept_weight": ((), np.float64(held / (held + left) if left else 1.0)),
            "replacement_score": ((), np.float64(graph.replacement_score)),
            "completeness_score": ((), np.float64(graph.completeness_score)),
            "identity_error": ((), np.float64(_identity_error(graph))),
            "n_layers": ((), np.int32(model.n_layers)),
            **_contributions(graph),
        },
        attrs={"structure": "graph"},
    )


def _unstored(adjacency: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, float]:
    """Of the edges that are not kept: their sum into each node (node,) float32, and the sum of their absolute
    values.
    """
    sums, size = [], 0.0
    for start in range(0, len(adjacency), ROWS):  # the whole would be a second matrix
        others = np.where(kept[start : start + ROWS], 0, adjacency[start : start + ROWS])
        sums.append(others.sum(1, dtype=np.float64))
        size += float(np.abs(others).sum(dtype=np.float64))
    return np.concatenate(sums).astype(np.float32), size


def _contributions(graph) -> dict:
    """What nodes contribute to the margin, if the graph was asked for it."""
    if graph.margin is None:
        return {}
    nats = {"units": "nats"}
    by_method = {
        f"{name}_attribution": ("node", getattr(graph.margin, name), nats) for name in MARGIN_METHODS
    }
    features = slice(len(graph.selected_features))
    agreement = spearman(graph.margin.direct[features], graph.margin.gradient[features])
    return {**by_method, "gradient_direct_spearman": ((), np.float64(agreement))}


def summary(cells, config):
    """Means over prompts of both graph scores and of the agreement of gradient and direct; the largest
    identity error.
    """
    names = ("replacement_score", "completeness_score", "gradient_direct_spearman", "identity_error")
    graphs = np.array(
        [[float(graph[name]) for name in names] for _, graph in cells]
    )  # one in memory at a time
    return {
        "graphs": len(graphs),
        **dict(zip(names[:3], graphs[:, :3].mean(0).tolist(), strict=True)),
        names[3]: float(graphs[:, 3].max()),
    }


def _active(layers: list, n_layers: int, n_tokens: int) -> ActiveFeatures:
    """The active features of one prompt from its `features` cells, positions counted from the first token."""
    covered = np.zeros((n_layers, n_tokens), dtype=bool)
    columns: list[tuple[np.ndarray, ...]] = []
    for coords, cell in sorted(layers, key=lambda pair: pair[0]["layer"]):
        pointer = cell["activation.pointer"].values
        first = n_tokens - (len(pointer) - 1)
        covered[coords["layer"], max(first, 1) :] = True
        position = first + np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))
        columns.append(
            (
                np.full(len(position), coords["layer"]),
                position,
                cell["activation.feature"].values,
                cell["activation.value"].values,
            )
        )
    layer, position, feature, value = (np.concatenate(column) for column in zip(*columns, strict=True))
    return ActiveFeatures(layer, position, feature, value, covered)


def _identity_error(graph) -> float:
    """The largest |Σ edges + bias + omitted - pre-activation| of a feature or logit, over the largest term of
    its sum.
    """
    n_features, n_logits = len(graph.selected_features), len(graph.logit_token_ids)
    if graph.method == "gradient":
        return float("nan")
    rows = np.r_[0:n_features, len(graph.node_bias) - n_logits : len(graph.node_bias)]
    edges = graph.adjacency_matrix[rows].astype(np.float64)
    total = edges.sum(1) + graph.node_bias[rows] + graph.node_omitted[rows]
    scale = np.maximum(np.abs(edges).max(1, initial=0), np.abs(graph.node_preactivation[rows]))
    return float((np.abs(total - graph.node_preactivation[rows]) / np.maximum(scale, 1e-12)).max(initial=0))
