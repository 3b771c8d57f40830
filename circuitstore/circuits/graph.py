"""Attribution graphs: which features, errors and tokens a model's next-token prediction is made of.

Nodes, in this order: active transcoder *features*; one *error* for every (layer, position), layer-major: the
true MLP output less its reconstruction; one *embedding* a position; *logits*. In the frozen network
(`frozen_network`) all of them are linear:

    edge s → t = what s writes, carried through the frozen network, · what t reads
        writes   feature: activation · W_dec row      error, embedding: the vector itself
        reads    feature: W_enc row                   logit: unembedding row − mean of all rows
                                                      (or − the row of another token)

Matrices are written with **rows as targets, columns as sources**. For every feature and logit row

    sum of the row + node_bias + node_omitted = node_preactivation

The bias is the share of what has no node: b_enc, and, carried along the same paths, b_dec, the biases of
attention and the MLP output at position 0. The omitted share is what those active features send that were not
selected as nodes.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), sections "Attribution" and "Pruning". The
choice of features in stages follows circuit-tracer, with which the graphs agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits import pruning
from circuitstore.circuits.active import ActiveFeatures, checked_features, find_features
from circuitstore.circuits.edges import Edges
from circuitstore.circuits.gradient_graph import attributions, graph_edges
from circuitstore.circuits.gradients import logit_gradients
from circuitstore.circuits.margin import Margin, total_effects
from circuitstore.circuits.methods import GRAPH_METHODS
from circuitstore.circuits.targets import check_targets, choose_targets, direction
from circuitstore.errors import UsageError
from circuitstore.models.capture import capture
from circuitstore.models.finite import require_finite
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders


@dataclass(frozen=True)
class Graph:
    """An attribution graph. ``node`` counts features, errors, embeddings and logits, in this order."""

    input_tokens: NDArray[np.int64]  # (position,)
    # (active, 3): layer, position, feature; sorted; none at position 0
    active_features: NDArray[np.int64]
    activation_values: NDArray[np.float32]  # (active,)
    # (feature node,) ascending: the rows of active_features that are nodes
    selected_features: NDArray[np.int64]
    logit_token_ids: NDArray[np.int64]  # (logit,)
    logit_against_ids: NDArray[np.int64]  # (logit,) the token subtracted; -1 is the mean of the vocabulary
    logit_probabilities: NDArray[np.float32]  # (logit,) 1 for a difference
    # (logit,) what influence begins from: the probability; its share among tokens that were asked for
    logit_weights: NDArray[np.float32]
    # (node target, node source), in the unit of the target's pre-activation
    adjacency_matrix: NDArray[np.float32]
    node_preactivation: NDArray[np.float32]  # (node,) of features and logits; 0 elsewhere
    node_bias: NDArray[np.float32]  # (node,) the share of what has no node
    node_omitted: NDArray[np.float32]  # (node,) the share of active features that are not nodes
    node_influence: NDArray[np.float32]  # (node,)
    node_cumulative: NDArray[np.float32]  # (node,) share of influence held by a node and those above it
    prune_node_mask: NDArray[np.bool_]  # (node,)
    prune_edge_mask: NDArray[np.bool_]  # (node target, node source)
    replacement_score: float
    completeness_score: float
    method: str  # one of `GRAPH_METHODS`
    margin: Margin | None  # contributions to a logit difference, when asked for


def attribute(
    model: LanguageModel,
    transcoders: Transcoders,
    tokens: Sequence[int],
    *,
    features: ActiveFeatures | None = None,
    targets: Sequence[int] | None = None,
    difference: tuple[int, int] | None = None,
    max_logits: int = 10,
    logit_prob: float = 0.95,
    max_feature_nodes: int | None = None,
    stage: int = 2_048,
    memory: int = 4 * 10**9,
    node_threshold: float = 0.8,
    edge_threshold: float = 0.98,
    margin: tuple[int, int] | None = None,
    method: str = "direct",
    gradient_threshold: float = 0.01,
    gradient_top_k: int = 10,
) -> Graph:
    """Attribute the prediction after the last of ``tokens`` (position,); the first is the prepended token.

    ``features`` spares the encoders when activations are known already. The graph explains the logits of
    ``targets`` (logit,) token ids, or one ``difference`` of logits (correct, incorrect). By default it
    explains the most probable tokens, until they hold ``logit_prob`` or number ``max_logits``.

    ``max_feature_nodes`` keeps only that many features as nodes, the most influential ones. They are chosen
    ``stage`` at a time, by influence over the rows known by then. ``memory`` (bytes) bounds the dense
    matrices: a graph that needs more is refused, and no number depends on it. With ``margin`` (correct,
    incorrect), every node's contribution to that logit difference is computed too, whatever the targets are.

    With ``method`` "gradient" the same nodes have the edges, and the graph the pruning, of `gradient_graph`.
    Rows then do not sum to pre-activations, and bias and omitted are 0. ``gradient_threshold`` and
    ``gradient_top_k`` take the place of ``node_threshold`` and ``edge_threshold``.

    Raises UsageError for arguments out of range, ModelError when the transcoders do not fit the model,
    LimitError for matrices beyond ``memory``, and NonFiniteError for a NaN or an infinity on the way.
    """
    if len(tokens) < 2:
        raise UsageError(
            "tokens", expected="a prepended special token and at least one more", got=f"{len(tokens)} tokens"
        )
    check_targets(model, targets, difference, margin)
    _check_counts(
        max_logits=max_logits,
        max_feature_nodes=max_feature_nodes,
        stage=stage,
        memory=memory,
        gradient_top_k=gradient_top_k,
    )
    _check_method(method, logit_prob, gradient_threshold)
    transcoders.check_fits(model.n_layers, model.d_model)
    with torch.no_grad():
        run = capture(model, tokens, patterns=True, last_only=True)
        active = (
            find_features(transcoders, run)
            if features is None
            else checked_features(features, transcoders, run)
        )
        chosen = choose_targets(model, run, targets, difference, max_logits, logit_prob)
        edges = Edges(model, transcoders, run, active, chosen.directions, memory)
        selected, adjacency = edges.compute(chosen.weights, max_feature_nodes, stage)
        bias, omitted, preactivation = edges.shares(selected, chosen.values(run))
        _check_finite(adjacency, bias=bias, omitted=omitted, preactivation=preactivation)
    kinds = (len(selected), model.n_layers * len(tokens), len(tokens), len(chosen.ids))
    levels, node_weights = edges.levels(selected), pruning.padded(chosen.weights, sum(kinds))
    contributions = None if margin is None else _margin(model, edges, selected, adjacency, levels, margin)
    if method == "gradient":
        made, node_influence, kept = graph_edges(
            model,
            edges,
            selected,
            chosen.directions,
            chosen.weights,
            threshold=gradient_threshold,
            top_k=gradient_top_k,
        )
        adjacency = torch.from_numpy(made)
        _check_finite(adjacency)
        bias, omitted = np.zeros_like(bias), np.zeros_like(omitted)
    else:
        node_influence = pruning.influence(adjacency, node_weights, levels)
        kept = pruning.prune(
            adjacency,
            node_weights,
            levels,
            kinds,
            node_threshold=node_threshold,
            edge_threshold=edge_threshold,
        )
    replacement, completeness = pruning.scores(adjacency, node_weights, node_influence, kinds)
    return Graph(
        input_tokens=run.tokens.cpu().numpy(),
        active_features=np.stack([active.layer, active.position, active.feature], axis=1).astype(np.int64),
        activation_values=active.value.astype(np.float32),
        selected_features=selected,
        logit_token_ids=chosen.ids,
        logit_against_ids=chosen.against,
        logit_probabilities=chosen.probabilities,
        logit_weights=chosen.weights,
        adjacency_matrix=adjacency.cpu().numpy(),
        node_preactivation=preactivation,
        node_bias=bias,
        node_omitted=omitted,
        node_influence=node_influence.astype(np.float32),
        node_cumulative=pruning.cumulative(node_influence).astype(np.float32),
        prune_node_mask=kept.node_mask,
        prune_edge_mask=kept.edge_mask,
        replacement_score=replacement,
        completeness_score=completeness,
        method=method,
        margin=contributions,
    )


def _margin(
    model: LanguageModel,
    edges: Edges,
    selected: NDArray[np.int64],
    adjacency: Tensor,
    levels: NDArray[np.int64],
    margin: tuple[int, int],
) -> Margin:
    """Contributions of all nodes to the difference of two logits, from the adjacency of method "direct"."""
    read = direction(model, margin)[None]
    direct = edges.effects_on(read, selected)[0]
    gradients = logit_gradients(model, edges.run.tokens.tolist(), read)
    contributions = Margin(
        direct=direct,
        total=total_effects(adjacency, direct, edges.active.value[selected], levels).astype(np.float32),
        gradient=attributions(edges, selected, gradients)[0],
    )
    for name, values in vars(contributions).items():
        require_finite(f"{name} contributions to the margin", torch.from_numpy(values), ("node",))
    return contributions


def _check_finite(adjacency: Tensor, **by_node: NDArray[np.float32]) -> None:
    """Raise NonFiniteError for an edge, or a number of a node, that is not finite."""
    require_finite("edges", adjacency, ("target node", "source node"))
    for name, values in by_node.items():
        require_finite(name, torch.from_numpy(values), ("node",))


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UsageError(name, expected="at least 1", got=count)


def _check_method(method: str, logit_prob: float, threshold: float) -> None:
    if method not in GRAPH_METHODS:
        raise UsageError("attribution method", expected=" or ".join(GRAPH_METHODS), got=method)
    if not 0 < logit_prob <= 1:
        raise UsageError("logit_prob", expected="a share above 0, at most 1", got=logit_prob)
    if not 0 <= threshold <= 1:
        raise UsageError("gradient_threshold", expected="a share from 0 to 1", got=threshold)
