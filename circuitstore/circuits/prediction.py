"""What transcoders predict of MLP outputs, a layer at a time for several prompts.

An encoder is read once for all prompts. Features of a cross-layer transcoder predict the layers above their
own too, so the features that were found in a layer are kept for those.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from circuitstore.transcoders.decoding import decoded
from circuitstore.transcoders.per_layer import Transcoders
from circuitstore.transcoders.sparse import SparseRows


class Prediction:
    """Predictions of the layers in use. They are asked for in ascending order, each once."""

    def __init__(self, transcoders: Transcoders):
        self.transcoders = transcoders
        self._active: dict[int, list[SparseRows]] = {}

    def active(self, layer: int) -> list[SparseRows]:
        """The features that were found in a layer, of each prompt."""
        return self._active[layer]

    def of(self, layer: int, inputs: Sequence[Tensor]) -> list[Tensor]:
        """What each prompt's inputs (position, d_model) predict of the outputs: same shape, float32."""
        transcoder = self.transcoders.layer(layer)
        self._active[layer] = transcoder.active(inputs)
        skip = transcoder.skip
        predicted = []
        for number, x in enumerate(inputs):
            total = transcoder.b_dec.expand(len(x), -1)
            for source in self.transcoders.writing_to(layer):
                total = total + self._written(source, self._active[source][number], layer)
            predicted.append(total if skip is None else total + x.float() @ skip.T)
        return predicted

    def _written(self, source: int, rows: SparseRows, layer: int) -> Tensor:
        unique, inverse = np.unique(rows.feature, return_inverse=True)
        decoders = self.transcoders.layer(source).decoder_rows(unique, layer)
        return decoded(rows, decoders[torch.from_numpy(inverse)])
