"""What an attribution graph predicts of features: how zeroing one changes the activation of another.

When source s is set to 0, target t loses the share (a_t − a_t′) / a_t of its activation a_t. There are three
predictions of this share:

    influence   [(I − Â)⁻¹ − I]_ts. Â is |edges| with the edges into each node divided by their sum. It has no
                sign: all paths add up.
    direct      edge s→t / a_t: the edge alone.
    response    what the replacement model does. The changes δ of activations are δ_s = −a_s and, in order of
                layers, δ_t = act(a_t + Σ_u δ_u · edge u→t / a_u) − a_t, where act is the activation function
                of the transcoder.

`response` includes signs, paths that cancel, and features that fall silent. It leaves out features that were
silent and would become active, and changes of attention patterns and norms. Where an intervention is
constrained to a layer, features up to that layer change but pass nothing on.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), appendix "Validating the Replacement Model".
There, influence has a Spearman correlation of 0.72 with the size of the measured share, over all features of
a graph and the features downstream of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class FeatureGraph:
    """The feature nodes of an attribution graph and the edges between them."""

    layer: NDArray[np.int64]  # (feature_node,)
    position: NDArray[np.int64]  # (feature_node,)
    activation: NDArray[np.float64]  # (feature_node,), never 0
    threshold: NDArray[np.float64]  # (feature_node,): what a pre-activation must exceed to be an activation
    entering: NDArray[np.float64]  # (feature_node,): Σ |edge| into each, from nodes of all kinds
    # (feature_node target, feature_node source) float64, in the unit of the target's pre-activation
    edges: sparse.csr_array

    @cached_property
    def _slope(self) -> sparse.csr_array:
        """What a unit of the source's activation does to the target's pre-activation."""
        return (self.edges @ sparse.diags_array(1 / self.activation)).tocsr()

    def downstream(self, source: int) -> NDArray[np.bool_]:
        """(feature_node,) bool: at a later layer, and not at an earlier position."""
        downstream: NDArray[np.bool_]
        downstream = (self.layer > self.layer[source]) & (self.position >= self.position[source])
        return downstream

    def influence(self, sources: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of what enters each target that comes from each source along all paths.

        ``sources`` (source,) are feature nodes. Returns (feature_node, source) float64.
        """
        scale = np.divide(1, self.entering, out=np.zeros_like(self.entering), where=self.entering > 0)
        shares = (sparse.diags_array(scale) @ abs(self.edges)).tocsr()
        step: NDArray[np.float64] = shares[:, sources].toarray()
        total = step.copy()
        while step.any():  # edges run from layer to layer, so this ends
            step = shares @ step
            total += step
        return total

    def direct(self, sources: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of each target's activation that the edge from each source makes up.

        ``sources`` (source,) are feature nodes. Returns (feature_node, source) float64.
        """
        direct: NDArray[np.float64] = self.edges[:, sources].toarray() / self.activation[:, None]
        return direct

    def response(self, sources: NDArray[np.int64], constrained: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of its activation that each target loses in the replacement model.

        ``sources`` (source,) are feature nodes. ``constrained`` (source,) is the layer up to which features
        pass nothing on, except the source itself; with -1 all features pass their change on. Returns
        (feature_node, source) float64.
        """
        columns = np.arange(len(sources))
        passed = np.zeros((len(self.activation), len(sources)))
        passed[sources, columns] = -self.activation[sources]
        lost = np.zeros_like(passed)
        for layer in np.unique(self.layer):
            here = np.flatnonzero(self.layer == layer)
            value = self.activation[here, None] + self._slope[here] @ passed
            change = np.where(value > self.threshold[here, None], value, 0) - self.activation[here, None]
            change[passed[here] != 0] = 0  # the sources themselves
            lost[here] = -change / self.activation[here, None]
            passed[here] += np.where(layer > constrained, change, 0)
        return lost
