"""The simplified attribution graph, by gradients of the real model, beside the exact one of `graph`.

    attribution of s to t = activation_s · W_dec[s] · ∂t / ∂(MLP output of s's layer, at s's position)

Nothing is frozen: attention patterns, norms and later MLPs react. An edge therefore holds all paths from s to
t, not the direct one alone, and a row does not sum to its pre-activation. The gradient is that at the prompt,
to first order, or integrated along a path (`gradients`). Then the edges that leave one layer sum to the
change of t when all nodes of this layer are taken away.

The pruning is simple too. Nodes are kept whose attribution reaches a share of the largest one, and of the
edges into each node the k largest.

Sources: *Attribution Patching Outperforms Automated Circuit Discovery* (Syed et al., 2023), §2; *Sparse
Feature Circuits* (Marks et al., 2024), §3.1; for transcoders Dunefsky et al. (2024), §4.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits.edges import Edges
from circuitstore.circuits.gradients import CHUNK, Path, feature_gradients, logit_gradients
from circuitstore.circuits.pruning import Pruned
from circuitstore.models.load import LanguageModel


def attributions(edges: Edges, features: NDArray[np.int64], gradients: Tensor) -> NDArray[np.float32]:
    """What nodes contribute to targets, by the gradients of the targets: (target, node) float32.

    ``gradients`` (target, entry, position, d_model) are those of `gradients`. The nodes are the active
    ``features`` (feature node,), errors, embeddings and logits, in the order of a graph. A logit contributes
    nothing. Rows are targets.
    """
    active, run = edges.active, edges.run
    columns = [torch.zeros(len(gradients), 0, device=gradients.device)]
    for layer in np.unique(active.layer[features]).tolist():  # ascending, as the features are
        chosen = features[active.layer[features] == layer]
        value = torch.from_numpy(active.value[chosen]).to(gradients.device)
        position = torch.from_numpy(active.position[chosen])
        column: Tensor | None = None
        for to in edges.transcoders.written_by(layer):
            written = edges.transcoders.layer(layer).decoder_rows(active.feature[chosen], to) * value[:, None]
            part = torch.einsum("tsd,sd->ts", gradients[:, to + 1, position], written)
            column = part if column is None else column + part
        if column is not None:
            columns.append(column)
    from_errors = (gradients[:, 1:] * edges.sources.errors).sum(-1)
    from_errors[:, :, 0] = 0  # position 0 has no error node
    columns.append(from_errors.flatten(1))
    columns.append((gradients[:, 0] * run.residual[0].float()).sum(-1))
    columns.append(torch.zeros(len(gradients), edges.n_logits, device=gradients.device))
    return torch.cat(columns, dim=1).cpu().numpy()


def path_of(edges: Edges, steps: int) -> Path:
    """The path on which the nodes of each layer, active features and errors, fall silent.

    Embeddings stay, so they keep their gradient at the prompt. A norm that nothing enters has no gradient
    that could be integrated.
    """
    errors, suppressed = edges.sources.errors, edges.active.suppressed
    present = np.ones(edges.n_active, dtype=bool) if suppressed is None else ~suppressed
    written = torch.cat([torch.zeros_like(errors[:1]), errors])
    for layer in range(edges.n_layers):
        of_features = edges.sources.written(layer, present)
        if of_features is not None:
            written[layer + 1] += of_features
    written[:, 0] = 0  # the one node of position 0 is its embedding
    return Path(written, steps)


def graph_edges(
    model: LanguageModel,
    edges: Edges,
    features: NDArray[np.int64],
    directions: Tensor,
    weights: NDArray[np.float32],
    *,
    threshold: float,
    top_k: int,
    path: Path | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float64], Pruned]:
    """Edges, influence and masks of the simplified graph over the ``features`` (feature node,).

    Edges (target, node source) float32, of features and logits, are those into kept features and into logits.
    Influence (node,) is a node's share of Σ |attribution| to the logits of ``directions`` (logit, d_model),
    added up with their ``weights`` (logit,). With a ``path``, gradients are integrated.

    A node is kept when its attribution is at least ``threshold`` of the largest one; logits are always kept.
    The edge mask has the ``top_k`` largest edges from kept nodes into each kept node. A kept feature or error
    that no edge leaves is dropped again.
    """
    tokens = edges.run.tokens.tolist()
    rows = attributions(edges, features, logit_gradients(model, tokens, directions, edges.run.hooks, path))
    n_nodes, n_logits = rows.shape[1], len(rows)
    size = np.abs(weights.astype(np.float64) @ rows)
    influence = size / size.sum() if size.sum() > 0 else size
    kept = size >= max(threshold * size.max(), np.finfo(np.float32).tiny)
    kept[n_nodes - n_logits :] = True
    made = np.zeros((len(features) + n_logits, n_nodes), dtype=np.float32)
    made[len(features) :] = rows
    _fill_features(model, edges, features, np.flatnonzero(kept[: len(features)]), made, path)
    edge_mask = _largest_edges(made, kept, kept[edges.target_nodes(len(features))], top_k)
    n_inner = len(features) + edges.n_layers * edges.n_positions
    _drop_idle(kept, edge_mask, len(features), n_inner)
    return made, influence, Pruned(kept, edge_mask)


def _fill_features(
    model: LanguageModel,
    edges: Edges,
    features: NDArray[np.int64],
    nodes: NDArray[np.int64],
    rows: NDArray[np.float32],
    path: Path | None,
) -> None:
    """Write the rows of these ``nodes`` (target,) among the feature nodes."""
    tokens, active = edges.run.tokens.tolist(), edges.active
    layers = active.layer[features[nodes]]
    for layer in np.unique(layers).tolist():
        same_layer = nodes[layers == layer]
        chosen = features[same_layer]
        encoders = edges.transcoders.layer(layer).encoder_rows(active.feature[chosen])
        for start in range(0, len(same_layer), CHUNK):
            part = slice(start, start + CHUNK)
            position = active.position[chosen[part]]
            gradients = feature_gradients(
                model,
                tokens,
                np.full(len(position), layer),
                position,
                encoders[part],
                edges.run.hooks,
                path,
            )
            rows[same_layer[part]] = attributions(edges, features, gradients)


def _largest_edges(
    rows: NDArray[np.float32], kept: NDArray[np.bool_], kept_rows: NDArray[np.bool_], top_k: int
) -> NDArray[np.bool_]:
    """The ``top_k`` largest edges from kept nodes into each kept target; never an edge that is 0."""
    edge_mask = np.zeros(rows.shape, dtype=bool)
    for row in np.flatnonzero(kept_rows & rows.any(axis=1)):
        strength = np.where(kept, np.abs(rows[row]), 0)
        best = np.argsort(-strength, kind="stable")[:top_k]
        edge_mask[row, best[strength[best] > 0]] = True
    return edge_mask


def _drop_idle(kept: NDArray[np.bool_], edge_mask: NDArray[np.bool_], n_features: int, n_inner: int) -> None:
    """Drop nodes that no kept edge leaves, and the edges into them, until none is left; in place.

    The first ``n_inner`` nodes are features and errors. Only these are dropped. Features are the first rows.
    """
    while True:
        idle = kept[:n_inner] & ~edge_mask[:, :n_inner].any(axis=0)
        if not idle.any():
            return
        kept[:n_inner][idle] = False
        edge_mask[:n_features][idle[:n_features]] = False
