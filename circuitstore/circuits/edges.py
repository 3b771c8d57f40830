"""The edges of one prompt's attribution graph: its ends, the choice of feature nodes, the matrix and what it
leaves out.

See `attribution` for the definitions and `effects` for the arithmetic; this module names the ends and puts
the numbers in their places.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitstore.circuits import pruning
from circuitstore.circuits.effects import Ends, effects
from circuitstore.circuits.frozen_network import FrozenNetwork
from circuitstore.errors import LimitError
from circuitstore.models.capture import Capture
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders
from circuitstore.transcoders.sparse import SparseRows


@dataclass(frozen=True)
class ActiveFeatures:
    """Active features of one prompt, and where the transcoders were applied at all.

    Where ``covered`` is False there are no features and the whole MLP output is the error.
    """

    layer: np.ndarray  # (entry,) int
    position: np.ndarray  # (entry,) int
    feature: np.ndarray  # (entry,) int
    value: np.ndarray  # (entry,) float32, activation
    covered: np.ndarray  # (layer, position) bool


class Edges:
    """The frozen network of one prompt: what its sources write, what its targets read.

    A *target* below is an active feature, by its number, or a logit, numbered after all active features.
    """

    def __init__(
        self,
        model: LanguageModel,
        transcoders: Transcoders,
        run: Capture,
        found: ActiveFeatures,
        directions: Tensor,
        memory: int,
    ):
        """``memory``: bytes that the dense matrices may take, and half as much the rows that `effects` has in
        flight.
        """
        self.transcoders, self.run, self.found, self.device, self.memory = (
            transcoders,
            run,
            found,
            model.device,
            memory,
        )
        self.n_layers, self.n_positions = model.n_layers, len(run.tokens)
        covered = torch.from_numpy(found.covered).to(self.device)
        self.network = FrozenNetwork(model, run, transcoders, covered)
        self.reads = self.network.logit_reads(directions)  # (logit, d_model)
        self.n_active, self.n_logits = len(found.layer), len(directions)
        self.n_inputs = (self.n_layers + 1) * self.n_positions  # errors and embeddings
        self.level = np.concatenate([found.layer, np.full(self.n_logits, self.n_layers)])  # (target,)
        self.position = np.concatenate(
            [found.position, np.full(self.n_logits, self.n_positions - 1)]
        )  # (target,)
        self.bias, self.errors = self._split_outputs(covered)
        # What has one value for every target, however many there are, is carried forward once: bias, and
        # embedding of position 0.
        self.constant = list(self.network.carry(self._constants, biased=True))  # as `carry` yields them

    def _split_outputs(self, covered: Tensor) -> tuple[Tensor, Tensor]:
        """What each MLP output holds besides features and skip: bias and error, (layer, position, d_model)
        float32.

        At position 0 there are neither features nor an error node: all of it is bias.
        """
        errors = self.run.mlp_output.float()
        bias = torch.zeros_like(errors)
        for layer in torch.nonzero(covered.any(1)).flatten().tolist():
            transcoder = self.transcoders.layer(layer)
            bias[layer] = transcoder.b_dec * covered[layer, :, None]
            predicted = bias[layer] + self._decoded(layer, np.ones(len(self.found.layer), dtype=bool))
            skip = self.network.skip_output(layer)
            errors[layer] = errors[layer] - (predicted if skip is None else predicted + skip)
        bias[:, 0] += errors[
            :, 0
        ]  # whatever the MLP wrote at position 0, apart from the skip, enters as a constant
        return bias, errors

    def _decoded(self, layer: int, chosen: np.ndarray) -> Tensor:
        """What the ``chosen`` (active,) features of a layer write together: (position, d_model)."""
        entries = np.flatnonzero(chosen & (self.found.layer == layer))
        pointer = np.searchsorted(self.found.position[entries], np.arange(self.n_positions + 1))
        rows = SparseRows(pointer, self.found.feature[entries], self.found.value[entries])
        return self.transcoders.layer(layer).decode(rows)

    def _constants(self, entry: int) -> Tensor:
        """What enters at the input of layer ``entry`` as bias, and as embedding of position 0: (2, position,
        d_model).
        """
        channels = torch.zeros(2, *self.bias.shape[1:], device=self.device)
        if entry == 0:
            channels[1, 0] = self.run.residual[0, 0]
        else:
            channels[0] = self.bias[entry - 1]
        return channels

    def _received(self, streams: Iterable[Tensor], targets: np.ndarray) -> np.ndarray:
        """What targets read of constants that `FrozenNetwork.carry` has carried: (channel, target) float32."""
        shares = []
        for level, stream in enumerate(streams):
            chosen = targets[self.level[targets] == level]
            shares.append(
                torch.einsum(
                    "cnd,nd->cn", stream[:, torch.from_numpy(self.position[chosen])], self._read(chosen)
                )
            )
        order = np.argsort(self.level[targets], kind="stable")
        result = np.empty((len(shares[0]), len(targets)), dtype=np.float32)
        result[:, order] = torch.cat(shares, dim=1).cpu().numpy()
        return result

    def _read(self, targets: np.ndarray) -> Tensor:
        """What targets, all of one level, read of the residual stream: (target, d_model)."""
        if not len(targets):
            return self.reads[:0]
        level = int(self.level[targets[0]])
        if level == self.n_layers:
            return self.reads[torch.from_numpy(targets - self.n_active)]
        encoders = self.transcoders.layer(level).encoder_rows(self.found.feature[targets])
        return self.network.feature_reads(level, torch.from_numpy(self.position[targets]), encoders)

    def compute(
        self, weights: np.ndarray, max_nodes: int | None, stage: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose the feature nodes, ``stage`` at a time, and compute all edges.

        Returns selected (feature node,), ascending, and the adjacency matrix (node target, node source)
        float32.
        """
        limit = self.n_active if max_nodes is None else min(max_nodes, self.n_active)
        self._check_size(limit, stage)
        n_nodes = limit + self.n_inputs + self.n_logits
        adjacency = torch.zeros(n_nodes, n_nodes)
        logit_rows = np.arange(n_nodes - self.n_logits, n_nodes)
        if limit == self.n_active:
            selected = np.arange(limit)
            self._fill(
                adjacency, np.arange(limit + self.n_logits), np.concatenate([selected, logit_rows]), selected
            )
            return selected, adjacency.numpy()
        known, first, last = self._choose(weights, limit, stage)
        selected = np.sort(np.concatenate([first[self.n_logits :], last]))
        rows = np.concatenate([logit_rows, np.searchsorted(selected, first[self.n_logits :])])
        others = np.arange(self.n_active, self.n_active + n_nodes - limit)
        adjacency[torch.from_numpy(rows)] = known[:, torch.from_numpy(np.concatenate([selected, others]))]
        self._fill(adjacency, last, np.searchsorted(selected, last), selected)
        return selected, adjacency.numpy()

    def _choose(self, weights: np.ndarray, limit: int, stage: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Choose ``limit`` features by influence over the rows known so far, a stage at a time, starting from
        the logits.

        Returns the rows known by then (target, every possible node); their targets, logits first; and the
        features of the last stage, whose rows need no more columns than the chosen ones.
        """
        everything = np.arange(self.n_active)
        levels = self.levels(everything)
        node_weights = padded(weights, len(levels))
        targets, chosen = everything[:0], self.n_active + np.arange(self.n_logits)
        known = torch.zeros(self._rows_known(limit, stage), len(levels))
        while True:
            self._fill(known, chosen, len(targets) + np.arange(len(chosen)), everything)
            targets = np.concatenate([targets, chosen])
            nodes = np.where(targets < self.n_active, targets, targets + self.n_inputs)
            ranked = np.argsort(
                -pruning.influence(known[: len(targets)].numpy(), node_weights, levels, nodes)[
                    : self.n_active
                ],
                kind="stable",
            )
            missing = limit - (len(targets) - self.n_logits)
            chosen = np.sort(ranked[~np.isin(ranked, targets)][: min(stage, missing)])
            if len(chosen) == missing:
                return known, targets, chosen

    def _fill(self, out: Tensor, targets: np.ndarray, rows: np.ndarray, features: np.ndarray) -> None:
        """Write effects on ``targets`` to ``rows`` of ``out``, whose columns are ``features``, errors,
        embeddings, logits.
        """
        ends = Ends(
            index=torch.from_numpy(rows),
            layer=torch.from_numpy(self.level[targets]),
            position=torch.from_numpy(self.position[targets]),
            vectors=lambda entries: self._read(targets[entries.numpy()]),
        )
        effects(self.network, ends, self._sources(features), out, memory=self.memory // 2)
        first = len(features) + self.n_layers * self.n_positions
        out[ends.index, first] = torch.from_numpy(self._received(self.constant, targets)[1])

    def _sources(self, features: np.ndarray) -> Ends:
        """Features, errors and embeddings, in the order of nodes, without those of position 0."""
        found, n_features = self.found, len(features)
        # Errors enter after their layer; the embeddings, last among the nodes, at the input of layer 0.
        inputs = torch.cat([self.errors, self.run.residual[:1].float()]).flatten(0, 1)
        grid, position = (column.flatten() for column in np.indices((self.n_layers + 1, self.n_positions)))
        later = np.flatnonzero(position > 0)
        layer = np.concatenate([found.layer[features] + 1, (grid[later] + 1) % (self.n_layers + 1)])

        def write(entries: Tensor) -> Tensor:
            numbers = entries.numpy()
            is_feature = numbers < n_features
            vectors = torch.empty(len(numbers), inputs.shape[1], device=self.device)
            vectors[torch.from_numpy(~is_feature)] = inputs[
                torch.from_numpy(later[numbers[~is_feature] - n_features])
            ]
            if is_feature.any():
                chosen = features[numbers[is_feature]]
                decoders = self.transcoders.layer(int(layer[numbers[0]]) - 1).decoder_rows(
                    found.feature[chosen]
                )
                value = torch.from_numpy(found.value[chosen]).to(self.device)
                vectors[torch.from_numpy(is_feature)] = decoders * value[:, None]
            return vectors

        return Ends(
            index=torch.from_numpy(np.concatenate([np.arange(n_features), n_features + later])),
            layer=torch.from_numpy(layer),
            position=torch.from_numpy(np.concatenate([found.position[features], position[later]])),
            vectors=write,
        )

    def effects_on(self, directions: Tensor, features: np.ndarray) -> np.ndarray:
        """Direct effects of all nodes, ``features`` (feature node,) the first, on any reads of the final
        residual stream at the last position: directions (target, d_model) → (target, node) float32, in the
        unit of direction · final norm output.
        """
        rows = torch.zeros(len(directions), len(features) + self.n_inputs + self.n_logits)
        reads = self.network.logit_reads(directions)
        ends = Ends(
            index=torch.arange(len(rows)),
            layer=torch.full((len(rows),), self.n_layers),
            position=torch.full((len(rows),), self.n_positions - 1),
            vectors=lambda entries: reads[entries],
        )
        effects(self.network, ends, self._sources(features), rows, memory=self.memory // 2)
        rows[:, len(features) + self.n_layers * self.n_positions] = (reads @ self.constant[-1][1, -1]).cpu()
        return rows.numpy()

    def shares(self, selected: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of every node (node,) float32: share of the bias, share of features that are no nodes,
        pre-activation.
        """
        targets = np.concatenate([selected, self.n_active + np.arange(self.n_logits)])
        own_bias, preactivation = np.zeros(len(targets)), np.concatenate([np.zeros(len(selected)), logits])
        for layer in np.unique(self.found.layer[selected]).tolist():
            nodes = np.flatnonzero(self.found.layer[selected] == layer)
            transcoder, feature = (
                self.transcoders.layer(layer),
                self.found.feature[selected[nodes]].astype(np.int64),
            )
            own_bias[nodes] = transcoder.b_enc[torch.from_numpy(feature)].cpu().numpy()
            x = self.run.mlp_input[layer, torch.from_numpy(self.found.position[selected[nodes]])].float()
            preactivation[nodes] = (x * transcoder.encoder_rows(feature)).sum(1).cpu().numpy() + own_bias[
                nodes
            ]
        omitted = np.zeros((1, len(targets)))
        if len(selected) < self.n_active:
            left_out = ~np.isin(np.arange(self.n_active), selected)
            none = torch.zeros(1, *self.bias.shape[1:], device=self.device)
            left = self.network.carry(
                lambda entry: self._decoded(entry - 1, left_out)[None] if entry else none, biased=False
            )
            omitted = self._received(left, targets)
        by_target = (self._received(self.constant, targets)[0] + own_bias, omitted[0], preactivation)
        rows = np.concatenate(
            [np.arange(len(selected)), len(selected) + self.n_inputs + np.arange(self.n_logits)]
        )
        by_node = np.zeros((3, len(selected) + self.n_inputs + self.n_logits), dtype=np.float32)
        by_node[:, rows] = by_target
        return by_node[0], by_node[1], by_node[2]

    def levels(self, features: np.ndarray) -> np.ndarray:
        """(node,): the layer of features, n_layers for logits, -1 for errors and embeddings, which have no
        edges in.
        """
        return np.concatenate(
            [self.found.layer[features], np.full(self.n_inputs, -1), self.level[self.n_active :]]
        )

    def _rows_known(self, limit: int, stage: int) -> int:
        """How many rows are known, over every active feature, when the last stage of ``limit`` features is
        chosen.
        """
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
                got=f"{size / 1e9:.1f} GB",
                remedy="ask for fewer nodes with max_feature_nodes, or allow more memory",
            )


def padded(weights: np.ndarray, n_nodes: int) -> np.ndarray:
    """Weights of the logits as weights of all nodes: (logit,) → (node,)."""
    return np.concatenate([np.zeros(n_nodes - len(weights)), weights])
