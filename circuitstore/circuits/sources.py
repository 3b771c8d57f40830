"""What the sources of one prompt's edges write, and where it enters the frozen network.

Sources are active features, reconstruction errors and embeddings. A feature of a cross-layer transcoder
enters after every layer that it writes to, with the row of W_dec for that layer, and its effects add. What
has no node is bias: b_dec, and the whole MLP output at position 0.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits.active import ActiveFeatures, find_features
from circuitstore.circuits.batching import batching
from circuitstore.circuits.ends import Ends
from circuitstore.circuits.frozen_network import FrozenNetwork
from circuitstore.models.capture import Capture
from circuitstore.models.finite import require_finite
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.decoding import decoded
from circuitstore.transcoders.kept_rows import KeptRows
from circuitstore.transcoders.per_layer import Transcoders
from circuitstore.transcoders.sparse import SparseRows

NONE = -1  # in place of the layer of an embedding, the feature of an error, the position of the bias


class Sources:
    """The sources of one prompt.

    ``bias`` and ``errors`` (layer, position, d_model) float32 are what each MLP gives less its features and
    skip connection. They are in the units that transcoders write in, before a norm that may follow.
    """

    def __init__(
        self, network: FrozenNetwork, transcoders: Transcoders, active: ActiveFeatures, decoders: KeptRows
    ):
        self.network, self.transcoders, self.active, self.decoders = network, transcoders, active, decoders
        self.run, self.device = network.run, network.device
        self.n_layers, self.n_positions = network.n_layers, network.n_positions
        self.bias, self.errors = self._split_outputs()

    def _split_outputs(self) -> tuple[Tensor, Tensor]:
        """Each MLP output less features and skip, as bias and error: (layer, position, d_model) float32.

        At position 0 there are neither features nor an error node, so all of the output is bias. What
        suppressed features would write is in the bias, since as sources they take it away again.
        """
        errors = self.run.mlp_output[: self.n_layers].float()
        bias, covered = torch.zeros_like(errors), self.network.covered
        everything = np.ones(len(self.active.layer), dtype=bool)
        for layer in range(self.n_layers):
            if covered[layer].any():
                transcoder = self.transcoders.layer(layer)
                bias[layer] = transcoder.b_dec * covered[layer, :, None]
            suppressed = self.active.suppressed
            missing = None if suppressed is None else self.written(layer, suppressed)
            if missing is not None:
                bias[layer] -= missing
            written = self.written(layer, everything)
            if written is not None:
                predicted = bias[layer] + written
                skip = self.network.skip_output(layer) if covered[layer].any() else None
                errors[layer] = errors[layer] - (predicted if skip is None else predicted + skip)
        require_finite("reconstruction error", errors, ("layer", "position", "dimension"))
        bias[:, 0] += errors[:, 0]
        return bias, errors

    def written(self, layer: int, chosen: NDArray[np.bool_]) -> Tensor | None:
        """What the ``chosen`` (active,) features write to a layer together: (position, d_model).

        It is None where no layer in use writes to it.
        """
        total: Tensor | None = None
        for source in self.transcoders.writing_to(layer):
            entries = np.flatnonzero(chosen & (self.active.layer == source))
            pointer = np.searchsorted(self.active.position[entries], np.arange(self.n_positions + 1))
            rows = SparseRows(pointer, self.active.feature[entries], self.active.value[entries])
            part = decoded(rows, self.decoders.rows(source, rows.feature, layer))
            total = part if total is None else total + part
        return total

    def constants(self, entry: int) -> Tensor:
        """The bias and the embedding of position 0, as they enter at a layer: (2, position, d_model)."""
        channels = torch.zeros(2, *self.bias.shape[1:], device=self.device)
        if entry == 0:
            channels[1, 0] = self.run.residual[0, 0]
        else:
            channels[0] = self.network.entering(entry - 1, slice(None), self.bias[entry - 1])
        return channels

    def entering(self, chosen: NDArray[np.bool_], entry: int) -> Tensor:
        """What the ``chosen`` (active,) features let enter at a layer: (1, position, d_model)."""
        written = self.written(entry - 1, chosen) if entry else None
        if written is None:
            return torch.zeros(1, *self.bias.shape[1:], device=self.device)
        return self.network.entering(entry - 1, slice(None), written)[None]

    def ends(self, features: NDArray[np.int64]) -> Ends:
        """Active ``features`` (feature node,), errors and embeddings, in the order of nodes.

        Those of position 0 are left out. A feature has an entry for each layer that it writes to.
        """
        active = self.active
        own = active.layer[features]  # each writes to the layers from its own on, or to that alone
        count = (self.n_layers if self.transcoders.cross_layer else own + 1) - own
        node = np.repeat(np.arange(len(features)), count)
        after = np.arange(len(node)) - np.repeat(np.cumsum(count) - count - own, count)
        # Errors enter after their layer; embeddings, last among the nodes, at the input of layer 0.
        inputs = torch.cat([self.errors, self.run.residual[:1].float()]).flatten(0, 1)
        grid, position = (column.flatten() for column in np.indices((self.n_layers + 1, self.n_positions)))
        later = np.flatnonzero(position > 0)
        layer = np.concatenate([after + 1, (grid[later] + 1) % (self.n_layers + 1)])
        where = np.concatenate([active.position[features[node]], position[later]])

        def write(entries: Tensor) -> Tensor:
            numbers = entries.numpy()
            level, is_feature = int(layer[numbers[0]]), numbers < len(node)
            written = inputs[torch.from_numpy(later[numbers[~is_feature] - len(node)])]
            if is_feature.any():
                chosen = features[node[numbers[is_feature]]]
                place = np.where(
                    is_feature, is_feature.cumsum() - 1, len(chosen) + (~is_feature).cumsum() - 1
                )
                written = torch.cat([self.rows(chosen, level - 1), written])[torch.from_numpy(place)]
            at = torch.from_numpy(where[numbers])
            return self.network.entering(level - 1, at, written) if level else written

        return Ends(
            index=torch.from_numpy(np.concatenate([node, len(features) + later])),
            layer=torch.from_numpy(layer),
            position=torch.from_numpy(where),
            vectors=write,
        )

    def rows(self, features: NDArray[np.int64], to: int) -> Tensor:
        """activation · W_dec of active ``features`` (entry,) as they write to a layer: (entry, d_model)."""
        layers = self.active.layer[features]
        rows = torch.empty(len(features), self.network.d_model, device=self.device)
        for layer in np.unique(layers).tolist():
            here = np.flatnonzero(layers == layer)
            found = self.decoders.rows(layer, self.active.feature[features[here]], to)
            rows[torch.from_numpy(here)] = found
        return rows * torch.from_numpy(self.active.value[features]).to(self.device)[:, None]


def sources_of(
    model: LanguageModel, transcoders: Transcoders, run: Capture, below: int | None = None
) -> Sources:
    """All sources of a captured text, or those of the network that ends ``below`` a layer."""
    found = find_features(transcoders, run)
    n_layers = model.n_layers if below is None else below
    under = found.layer < n_layers
    active = ActiveFeatures(
        found.layer[under], found.position[under], found.feature[under], found.value[under], found.covered
    )
    network = FrozenNetwork(
        model, run, transcoders, torch.from_numpy(active.covered).to(model.device), n_layers
    )
    return Sources(
        network, transcoders, active, KeptRows(transcoders, "W_dec", batching(model.device.type).kept_bytes)
    )
