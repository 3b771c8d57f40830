"""The edges of one prompt's attribution graph: which features are nodes, the matrix, and what it leaves out.

`graph` has the definitions and `effects` the arithmetic. This module names the ends of the edges and puts the
numbers in their places.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits.active import ActiveFeatures
from circuitstore.circuits.batching import batching
from circuitstore.circuits.choosing import Choice
from circuitstore.circuits.effects import effects
from circuitstore.circuits.ends import Ends
from circuitstore.circuits.frozen_network import FrozenNetwork
from circuitstore.circuits.sources import Sources
from circuitstore.circuits.targets import Targets
from circuitstore.errors import LimitError
from circuitstore.models.capture import Capture
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.kept_rows import KeptRows
from circuitstore.transcoders.per_layer import Transcoders

Numbers = NDArray[np.int64]
Values = NDArray[np.float32]


class Edges:
    """The frozen network of one prompt: what its sources write, and what its targets read.

    A *target* below is an active feature, by its number, or a logit, numbered after all active features.
    """

    def __init__(
        self,
        model: LanguageModel,
        transcoders: Transcoders,
        run: Capture,
        active: ActiveFeatures,
        chosen: Targets,
        memory: int,
    ):
        """``chosen`` are the logits, or the one node that stands in their place.

        ``memory`` is how many bytes the matrix of edges may take; it decides no number. Beside it, rows in
        flight take at most `Batching.flight_bytes`, and the rows that nodes are chosen by at most
        `Batching.chosen_bytes`.
        """
        self.transcoders, self.run, self.active = transcoders, run, active
        self.device, self.memory = model.device, memory
        self.n_layers, self.n_positions = model.n_layers, len(run.tokens)
        covered = torch.from_numpy(active.covered).to(self.device)
        self.network = FrozenNetwork(model, run, transcoders, covered)
        kept = batching(self.device.type).kept_bytes
        self.encoders = KeptRows(transcoders, "W_enc", kept)
        self.sources = Sources(self.network, transcoders, active, KeptRows(transcoders, "W_dec", kept))
        self.chosen, self.n_active, self.n_logits = chosen, len(active.layer), len(chosen.directions)
        self.n_inputs = (self.n_layers + 1) * self.n_positions  # errors and embeddings
        level, position = (chosen.feature or (self.n_layers, self.n_positions - 1))[:2]
        self.level = np.concatenate([active.layer, np.full(self.n_logits, level)])  # (target,)
        self.position = np.concatenate([active.position, np.full(self.n_logits, position)])  # (target,)
        if chosen.feature is None:
            self.reads = self.network.logit_reads(chosen.directions)  # (logit, d_model)
        else:
            self.reads = self.network.feature_reads(level, torch.tensor([position]), chosen.directions)
        # The bias and the embedding of position 0 have one value for every target. They are carried forward
        # once, however many targets there are.
        self.constant = list(
            self.network.carry(self.sources.constants, biased=True)
        )  # as `carry` yields them

    def _received(self, streams: Iterable[Tensor], targets: Numbers) -> Values:
        """What targets read of constants, carried by `FrozenNetwork.carry`: (channel, target) float32."""
        shares = []
        for level, stream in enumerate(streams):
            chosen = targets[self.level[targets] == level]
            at_targets = stream[:, torch.from_numpy(self.position[chosen])]
            shares.append(torch.einsum("cnd,nd->cn", at_targets, self._read(chosen)))
        order = np.argsort(self.level[targets], kind="stable")
        result = np.empty((len(shares[0]), len(targets)), dtype=np.float32)
        result[:, order] = torch.cat(shares, dim=1).cpu().numpy()
        return result

    def _read(self, targets: Numbers) -> Tensor:
        """What targets, all of one level, read of the residual stream: (target, d_model)."""
        if not len(targets):
            return self.reads[:0]
        asked = targets >= self.n_active
        if asked.all():
            return self.reads[torch.from_numpy(targets - self.n_active)]
        level, features = int(self.level[targets[0]]), targets[~asked]
        encoders = self.encoders.rows(level, self.active.feature[features])
        read = self.network.feature_reads(level, torch.from_numpy(self.position[features]), encoders)
        if not asked.any():
            return read
        both = read.new_empty(len(targets), read.shape[1])
        both[torch.from_numpy(~asked)] = read
        both[torch.from_numpy(asked)] = self.reads[torch.from_numpy(targets[asked] - self.n_active)]
        return both

    def compute(self, weights: Values, max_nodes: int | None, stage: int) -> tuple[Numbers, Tensor]:
        """Choose the feature nodes, ``stage`` at a time, and compute all edges.

        ``weights`` (logit,) are those of the logits. Returns the selected features (feature node,),
        ascending, and the edges into features and logits (target, node source) float32, on the model's
        device. Nothing enters errors and embeddings, so they have no rows. Raises LimitError.
        """
        limit = self.n_active if max_nodes is None else min(max_nodes, self.n_active)
        self._check_size(limit)
        rows = torch.zeros(limit + self.n_logits, limit + self.n_inputs + self.n_logits, device=self.device)
        selected = np.arange(self.n_active)
        if limit < self.n_active:
            selected = Choice(self).of(weights, limit, stage)
        targets = np.concatenate([selected, self.n_active + np.arange(self.n_logits)])
        self.fill(rows, targets, np.arange(len(targets)), selected)
        return selected, rows

    def fill(self, out: Tensor, targets: Numbers, rows: Numbers, features: Numbers) -> None:
        """Write effects on ``targets`` to ``rows`` of ``out``.

        The columns of ``out`` are ``features``, errors, embeddings and logits.
        """
        ends = Ends(
            index=torch.from_numpy(rows),
            layer=torch.from_numpy(self.level[targets]),
            position=torch.from_numpy(self.position[targets]),
            vectors=lambda entries: self._read(targets[entries.numpy()]),
        )
        effects(self.network, ends, self.sources.ends(features), out)
        first_embedding = len(features) + self.n_layers * self.n_positions
        of_embedding = torch.from_numpy(self._received(self.constant, targets)[1])
        out[ends.index, first_embedding] = of_embedding.to(self.device)

    def effects_on(self, directions: Tensor, features: Numbers) -> Values:
        """Direct effects of all nodes on reads of the final norm's output at the last position.

        ``features`` (feature node,) are the first nodes. Directions (target, d_model) → (target, node)
        float32, in the unit of direction · final norm output.
        """
        n_nodes = len(features) + self.n_inputs + self.n_logits
        rows = torch.zeros(len(directions), n_nodes, device=self.device)
        reads = self.network.logit_reads(directions)
        ends = Ends(
            index=torch.arange(len(rows)),
            layer=torch.full((len(rows),), self.n_layers),
            position=torch.full((len(rows),), self.n_positions - 1),
            vectors=lambda entries: reads[entries],
        )
        effects(self.network, ends, self.sources.ends(features), rows)
        first_embedding = len(features) + self.n_layers * self.n_positions
        rows[:, first_embedding] = reads @ self.constant[-1][1, -1]
        effect: Values = rows.cpu().numpy()
        return effect

    def shares(self, selected: Numbers, logits: NDArray[np.float64]) -> tuple[Values, Values, Values]:
        """Share of the bias, share of features that are no nodes, and pre-activation: each (node,) float32.

        ``selected`` (feature node,) are the feature nodes, ``logits`` (logit,) the values of the logit nodes.
        """
        targets = np.concatenate([selected, self.n_active + np.arange(self.n_logits)])
        own_bias, preactivation = np.zeros(len(targets)), np.concatenate([np.zeros(len(selected)), logits])
        own_bias[len(selected) :] = self.chosen.bias
        for layer in np.unique(self.active.layer[selected]).tolist():
            nodes = np.flatnonzero(self.active.layer[selected] == layer)
            transcoder = self.transcoders.layer(layer)
            feature = self.active.feature[selected[nodes]].astype(np.int64)
            own_bias[nodes] = transcoder.b_enc[torch.from_numpy(feature)].cpu().numpy()
            x = self.run.mlp_input[layer, torch.from_numpy(self.active.position[selected[nodes]])].float()
            products = (x * self.encoders.rows(layer, feature)).sum(1).cpu().numpy()
            preactivation[nodes] = products + own_bias[nodes]
        bias = self._received(self.constant, targets)[0] + own_bias
        columns = (bias, self._omitted(selected, targets), preactivation)
        first_logit = len(selected) + self.n_inputs
        rows = np.concatenate([np.arange(len(selected)), first_logit + np.arange(self.n_logits)])
        by_node = np.zeros((3, first_logit + self.n_logits), dtype=np.float32)
        by_node[:, rows] = columns
        return by_node[0], by_node[1], by_node[2]

    def _omitted(self, selected: Numbers, targets: Numbers) -> NDArray[np.floating]:
        """What active features that are not ``selected`` send to targets: (target,)."""
        if len(selected) == self.n_active:
            return np.zeros(len(targets))
        left_out = ~np.isin(np.arange(self.n_active), selected)
        streams = self.network.carry(partial(self.sources.entering, left_out), biased=False)
        omitted: Values = self._received(streams, targets)[0]
        return omitted

    def levels(self, features: Numbers) -> Numbers:
        """(node,): the layer of features, n_layers for logits, and -1 for errors and embeddings.

        A feature in the place of logits has its own layer.

        An edge runs from a lower level to a higher one, and none enters an error or an embedding.
        """
        inputs = np.full(self.n_inputs, -1)
        return np.concatenate([self.active.layer[features], inputs, self.level[self.n_active :]])

    def target_nodes(self, count: int) -> Numbers:
        """The node of each row of `compute`, with ``count`` feature nodes: (target,)."""
        return np.concatenate([np.arange(count), count + self.n_inputs + np.arange(self.n_logits)])

    def _check_size(self, limit: int) -> None:
        size = 4 * (limit + self.n_logits) * (limit + self.n_inputs + self.n_logits)
        if size > self.memory:
            raise LimitError(
                f"attribution graph of {self.n_active} active features",
                expected=f"a matrix of at most {self.memory / 1e9:g} GB (attribution.memory)",
                got=f"{size / 1e9:.3g} GB",
                remedy="ask for fewer nodes with max_feature_nodes, or allow more memory",
            )
