"""Attribution by gradients of the real model: the simplified method, beside the exact one of `attribution`.

    attribution of s to t = activation_s · W_dec[s] · ∂t / ∂(MLP output of s's layer, at s's position)

with nothing frozen: attention patterns, norms and later MLPs react, to first order. An edge therefore holds
all paths from s to t, not the direct one alone, and a row does not sum to its pre-activation. What is kept is
simple too: nodes whose attribution reaches a share of the largest, and of each of them the k largest edges
in.

Sources: *Attribution Patching Outperforms Automated Circuit Discovery* (Syed et al., 2023), §2; *Sparse
Feature Circuits* (Marks et al., 2024), §3.1; for transcoders Dunefsky et al. (2024), §4.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from circuitstore.circuits.edges import Edges
from circuitstore.circuits.gradients import CHUNK, feature_gradients, logit_gradients
from circuitstore.models.load import LanguageModel


def attributions(edges: Edges, features: np.ndarray, gradients: Tensor) -> np.ndarray:
    """What nodes contribute to targets, by their gradients (target, entry, position, d_model): (target, node)
    float32.

    Nodes are the active ``features`` (feature node,) named, errors, embeddings and logits, in the order of a
    graph; a logit contributes nothing. Rows are targets.
    """
    found, run = edges.found, edges.run
    columns = [torch.zeros(len(gradients), 0, device=gradients.device)]
    for layer in np.unique(found.layer[features]).tolist():  # ascending, as the features are
        chosen = features[found.layer[features] == layer]
        value = torch.from_numpy(found.value[chosen]).to(gradients.device)
        written = edges.transcoders.layer(layer).decoder_rows(found.feature[chosen]) * value[:, None]
        columns.append(
            torch.einsum(
                "tsd,sd->ts", gradients[:, layer + 1, torch.from_numpy(found.position[chosen])], written
            )
        )
    from_errors = (gradients[:, 1:] * edges.errors).sum(-1)
    from_errors[:, :, 0] = 0  # no error node at position 0
    columns.append(from_errors.flatten(1))
    columns.append((gradients[:, 0] * run.residual[0].float()).sum(-1))
    columns.append(torch.zeros(len(gradients), edges.n_logits, device=gradients.device))
    return torch.cat(columns, dim=1).cpu().numpy()


def graph_edges(
    model: LanguageModel,
    edges: Edges,
    features: np.ndarray,
    directions: Tensor,
    weights: np.ndarray,
    *,
    threshold: float,
    top_k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The simplified graph over the ``features`` (feature node,) chosen before: adjacency, influence, node
    mask, edge mask.

    A node is kept when its attribution to the logits, summed with their ``weights`` (logit,), is at least
    ``threshold`` of the largest; logits always, features only when an edge leaves them. Only kept features
    and logits have edges in; all of them are in the adjacency (node target, node source) float32, the
    ``top_k`` largest from kept nodes in the edge mask. Influence (node,) is a node's share of Σ
    |attribution|.
    """
    tokens, found = edges.run.tokens.tolist(), edges.found
    rows = attributions(edges, features, logit_gradients(model, tokens, directions))
    n_nodes, n_logits = rows.shape[1], len(rows)
    size = np.abs(weights.astype(np.float64) @ rows)
    influence = size / size.sum() if size.sum() > 0 else size
    kept = size >= max(threshold * size.max(), np.finfo(np.float32).tiny)
    kept[n_nodes - n_logits :] = True
    adjacency = np.zeros((n_nodes, n_nodes), dtype=np.float32)
    adjacency[n_nodes - n_logits :] = rows
    inner = np.flatnonzero(kept[: len(features)])
    for layer in np.unique(found.layer[features[inner]]).tolist():
        nodes = inner[found.layer[features[inner]] == layer]
        chosen = features[nodes]
        encoders = edges.transcoders.layer(layer).encoder_rows(found.feature[chosen])
        for start in range(0, len(nodes), CHUNK):
            part = slice(start, start + CHUNK)
            position = found.position[chosen[part]]
            gradients = feature_gradients(
                model, tokens, np.full(len(position), layer), position, encoders[part]
            )
            adjacency[nodes[part]] = attributions(edges, features, gradients)
    edge_mask = np.zeros(adjacency.shape, dtype=bool)
    for row in np.flatnonzero(kept & adjacency.any(axis=1)):
        strength = np.where(kept, np.abs(adjacency[row]), 0)
        best = np.argsort(-strength, kind="stable")[:top_k]
        edge_mask[row, best[strength[best] > 0]] = True
    while True:  # a feature that nothing kept reads goes, and its edges with it
        idle = kept[: len(features)] & ~edge_mask[:, : len(features)].any(axis=0)
        if not idle.any():
            return adjacency, influence, kept, edge_mask
        kept[: len(features)][idle] = False
        edge_mask[: len(features)][idle] = False
