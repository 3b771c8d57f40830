"""What each node of an attribution graph contributes to the correct − incorrect logit difference (the
margin), three ways.

    direct    the edge: what the node writes, carried through the frozen network past all MLPs, read by the difference
    total     all paths through features in the frozen network: total_s = direct_s + Σ_t (total_t / activation_t) · edge s→t
    gradient  first order in the real model, nothing frozen (`gradient`)

All three predict −(change of the margin when the node is taken away), in nats. `direct` is exact when nothing
else may react, `total` when only active features may, linearly; the real model decides how good each is.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Attribution" and "Evaluating attribution
graphs".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Margin:
    """Contributions of every node (node,) float32, in nats; 0 for logits."""

    direct: np.ndarray
    total: np.ndarray
    gradient: np.ndarray

    def spearman(self, n_features: int) -> float:
        """Rank correlation of direct and gradient attribution over the feature nodes; NaN for fewer than
        three.
        """
        return spearman(self.direct[:n_features], self.gradient[:n_features])


def total_effects(
    adjacency: np.ndarray, direct: np.ndarray, activation: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """Sum over all paths from each node to the target whose direct effects are ``direct``: (node,) float64.

    ``adjacency`` (node target, node source) in the unit of the target's pre-activation; ``activation``
    (feature node,) of the features, the first nodes; ``levels`` (node,): an edge runs from a lower level to a
    higher one.
    """
    total = direct.astype(np.float64)
    n_features = len(activation)
    for level in np.unique(levels[:n_features])[::-1]:
        members = np.flatnonzero(levels[:n_features] == level)
        total += (total[members] / activation[members]) @ adjacency[members].astype(np.float64)
    return total


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of two series (n,), ties sharing their mean rank; NaN for fewer than three
    or a constant.
    """
    if len(x) < 3:
        return float("nan")
    a, b = (_ranks(values) - (len(x) + 1) / 2 for values in (x, y))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
