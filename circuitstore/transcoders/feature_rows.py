"""A few features of one transcoder, their rows read once and kept on the device, for many inputs."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from circuitstore.transcoders.activation import thresholded
from circuitstore.transcoders.layer import Ids, LayerTranscoder


class FeatureRows:
    """The features with these ids (feature,) of a transcoder. Raises UsageError for an id that it lacks."""

    def __init__(self, transcoder: LayerTranscoder, features: Ids):
        self.transcoder, self.features = transcoder, torch.as_tensor(features)
        self._decoders = {transcoder.index: transcoder.decoder_rows(self.features, transcoder.index)}

    def decoders(self, to: int) -> Tensor:
        """Their rows of W_dec that write to a layer: (feature, d_model) float32."""
        if to not in self._decoders:
            self._decoders[to] = self.transcoder.decoder_rows(self.features, to)
        return self._decoders[to]

    @cached_property
    def _encoders(self) -> Tensor:
        return self.transcoder.encoder_rows(self.features)

    def activations(self, x: Tensor, which: Tensor) -> Tensor:
        """Activations of some of the features: x (entry, d_model), which (n,) → (entry, n) float32.

        ``which`` are places among the features of this object, not ids.
        """
        ids = self.features[which]
        if self.transcoder.top_k is not None:  # the choice depends on all features
            return self.transcoder.encode(x)[:, ids]
        x = x.to(self.transcoder.device, torch.float32)
        pre = torch.addmm(self.transcoder.b_enc[ids], x, self._encoders[which].T)
        return thresholded(pre, self.transcoder.threshold_of(ids))
