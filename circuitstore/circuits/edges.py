"""The edges of one prompt's attribution graph: which features are nodes, the matrix, and what it leaves out.

`graph` has the definitions and `effects` the arithmetic. This module names the ends of the edges and puts the
numbers in their places.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits import pruning
from circuitstore.circuits.active import ActiveFeatures
from circuitstore.circuits.batching import batching
from circuitstore.circuits.effects import effects
from circuitstore.circuits.ends import Ends
from circuitstore.circuits.frozen_network import FrozenNetwork
from circuitstore.errors import LimitError
from circuitstore.models.capture import Capture
from circuitstore.models.finite import require_finite
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.kept_rows import KeptRows
from circuitstore.transcoders.per_layer import Transcoders, decoded
from circuitstore.transcoders.sparse import SparseRows

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
        directions: Tensor,
        memory: int,
    ):
        """``directions`` (logit, d_model) are what logits read of the final norm's output.

        ``memory`` is how many bytes the dense matrices may take; it decides no number. The rows in flight
        take at most `Batching.flight_bytes` beside them.
        """
        self.transcoders, self.run, self.active = transcoders, run, active
        self.device, self.memory = model.device, memory
        self.n_layers, self.n_positions = model.n_layers, len(run.tokens)
        kept = batching(self.device.type).kept_bytes
        self.encoders, self.decoders = (KeptRows(transcoders, name, kept) for name in ("W_enc", "W_dec"))
        covered = torch.from_numpy(active.covered).to(self.device)
        self.network = FrozenNetwork(model, run, transcoders, covered)
        self.reads = self.network.logit_reads(directions)  # (logit, d_model)
        self.n_active, self.n_logits = len(active.layer), len(directions)
        self.n_inputs = (self.n_layers + 1) * self.n_positions  # errors and embeddings
        last = np.full(self.n_logits, self.n_positions - 1)
        self.level = np.concatenate([active.layer, np.full(self.n_logits, self.n_layers)])  # (target,)
        self.position = np.concatenate([active.position, last])  # (target,)
        self.bias, self.errors = self._split_outputs(covered)
        # The bias and the embedding of position 0 have one value for every target. They are carried forward
        # once, however many targets there are.
        self.constant = list(self.network.carry(self._constants, biased=True))  # as `carry` yields them

    def _split_outputs(self, covered: Tensor) -> tuple[Tensor, Tensor]:
        """Each MLP output less features and skip, as bias and error: (layer, position, d_model) float32.

        At position 0 there are neither features nor an error node, so all of the output is bias.
        """
        errors = self.run.mlp_output.float()
        bias = torch.zeros_like(errors)
        for layer in torch.nonzero(covered.any(1)).flatten().tolist():
            transcoder = self.transcoders.layer(layer)
            bias[layer] = transcoder.b_dec * covered[layer, :, None]
            predicted = bias[layer] + self._decoded(layer, np.ones(len(self.active.layer), dtype=bool))
            skip = self.network.skip_output(layer)
            errors[layer] = errors[layer] - (predicted if skip is None else predicted + skip)
        require_finite("reconstruction error", errors, ("layer", "position", "dimension"))
        bias[:, 0] += errors[:, 0]
        return bias, errors

    def _decoded(self, layer: int, chosen: NDArray[np.bool_]) -> Tensor:
        """What the ``chosen`` (active,) features of a layer write together: (position, d_model)."""
        entries = np.flatnonzero(chosen & (self.active.layer == layer))
        pointer = np.searchsorted(self.active.position[entries], np.arange(self.n_positions + 1))
        rows = SparseRows(pointer, self.active.feature[entries], self.active.value[entries])
        return decoded(rows, self.decoders.rows(layer, rows.feature))

    def _constants(self, entry: int) -> Tensor:
        """The bias and the embedding of position 0, as they enter at a layer: (2, position, d_model)."""
        channels = torch.zeros(2, *self.bias.shape[1:], device=self.device)
        if entry == 0:
            channels[1, 0] = self.run.residual[0, 0]
        else:
            channels[0] = self.bias[entry - 1]
        return channels

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
        level = int(self.level[targets[0]])
        if level == self.n_layers:
            return self.reads[torch.from_numpy(targets - self.n_active)]
        encoders = self.encoders.rows(level, self.active.feature[targets])
        return self.network.feature_reads(level, torch.from_numpy(self.position[targets]), encoders)

    def compute(self, weights: Values, max_nodes: int | None, stage: int) -> tuple[Numbers, Tensor]:
        """Choose the feature nodes, ``stage`` at a time, and compute all edges.

        ``weights`` (logit,) are those of the logits. Returns the selected features (feature node,),
        ascending, and the adjacency matrix (node target, node source) float32, on the model's device. Raises
        LimitError.
        """
        limit = self.n_active if max_nodes is None else min(max_nodes, self.n_active)
        self._check_size(limit, stage)
        n_nodes = limit + self.n_inputs + self.n_logits
        adjacency = torch.zeros(n_nodes, n_nodes, device=self.device)
        logit_rows = np.arange(n_nodes - self.n_logits, n_nodes)
        if limit == self.n_active:
            selected, targets = np.arange(limit), np.arange(limit + self.n_logits)
            self._fill(adjacency, targets, np.concatenate([selected, logit_rows]), selected)
            return selected, adjacency
        known, first, last = self._choose(weights, limit, stage)
        selected = np.sort(np.concatenate([first[self.n_logits :], last]))
        rows = np.concatenate([logit_rows, np.searchsorted(selected, first[self.n_logits :])])
        others = np.arange(self.n_active, self.n_active + n_nodes - limit)
        adjacency[torch.from_numpy(rows)] = known[:, torch.from_numpy(np.concatenate([selected, others]))]
        self._fill(adjacency, last, np.searchsorted(selected, last), selected)
        return selected, adjacency

    def _choose(self, weights: Values, limit: int, stage: int) -> tuple[Tensor, Numbers, Numbers]:
        """Choose ``limit`` features by influence over the rows known so far, a stage at a time.

        The logits come first. Returns the rows known by then (target, every possible node); their targets,
        logits first; and the features of the last stage, whose rows need no more columns than the chosen
        ones.
        """
        everything = np.arange(self.n_active)
        levels = self.levels(everything)
        node_weights = pruning.padded(weights, len(levels))
        targets, chosen = everything[:0], self.n_active + np.arange(self.n_logits)
        known = torch.zeros(self._rows_known(limit, stage), len(levels), device=self.device)
        while True:
            self._fill(known, chosen, len(targets) + np.arange(len(chosen)), everything)
            targets = np.concatenate([targets, chosen])
            nodes = np.where(targets < self.n_active, targets, targets + self.n_inputs)
            influence = pruning.influence(known[: len(targets)], node_weights, levels, nodes)
            ranked = np.argsort(-influence[: self.n_active], kind="stable")
            missing = limit - (len(targets) - self.n_logits)
            chosen = np.sort(ranked[~np.isin(ranked, targets)][: min(stage, missing)])
            if len(chosen) == missing:
                return known, targets, chosen

    def _fill(self, out: Tensor, targets: Numbers, rows: Numbers, features: Numbers) -> None:
        """Write effects on ``targets`` to ``rows`` of ``out``.

        The columns of ``out`` are ``features``, errors, embeddings and logits.
        """
        ends = Ends(
            index=torch.from_numpy(rows),
            layer=torch.from_numpy(self.level[targets]),
            position=torch.from_numpy(self.position[targets]),
            vectors=lambda entries: self._read(targets[entries.numpy()]),
        )
        effects(self.network, ends, self._sources(features), out)
        first_embedding = len(features) + self.n_layers * self.n_positions
        of_embedding = torch.from_numpy(self._received(self.constant, targets)[1])
        out[ends.index, first_embedding] = of_embedding.to(self.device)

    def _sources(self, features: Numbers) -> Ends:
        """Features, errors and embeddings, in the order of nodes, without those of position 0."""
        active, n_features = self.active, len(features)
        # Errors enter after their layer; embeddings, last among the nodes, at the input of layer 0.
        inputs = torch.cat([self.errors, self.run.residual[:1].float()]).flatten(0, 1)
        grid, position = (column.flatten() for column in np.indices((self.n_layers + 1, self.n_positions)))
        later = np.flatnonzero(position > 0)
        layer = np.concatenate([active.layer[features] + 1, (grid[later] + 1) % (self.n_layers + 1)])

        def write(entries: Tensor) -> Tensor:
            numbers = entries.numpy()
            is_feature = numbers < n_features
            given = inputs[torch.from_numpy(later[numbers[~is_feature] - n_features])]
            if not is_feature.any():
                return given
            chosen = features[numbers[is_feature]]
            decoders = self.decoders.rows(int(layer[numbers[0]]) - 1, active.feature[chosen])
            written = decoders * torch.from_numpy(active.value[chosen]).to(self.device)[:, None]
            place = np.where(is_feature, is_feature.cumsum() - 1, len(chosen) + (~is_feature).cumsum() - 1)
            return torch.cat([written, given])[torch.from_numpy(place)]

        return Ends(
            index=torch.from_numpy(np.concatenate([np.arange(n_features), n_features + later])),
            layer=torch.from_numpy(layer),
            position=torch.from_numpy(np.concatenate([active.position[features], position[later]])),
            vectors=write,
        )

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
        effects(self.network, ends, self._sources(features), rows)
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
        none = torch.zeros(1, *self.bias.shape[1:], device=self.device)
        streams = self.network.carry(
            lambda entry: self._decoded(entry - 1, left_out)[None] if entry else none, biased=False
        )
        omitted: Values = self._received(streams, targets)[0]
        return omitted

    def levels(self, features: Numbers) -> Numbers:
        """(node,): the layer of features, n_layers for logits, and -1 for errors and embeddings.

        An edge runs from a lower level to a higher one, and none enters an error or an embedding.
        """
        inputs = np.full(self.n_inputs, -1)
        return np.concatenate([self.active.layer[features], inputs, self.level[self.n_active :]])

    def _rows_known(self, limit: int, stage: int) -> int:
        """How many rows over every active feature are known when the last stage is chosen."""
        return self.n_logits + stage * ((limit - 1) // stage)

    def _check_size(self, limit: int, stage: int) -> None:
        others = self.n_inputs + self.n_logits
        size = 4 * (limit + others) ** 2
        if limit < self.n_active:  # rows of all but the last stage hold every active feature
            size += 4 * (self.n_active + others) * self._rows_known(limit, stage)
        if size > self.memory:
            raise LimitError(
                f"attribution graph of {self.n_active} active features",
                expected=f"matrices of at most {self.memory / 1e9:g} GB (attribution.memory)",
                got=f"{size / 1e9:.3g} GB",
                remedy="ask for fewer nodes with max_feature_nodes, or allow more memory",
            )
