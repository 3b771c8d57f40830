"""Attribution graphs: which features, errors and tokens a model's next-token prediction is made of.

Nodes, in this order: active transcoder *features*; one *error* for every (layer, position), layer-major: true
MLP output − reconstruction; one *embedding* a position; *logits*. In the frozen network (`replacement`) all
of them are linear:

    edge s → t = what s writes, carried through the frozen network, · what t reads
        writes   feature: activation · W_dec row      error, embedding: the vector itself
        reads    feature: W_enc row                   logit: unembedding row − mean of all rows (or − another row)

Matrices are written with **rows as targets, columns as sources**. For every feature and logit row

    sum of the row + node_bias + node_omitted = node_preactivation

where bias is what has no node (b_enc; b_dec, attention biases and the MLP output kept at position 0, carried
along the same paths) and omitted is what features that were not selected as nodes send.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), sections "Attribution" and "Pruning"; the
choice of features in stages follows circuit-tracer, with which the graphs agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitstore.circuits import pruning
from circuitstore.circuits.edges import ActiveFeatures, Edges, padded
from circuitstore.circuits.gradient_graph import attributions, graph_edges
from circuitstore.circuits.gradients import logit_gradients
from circuitstore.circuits.margin import Margin, total_effects
from circuitstore.circuits.methods import GRAPH_METHODS
from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture, capture
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders


@dataclass(frozen=True)
class Graph:
    """An attribution graph; ``node`` counts features, errors, embeddings, logits, in this order. Rows are
    targets.
    """

    input_tokens: np.ndarray  # (position,) int64
    active_features: np.ndarray  # (active, 3) int64: layer, position, feature; sorted; none at position 0
    activation_values: np.ndarray  # (active,) float32
    selected_features: (
        np.ndarray
    )  # (n_features,) int64: the rows of active_features that are nodes, ascending
    logit_token_ids: np.ndarray  # (logit,) int64
    logit_against_ids: np.ndarray  # (logit,) int64: the token subtracted; -1 is the mean of the vocabulary
    logit_probabilities: (
        np.ndarray
    )  # (logit,) float32; the weight of each logit node: its probability, 1 for a difference
    adjacency_matrix: (
        np.ndarray
    )  # (node target, node source) float32, in the unit of the target's pre-activation
    node_preactivation: np.ndarray  # (node,) float32: features and logits; 0 elsewhere
    node_bias: np.ndarray  # (node,) float32: the share of no node
    node_omitted: np.ndarray  # (node,) float32: the share of active features that are not nodes
    node_influence: np.ndarray  # (node,) float32
    node_cumulative: np.ndarray  # (node,) float32: share of influence held by a node and those above it
    prune_node_mask: np.ndarray  # (node,) bool
    prune_edge_mask: np.ndarray  # (node target, node source) bool
    replacement_score: float
    completeness_score: float
    method: str  # "direct" or "gradient"
    margin: Margin | None  # contributions to a logit difference; when asked for


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
    """Attribute the prediction after the last of ``tokens`` (position,), the first of which is the prepended
    special token.

    ``features`` spares the encoders when activations are known already. Explained are the logits of
    ``targets`` (logit,) token ids, or one ``difference`` of logits (correct, incorrect), or by default the
    most probable tokens, until they hold ``logit_prob`` or number ``max_logits``. ``max_feature_nodes`` keeps
    only that many features, the most influential ones, as nodes; they are chosen ``stage`` at a time, by
    influence over the rows known by then. ``memory`` (bytes) bounds the dense matrices, and twice the rows in
    flight. ``margin`` is (correct, incorrect): every node's contribution to that logit difference is computed
    as well, whatever the targets.

    ``method`` "gradient" gives the same nodes the edges, and the graph the pruning, of `gradient`: rows then
    do not sum to pre-activations, bias and omitted are 0, and ``gradient_threshold``, ``gradient_top_k`` take
    the place of the thresholds.

    Raises UsageError for arguments out of range, ModelError when the transcoders do not fit the model,
    LimitError for matrices beyond ``memory``.
    """
    _check(model, tokens, targets, difference, margin)
    _check_numbers(
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
        found = find_features(transcoders, run) if features is None else _checked(features, transcoders, run)
        ids, against, weights, directions = _logits(model, run, targets, difference, max_logits, logit_prob)
        edges = Edges(model, transcoders, run, found, directions, memory)
        selected, adjacency = edges.compute(weights, max_feature_nodes, stage)
        bias, omitted, preactivation = edges.shares(selected, _target_logits(run, ids, against))
    kinds = (len(selected), model.n_layers * len(tokens), len(tokens), len(ids))
    levels, node_weights = edges.levels(selected), padded(weights, sum(kinds))
    contributions = None if margin is None else _margin(model, edges, selected, adjacency, levels, margin)
    if method == "gradient":
        adjacency, node_influence, *masks = graph_edges(
            model, edges, selected, directions, weights, threshold=gradient_threshold, top_k=gradient_top_k
        )
        kept = pruning.Pruned(*masks)
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
        active_features=np.stack([found.layer, found.position, found.feature], axis=1).astype(np.int64),
        activation_values=found.value.astype(np.float32),
        selected_features=selected,
        logit_token_ids=ids,
        logit_against_ids=against,
        logit_probabilities=weights,
        adjacency_matrix=adjacency,
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


def find_features(transcoders: Transcoders, run: Capture) -> ActiveFeatures:
    """Encode every layer of a captured prompt; position 0 holds the prepended token and has no features."""
    columns: list[tuple[np.ndarray, ...]] = []
    for index in range(transcoders.n_layers):
        rows = transcoders.layer(index).active([run.mlp_input[index]])[0]
        kept = slice(int(rows.pointer[1]), None)
        columns.append(
            (
                np.full(len(rows.feature[kept]), index),
                rows.position[kept],
                rows.feature[kept],
                rows.value[kept],
            )
        )
    layer, position, feature, value = (np.concatenate(column) for column in zip(*columns, strict=True))
    return ActiveFeatures(
        layer, position, feature, value, np.ones((transcoders.n_layers, len(run.tokens)), dtype=bool)
    )


def _margin(
    model: LanguageModel,
    edges: Edges,
    selected: np.ndarray,
    adjacency: np.ndarray,
    levels: np.ndarray,
    margin: tuple[int, int],
) -> Margin:
    """Contributions of all nodes to the logit difference of two tokens; ``adjacency`` that of the direct
    method.
    """
    direction = _difference(model, margin)[None]
    direct = edges.effects_on(direction, selected)[0]
    gradients = logit_gradients(model, edges.run.tokens.tolist(), direction)
    return Margin(
        direct=direct,
        total=total_effects(adjacency, direct, edges.found.value[selected], levels).astype(np.float32),
        gradient=attributions(edges, selected, gradients)[0],
    )


def _difference(model: LanguageModel, tokens: tuple[int, int]) -> Tensor:
    return model.parts.unembedding[tokens[0]].float() - model.parts.unembedding[tokens[1]].float()


def _logits(
    model: LanguageModel,
    run: Capture,
    targets: Sequence[int] | None,
    difference: tuple[int, int] | None,
    max_logits: int,
    logit_prob: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Tensor]:
    """The logit nodes: token ids, ids subtracted (-1: the mean), weights (all (logit,)), directions (logit,
    d_model).
    """
    unembedding = model.parts.unembedding
    if difference is not None:
        correct, incorrect = difference
        return (
            np.array([correct]),
            np.array([incorrect]),
            np.ones(1, dtype=np.float32),
            _difference(model, difference)[None],
        )
    probabilities = torch.softmax(run.logits[-1], dim=0)
    if targets is not None:
        ids = torch.as_tensor(list(targets), device=probabilities.device)
    else:
        top, ids = torch.topk(probabilities, min(max_logits, model.vocab_size))
        ids = ids[: int(torch.searchsorted(top.cumsum(0), logit_prob)) + 1]
    directions = unembedding[ids].float() - model.parts.mean_unembedding
    return ids.cpu().numpy(), np.full(len(ids), -1), probabilities[ids].cpu().numpy(), directions


def _target_logits(run: Capture, ids: np.ndarray, against: np.ndarray) -> np.ndarray:
    """The logit of each target less what is subtracted from it: (logit,) float32, from the model's own
    logits.
    """
    last = run.logits[-1].cpu().numpy()
    return last[ids] - np.where(against < 0, last.mean(dtype=np.float64), last[against])


def _checked(features: ActiveFeatures, transcoders: Transcoders, run: Capture) -> ActiveFeatures:
    """Given features in order, without position 0 and zeros; raises UsageError when they do not fit the
    prompt.
    """
    shape = (transcoders.n_layers, len(run.tokens))
    if features.covered.shape != shape:
        raise UsageError(
            "features.covered", expected=f"(layer, position) {shape}", got=features.covered.shape
        )
    kept = (features.position > 0) & (features.value != 0)
    layer, position, feature = (
        np.asarray(c)[kept].astype(np.int64) for c in (features.layer, features.position, features.feature)
    )
    order = np.lexsort((feature, position, layer))
    layer, position, feature = layer[order], position[order], feature[order]
    if len(layer) and (layer.min() < 0 or layer.max() >= shape[0] or position.max() >= shape[1]):
        raise UsageError(
            "features",
            expected=f"layers and positions below {shape}",
            got=(int(layer.max()), int(position.max())),
        )
    if not features.covered[layer, position].all():
        raise UsageError("features", expected="only features where covered is true", got="features elsewhere")
    if (np.diff(np.stack([layer, position, feature])) == 0).all(axis=0).any():
        raise UsageError("features", expected="every feature once a position", got="duplicates")
    value = np.asarray(features.value)[kept][order].astype(np.float32)
    return ActiveFeatures(layer, position, feature, value, features.covered)


def _check(
    model: LanguageModel,
    tokens: Sequence[int],
    targets: Sequence[int] | None,
    difference: tuple[int, int] | None,
    margin: tuple[int, int] | None,
) -> None:
    def known(ids: Sequence[int]) -> bool:
        return len(set(ids)) == len(ids) and all(0 <= i < model.vocab_size for i in ids)

    if len(tokens) < 2:
        raise UsageError(
            "tokens", expected="a prepended special token and at least one more", got=f"{len(tokens)} tokens"
        )
    if targets is not None and difference is not None:
        raise UsageError("targets and difference", expected="one of them", got="both")
    if targets is not None and not (len(targets) and known(targets)):
        raise UsageError(
            "targets", expected=f"different token ids below {model.vocab_size}, at least one", got=targets
        )
    for name, pair in (("difference", difference), ("margin", margin)):
        if pair is not None and not (len(pair) == 2 and known(pair)):
            raise UsageError(name, expected=f"two different token ids below {model.vocab_size}", got=pair)


def _check_numbers(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise UsageError(name, expected="at least 1", got=number)


def _check_method(method: str, logit_prob: float, threshold: float) -> None:
    if method not in GRAPH_METHODS:
        raise UsageError("attribution method", expected=" or ".join(GRAPH_METHODS), got=method)
    if not 0 < logit_prob <= 1:
        raise UsageError("logit_prob", expected="a share above 0, at most 1", got=logit_prob)
    if not 0 <= threshold <= 1:
        raise UsageError("gradient_threshold", expected="a share from 0 to 1", got=threshold)
