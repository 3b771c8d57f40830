"""An attribution graph as labelled arrays: what phases `attribution` and `attribute` have in common.

Edges are stored sparse. Those that are not stored are summed up for each target, so that the identity of a
graph (edges + bias + omitted = pre-activation) can be checked from what is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from circuitstore.circuits.methods import MARGIN_METHODS
from circuitstore.circuits.pruning import strongest
from circuitstore.models.token_text import token_text as text_of
from circuitstore.statistics.correlation import spearman
from circuitstore.texts import text_array
from tasks.parts.memory import memory_bytes

if TYPE_CHECKING:
    from circuitstore.circuits.graph import Graph
    from circuitstore.models.load import LanguageModel
    from tasks.settings.phases import Attribution

ROWS_AT_ONCE = 512  # rows of a matrix of edges; a copy of the whole would double the memory
ELSEWHERE = ("targets", "memory", "edge_min_share", "edge_top_k", "max_edges")
PER_NODE = (
    "node_preactivation",
    "node_bias",
    "node_omitted",
    "node_influence",
    "node_cumulative",
    "prune_node_mask",
)
PER_LOGIT = ("logit_token_ids", "logit_against_ids", "logit_probabilities", "logit_weights")


def arguments(config: Attribution) -> dict[str, Any]:
    """The arguments of `circuitstore.circuits.graph.attribute` that the settings give."""
    named = {name: getattr(config, name) for name in config.__struct_fields__ if name not in ELSEWHERE}
    return {**named, "memory": memory_bytes(config.memory)}


def dataset(
    graph: Graph, model: LanguageModel, texts: np.ndarray, config: Attribution, aim: str = ""
) -> xr.Dataset:
    """The variables that phase `attribution` describes; `texts` (position,) are those of tokens.

    `aim` is the name of what stands in the place of logits, if anything.
    """
    weights = np.zeros(len(graph.node_influence))
    weights[len(weights) - len(graph.logit_weights) :] = graph.logit_weights
    stored = graph.prune_edge_rows | strongest(
        torch.from_numpy(graph.edge_rows),
        (graph.node_influence + weights)[graph.target_nodes],
        min_share=config.edge_min_share,
        top_k=config.edge_top_k,
        most=config.max_edges or None,  # 0 stores every edge
    )
    row, source = np.nonzero(stored)
    weight = graph.edge_rows[row, source]
    unstored = np.zeros_like(graph.node_bias)
    unstored[graph.target_nodes], left_out = _unstored(graph.edge_rows, stored)
    held = float(np.abs(weight).sum(dtype=np.float64))
    logit_text = [aim or text_of(model.tokenizer, int(i)) for i in graph.logit_token_ids]
    return xr.Dataset(
        {
            "input_tokens": ("position", graph.input_tokens),
            "token_text": ("position", texts),
            "prompt_text": ((), text_array(str(model.tokenizer.decode(graph.input_tokens.tolist())))),
            "active_features": (("active_feature", "column"), graph.active_features),
            "activation_values": ("active_feature", graph.activation_values),
            **_suppressed(graph),
            "selected_features": ("feature_node", graph.selected_features),
            **{name: ("logit", getattr(graph, name)) for name in PER_LOGIT},
            "logit_text": ("logit", text_array(logit_text)),
            **{name: ("node", getattr(graph, name)) for name in PER_NODE},
            "edge_target": ("edge", graph.target_nodes[row].astype(np.int32)),
            "edge_source": ("edge", source.astype(np.int32)),
            "edge_weight": ("edge", weight),
            "prune_edge_mask": ("edge", graph.prune_edge_rows[row, source]),
            "node_unstored": ("node", unstored),
            "kept_weight": ((), np.float64(held / (held + left_out) if left_out else 1.0)),
            "replacement_score": ((), np.float64(graph.replacement_score)),
            "completeness_score": ((), np.float64(graph.completeness_score)),
            "identity_error": ((), np.float64(_identity_error(graph))),
            "n_layers": ((), np.int32(model.n_layers)),
            **_contributions(graph),
            **_target(graph),
        },
        attrs={"structure": "tree"},
    )


def _unstored(rows: np.ndarray, stored: np.ndarray) -> tuple[np.ndarray, float]:
    """The sum of the edges into each target that are not stored, and the sum of all their absolute values.

    Both arguments are (target, node source): edges, and whether each is stored. The first result is
    (target,) float32.
    """
    sums, size = [], 0.0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        others = np.where(stored[part], 0, rows[part])
        sums.append(others.sum(1, dtype=np.float64))
        size += float(np.abs(others).sum(dtype=np.float64))
    return np.concatenate(sums).astype(np.float32), size


def _suppressed(graph: Graph) -> dict[str, tuple[Any, ...]]:
    """Which features are suppressed, if any node is."""
    return {"suppressed": ("active_feature", graph.suppressed)} if graph.suppressed.any() else {}


def _target(graph: Graph) -> dict[str, tuple[Any, ...]]:
    """The feature that is explained, if one is."""
    names = ("layer", "position", "feature")
    pairs = zip(names, graph.target_feature or (), strict=False)
    return {f"target_{name}": ((), np.int32(value)) for name, value in pairs}


def _contributions(graph: Graph) -> dict[str, tuple[Any, ...]]:
    """The variables that say what nodes contribute to the margin, if the graph was asked for it."""
    if graph.margin is None:
        return {}
    nats = {"units": "nats"}
    features = slice(len(graph.selected_features))
    agreement = spearman(graph.margin.direct[features], graph.margin.gradient[features])
    return {
        **{f"{name}_attribution": ("node", getattr(graph.margin, name), nats) for name in MARGIN_METHODS},
        "gradient_direct_spearman": ((), np.float64(agreement)),
    }


def _identity_error(graph: Graph) -> float:
    """How far the identity of a graph is from holding; NaN for methods by gradients, where none holds.

    The largest |Σ edges + bias + omitted - pre-activation| of a feature or logit, each as a share of the
    largest term of its sum.
    """
    if graph.method != "direct":
        return float("nan")
    at, largest = graph.target_nodes, np.zeros(len(graph.target_nodes))
    total = graph.node_bias[at].astype(np.float64) + graph.node_omitted[at]
    for start in range(0, len(at), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        total[part] += graph.edge_rows[part].sum(1, dtype=np.float64)
        largest[part] = np.abs(graph.edge_rows[part]).max(1, initial=0)
    scale = np.maximum(np.maximum(largest, np.abs(graph.node_preactivation[at])), 1e-12)
    return float((np.abs(total - graph.node_preactivation[at]) / scale).max(initial=0))
