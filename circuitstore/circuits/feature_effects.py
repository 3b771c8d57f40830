"""What an attribution graph says features do to each other: predictions of what zeroing one does to the
activation of another.

Three predictions of the share of its activation that target t loses, (a_t − a_t′) / a_t, when source s is set
to 0:

    influence   [(I − Â)⁻¹ − I]_ts: Â is |edges|, those into each node divided by their sum. Unsigned: all paths add up
    direct      edge s→t / a_t: the edge alone
    response    what the replacement model does: with changes δ of activations, δ_s = −a_s and
                δ_t = act(a_t + Σ_u δ_u · edge u→t / a_u) − a_t in order of layers; act is that of the
                transcoder

`response` knows signs, paths that cancel, and features that fall silent; no feature that was silent joins in,
and attention and norms stay. Where an intervention is constrained to a layer, features up to it are moved but
pass nothing on.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), appendix "Validating the Replacement Model":
influence there, over all features of a graph and those downstream, has a Spearman correlation of 0.72 with
the size of the measured share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class FeatureGraph:
    """The feature nodes of an attribution graph and the edges between them; rows are targets, columns
    sources.
    """

    layer: np.ndarray  # (feature_node,) int64
    position: np.ndarray  # (feature_node,) int64
    activation: np.ndarray  # (feature_node,) float64, never 0
    threshold: (
        np.ndarray
    )  # (feature_node,) float64: a pre-activation that does not exceed it is no activation
    entering: np.ndarray  # (feature_node,) float64: Σ |edge| into each, from nodes of all kinds
    edges: (
        sparse.csr_array
    )  # (feature_node target, feature_node source) float64, in the unit of the target's pre-activation

    @cached_property
    def _slope(self) -> sparse.csr_array:
        """What a unit of the source's activation does to the target's pre-activation."""
        return (self.edges @ sparse.diags_array(1 / self.activation)).tocsr()

    def downstream(self, source: int) -> np.ndarray:
        """(feature_node,) bool: at a later layer, and not at an earlier position."""
        return (self.layer > self.layer[source]) & (self.position >= self.position[source])

    def influence(self, sources: np.ndarray) -> np.ndarray:
        """Share of what enters each target, along all paths, that comes from each source: (feature_node,
        source) float64.
        """
        scale = np.divide(1, self.entering, out=np.zeros_like(self.entering), where=self.entering > 0)
        shares = (sparse.diags_array(scale) @ abs(self.edges)).tocsr()
        step = shares[:, sources].toarray()
        total = step.copy()
        while step.any():  # edges run from layer to layer, so this ends
            step = shares @ step
            total += step
        return total

    def direct(self, sources: np.ndarray) -> np.ndarray:
        """Share of each target's activation that the edge from each source makes up: (feature_node, source)
        float64.
        """
        return self.edges[:, sources].toarray() / self.activation[:, None]

    def response(self, sources: np.ndarray, constrained: np.ndarray) -> np.ndarray:
        """Share of its activation that each target loses in the replacement model: (feature_node, source)
        float64.

        ``constrained`` (source,): features of layers up to this one pass nothing on, but for the source
        itself; -1: all do.
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
