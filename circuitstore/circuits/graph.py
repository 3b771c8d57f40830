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

Features that are suppressed beside a minimal pair (`active`) can be nodes too, which the paper's graphs lack.
Edges into one are as those into any feature: they sum to its pre-activation here, and so say what silences
it. An edge that leaves one is what its silence contributes: minus what it would send with the activation that
it has in the partner. The bias has what it would send, so the sum above holds.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), sections "Attribution" and "Pruning";
"Limitations" says what inactive features are missing for. The choice of features in stages follows
circuit-tracer, with which the graphs agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits import pruning
from circuitstore.circuits.active import ActiveFeatures, checked_features, find_features, with_suppressed
from circuitstore.circuits.edges import Edges
from circuitstore.circuits.gradient_graph import attributions, graph_edges, path_of
from circuitstore.circuits.gradients import Path, logit_gradients
from circuitstore.circuits.margin import Margin, total_effects
from circuitstore.circuits.methods import GRAPH_METHODS
from circuitstore.circuits.targets import Aim, aimed, check_targets, choose_targets, direction
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
    activation_values: NDArray[np.float32]  # (active,); of a suppressed feature minus that of the partner
    suppressed: NDArray[np.bool_]  # (active,) features that are active in the partner alone
    # (feature node,) ascending: the rows of active_features that are nodes
    selected_features: NDArray[np.int64]
    logit_token_ids: NDArray[np.int64]  # (logit,); -1 for what is no token (`targets`)
    logit_against_ids: NDArray[np.int64]  # (logit,) the token subtracted; -1 is the mean of the vocabulary
    logit_probabilities: NDArray[np.float32]  # (logit,) 1 for a difference
    # (logit,) what influence begins from: the probability; its share among tokens that were asked for
    logit_weights: NDArray[np.float32]
    target_feature: tuple[int, int, int] | None  # layer, position, feature: the one node in place of logits
    target_nodes: NDArray[np.int64]  # (target,) features and logits: the nodes that edges enter
    edge_rows: NDArray[np.float32]  # (target, node source), in the unit of the target's pre-activation
    node_preactivation: NDArray[np.float32]  # (node,) of features and logits; 0 elsewhere
    node_bias: NDArray[np.float32]  # (node,) the share of what has no node
    node_omitted: NDArray[np.float32]  # (node,) the share of active features that are not nodes
    node_influence: NDArray[np.float32]  # (node,)
    node_cumulative: NDArray[np.float32]  # (node,) share of influence held by a node and those above it
    prune_node_mask: NDArray[np.bool_]  # (node,)
    prune_edge_rows: NDArray[np.bool_]  # (target, node source)
    replacement_score: float
    completeness_score: float
    method: str  # one of `GRAPH_METHODS`
    margin: Margin | None  # contributions to a logit difference, when asked for

    @property
    def adjacency_matrix(self) -> NDArray[np.float32]:
        """All edges (node target, node source) float32; no edge enters errors and embeddings."""
        return self._square(self.edge_rows)

    @property
    def prune_edge_mask(self) -> NDArray[np.bool_]:
        """The edges that pruning keeps (node target, node source)."""
        return self._square(self.prune_edge_rows)

    def _square(self, rows: NDArray[Any]) -> NDArray[Any]:
        square = np.zeros((rows.shape[1], rows.shape[1]), dtype=rows.dtype)
        square[self.target_nodes] = rows
        return square


def attribute(
    model: LanguageModel,
    transcoders: Transcoders,
    tokens: Sequence[int],
    *,
    features: ActiveFeatures | None = None,
    partner: ActiveFeatures | None = None,
    targets: Sequence[int] | None = None,
    difference: tuple[int, int] | None = None,
    aim: Aim | None = None,
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
    integrated_steps: int = 8,
) -> Graph:
    """Attribute the prediction after the last of ``tokens`` (position,); the first is the prepended token.

    ``features`` spares the encoders when activations are known already. Of the features of the minimal
    ``partner``, of equally many tokens, those that are silent here become nodes too.

    The graph explains the logits of ``targets`` (logit,) token ids, or one ``difference`` of logits (correct,
    incorrect), or the one number that ``aim`` says, such as a feature. By default it explains the most
    probable tokens, until they hold ``logit_prob`` or number ``max_logits``.

    ``max_feature_nodes`` keeps only that many features as nodes, the most influential ones. They are chosen
    ``stage`` at a time, by influence over the rows known by then. ``memory`` (bytes) bounds the matrix of
    edges: a graph that needs more is refused, and no number depends on it. With ``margin`` (correct,
    incorrect), every node's contribution to that logit difference is computed too, whatever the targets are.

    With ``method`` "gradient" the same nodes have the edges, and the graph the pruning, of `gradient_graph`.
    Rows then do not sum to pre-activations, and bias and omitted are 0. ``gradient_threshold`` and
    ``gradient_top_k`` take the place of ``node_threshold`` and ``edge_threshold``. With "integrated",
    gradients are integrated in ``integrated_steps``, as they always are for the margin.

    Raises UsageError for arguments out of range, ModelError when the transcoders do not fit the model,
    LimitError for matrices beyond ``memory``, and NonFiniteError for a NaN or an infinity on the way.
    """
    if len(tokens) < 2:
        raise UsageError(
            "tokens", expected="a prepended special token and at least one more", got=f"{len(tokens)} tokens"
        )
    check_targets(model, targets, difference, margin)
    if aim is not None and (targets is not None or difference is not None):
        raise UsageError("target", expected="tokens, or a feature or a direction", got="both")
    if aim is not None and aim.feature is not None and method != "direct":
        remedy = 'gradients are taken of logits and directions: take method "direct"'
        raise UsageError("attribution method", expected="direct, for a feature", got=method, remedy=remedy)
    _check_counts(
        max_logits=max_logits,
        max_feature_nodes=max_feature_nodes,
        stage=stage,
        memory=memory,
        gradient_top_k=gradient_top_k,
        integrated_steps=integrated_steps,
    )
    _check_method(method, logit_prob, gradient_threshold)
    transcoders.check_fits(model.n_layers, model.d_model)
    with torch.no_grad():
        run = capture(model, tokens, patterns=True, last_only=True, hooks=transcoders.hooks)
        active = (
            find_features(transcoders, run)
            if features is None
            else checked_features(features, transcoders, run)
        )
        if partner is not None:
            active = with_suppressed(active, checked_features(partner, transcoders, run))
        if aim is None:
            chosen = choose_targets(model, run, targets, difference, max_logits, logit_prob)
        else:
            chosen = aimed(model, transcoders, run, aim)
        edges = Edges(model, transcoders, run, active, chosen, memory)
        selected, rows = edges.compute(chosen.weights, max_feature_nodes, stage)
        bias, omitted, preactivation = edges.shares(selected, chosen.values(run))
        _check_finite(rows, bias=bias, omitted=omitted, preactivation=preactivation)
    kinds = (len(selected), model.n_layers * len(tokens), len(tokens), len(chosen.ids))
    levels, node_weights = edges.levels(selected), pruning.padded(chosen.weights, sum(kinds))
    targets_of = edges.target_nodes(len(selected))
    path = path_of(edges, integrated_steps)
    contributions = None if margin is None else _margin(model, edges, selected, rows, levels, margin, path)
    if method != "direct":
        made, node_influence, kept = graph_edges(
            model,
            edges,
            selected,
            chosen.directions,
            chosen.weights,
            threshold=gradient_threshold,
            top_k=gradient_top_k,
            path=path if method == "integrated" else None,
        )
        rows = torch.from_numpy(made)
        _check_finite(rows)
        bias, omitted = np.zeros_like(bias), np.zeros_like(omitted)
    else:
        node_influence = pruning.influence(rows, node_weights, levels, targets_of)
        kept = pruning.prune(
            rows,
            node_weights,
            levels,
            kinds,
            rows=targets_of,
            node_threshold=node_threshold,
            edge_threshold=edge_threshold,
        )
    replacement, completeness = pruning.scores(rows, node_weights, node_influence, kinds, targets_of)
    return Graph(
        input_tokens=run.tokens.cpu().numpy(),
        active_features=np.stack([active.layer, active.position, active.feature], axis=1).astype(np.int64),
        activation_values=active.value.astype(np.float32),
        suppressed=_suppressed(active),
        selected_features=selected,
        logit_token_ids=chosen.ids,
        logit_against_ids=chosen.against,
        logit_probabilities=chosen.probabilities,
        logit_weights=chosen.weights,
        target_feature=chosen.feature,
        target_nodes=targets_of,
        edge_rows=rows.cpu().numpy(),
        node_preactivation=preactivation,
        node_bias=bias,
        node_omitted=omitted,
        node_influence=node_influence.astype(np.float32),
        node_cumulative=pruning.cumulative(node_influence).astype(np.float32),
        prune_node_mask=kept.node_mask,
        prune_edge_rows=kept.edge_mask,
        replacement_score=replacement,
        completeness_score=completeness,
        method=method,
        margin=contributions,
    )


def _margin(
    model: LanguageModel,
    edges: Edges,
    selected: NDArray[np.int64],
    rows: Tensor,
    levels: NDArray[np.int64],
    margin: tuple[int, int],
    path: Path,
) -> Margin:
    """Contributions of all nodes to the difference of two logits, from the edges of method "direct"."""
    read = direction(model, margin)[None]
    direct = edges.effects_on(read, selected)[0]
    tokens, hooks = edges.run.tokens.tolist(), edges.run.hooks
    # A silent feature passes nothing on: it does not react.
    value = np.where(_suppressed(edges.active), np.inf, edges.active.value)[selected]
    contributions = Margin(
        direct=direct,
        total=total_effects(rows, direct, value, levels).astype(np.float32),
        gradient=attributions(edges, selected, logit_gradients(model, tokens, read, hooks))[0],
        integrated=attributions(edges, selected, logit_gradients(model, tokens, read, hooks, path))[0],
    )
    for name, values in vars(contributions).items():
        require_finite(f"{name} contributions to the margin", torch.from_numpy(values), ("node",))
    return contributions


def _suppressed(active: ActiveFeatures) -> NDArray[np.bool_]:
    return np.zeros(len(active.value), dtype=bool) if active.suppressed is None else active.suppressed


def _check_finite(rows: Tensor, **by_node: NDArray[np.float32]) -> None:
    """Raise NonFiniteError for an edge, or a number of a node, that is not finite."""
    require_finite("edges", rows, ("target", "source node"))
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
