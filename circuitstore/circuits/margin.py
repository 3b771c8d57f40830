"""What each node of an attribution graph contributes to the margin, the logit difference correct − incorrect.

It is computed in four ways (`methods`):

    direct    the edge: what the node writes is carried through the frozen network, past all MLPs, and read
              by the difference
    total     the sum over all paths through features in the frozen network:
              total_s = direct_s + Σ_t (total_t / activation_t) · edge s→t
    gradient  first order in the real model, where nothing is frozen (`gradients`)
    integrated    the same gradient, integrated while all nodes of the same layer fall silent together

Each predicts −(change of the margin when the node is taken away), in nats. `direct` is exact when nothing
else may react. `total` is exact when active features may react too, and only linearly. The sum of
`integrated` over the nodes of a layer is exact: it is what taking all of them away does. Interventions on the
real model show how good each prediction is.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Attribution" and "Evaluating attribution
graphs".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Margin:
    """Contributions of every node (node,) float32, in nats; 0 for logits."""

    direct: NDArray[np.float32]
    total: NDArray[np.float32]
    gradient: NDArray[np.float32]
    integrated: NDArray[np.float32]


def total_effects(
    rows: Tensor,
    direct: NDArray[np.float32],
    activation: NDArray[np.float32],
    levels: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The effect of each node on a target along all paths: (node,) float64, in the unit of ``direct``.

    ``direct`` (node,) is the effect along the edge to the target. ``rows`` (target, node source), features
    first, on any device, are the edges in the unit of each target's pre-activation. ``activation`` (feature
    node,) belongs to the features, which are the first nodes. ``levels`` (node,) orders the nodes: an edge
    runs from a lower level to a higher one.
    """
    total, value = (torch.from_numpy(x.astype(np.float64)).to(rows.device) for x in (direct, activation))
    n_features = len(activation)
    for level in np.unique(levels[:n_features])[::-1]:
        members = torch.from_numpy(np.flatnonzero(levels[:n_features] == level)).to(rows.device)
        total += (total[members] / value[members]) @ rows[members].double()
    return np.asarray(total.cpu().numpy())
