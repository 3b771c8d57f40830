"""The transcoder of one layer: its encoder, and what its features write.

    activation = act(W_enc x + b_enc)                   W_enc (feature, d_model)
    prediction = activation W_dec + b_dec [+ W_skip x]  W_dec (feature, d_model), W_skip (d_model, d_model)

Features of a cross-layer transcoder have a row of W_dec for each layer that they write to, from their own on.

Sources: *Transcoders Find Interpretable LLM Feature Circuits* (Dunefsky et al., 2024); the skip connection:
*Transcoders Beat Sparse Autoencoders for Interpretability* (Paulo et al., 2025).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.errors import ModelError, UsageError
from circuitstore.models.bits import float32_on, raised
from circuitstore.models.finite import require_finite
from circuitstore.transcoders.activation import largest, thresholded
from circuitstore.transcoders.decoding import decoded
from circuitstore.transcoders.formats import Activation
from circuitstore.transcoders.layer_file import LayerFile, said_beside
from circuitstore.transcoders.layouts import ALL, LATER, OWN, SAELENS
from circuitstore.transcoders.sparse import SparseRows

Ids = NDArray[np.integer] | Sequence[int] | Tensor  # of features


class LayerTranscoder:
    """The transcoder of one layer. Inputs may have any float dtype; everything returned is float32.

    Whatever reads a weight or encodes an input raises NonFiniteError for a NaN or an infinity.
    """

    def __init__(self, path: Path, index: int, said: Activation, *, device: torch.device):
        self.path, self.index, self.device = path, index, device
        self._file = LayerFile(path, index)
        self.n_features, self.d_model = self._file.n_features, self._file.d_model
        beside = said_beside(self._file)
        self.hooks = None if beside is None else beside.hooks
        said = _agreed(self._file, said, None if beside is None else beside.activation)
        self.top_k, self.signed = said.top_k, said.kind == "topk"

    @property
    def cross_layer(self) -> bool:
        """Whether its features write to the layers above too."""
        return self._file.layout.targets != OWN

    def check_targets(self, n_layers: int) -> None:
        """Raise ModelError unless a cross-layer transcoder has a decoder for each layer of the model."""
        expected = {OWN: 1, LATER: n_layers - self.index, ALL: n_layers}[self._file.layout.targets]
        if self._file.n_targets != expected:
            what = f"decoders of layer {self.index} in {self.path}"
            raise ModelError(what, expected=f"{expected} layers", got=self._file.n_targets)

    @cached_property
    def b_enc(self) -> Tensor:
        """Encoder bias (feature,) float32."""
        return self._vector("b_enc", "feature")

    @cached_property
    def b_dec(self) -> Tensor:
        """Decoder bias (d_model,) float32."""
        return self._vector("b_dec", "dimension")

    @property
    def skip(self) -> Tensor | None:
        """Skip connection (d_model out, d_model in) float32, applied as ``x @ skip.T``; None without one."""
        return self._read("W_skip") if self._file.has("W_skip") else None

    @cached_property
    def _threshold(self) -> Tensor | None:
        if not self._file.has("threshold"):
            return None
        threshold = self._vector("threshold", "feature")
        # SAELens' transcoders are JumpReLU of ReLU, so that nothing negative is active.
        return threshold.clamp(min=0) if self._file.layout is SAELENS else threshold

    def preactivation(self, x: Tensor) -> Tensor:
        """W_enc x + b_enc: x (position, d_model) → (position, feature) float32."""
        return torch.cat([pre for _, pre in self._preactivations([x])], dim=1)

    def encode(self, x: Tensor) -> Tensor:
        """Activations, dense: x (position, d_model) → (position, feature) float32."""
        rows = self.active([x])[0]
        dense = torch.zeros(len(x), self.n_features)
        dense[torch.from_numpy(rows.position), torch.from_numpy(rows.feature.astype(np.int64))] = (
            torch.from_numpy(rows.value)
        )
        return dense.to(self.device)

    def active(self, inputs: Sequence[Tensor]) -> list[SparseRows]:
        """Active features of several prompts, each (position, d_model), reading the encoder once.

        A prompt's result does not depend on the others, to the bit: each is multiplied by itself.
        """
        chunks: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in inputs]
        for chunks_of_prompt, (start, pre) in zip(cycle(chunks), self._preactivations(inputs), strict=False):
            values = self._activated(pre, start)
            position, feature = values.nonzero(as_tuple=True)
            chunks_of_prompt.append((position, feature + start, values[position, feature]))
        return [self._compress(len(x), some) for x, some in zip(inputs, chunks, strict=True)]

    def activations_of(self, x: Tensor, features: Ids) -> Tensor:
        """Activations of a few features, each in inputs of its own.

        x (feature, entry, d_model), ids (feature,) → (feature, entry) float32.
        """
        ids = torch.as_tensor(features)
        if self.top_k is not None:  # the choice depends on all features
            return torch.stack([self.encode(inputs)[:, i] for inputs, i in zip(x, ids, strict=True)])
        products = x.to(self.device, torch.float32) @ self.encoder_rows(ids)[:, :, None]
        pre = products[..., 0] + self.b_enc[ids, None]
        return thresholded(pre, self.threshold_of(ids)[:, None])

    def threshold_of(self, features: Ids) -> Tensor:
        """What a pre-activation must exceed: ids (entry,) → (entry,) float32, 0 except with JumpReLU."""
        ids = torch.as_tensor(features)
        return torch.zeros(len(ids), device=self.device) if self._threshold is None else self._threshold[ids]

    def encoder_rows(self, features: Ids) -> Tensor:
        """W_enc[features]: (entry,) ids → (entry, d_model) float32; only these rows are read."""
        return self.stored_rows("W_enc", features).float()

    def decoder_rows(self, features: Ids, to: int | None = None) -> Tensor:
        """W_dec[features]: (entry,) ids → (entry, d_model) float32; only these rows are read.

        Of a cross-layer transcoder they are those that write to layer ``to``; without it, their sum over all
        layers, which is what a feature adds to the residual stream by itself.
        """
        if to is not None or not self.cross_layer:
            return self.stored_rows("W_dec", features, to).float()
        layers = range(self.index, self.index + self._n_written)
        return torch.stack([self.stored_rows("W_dec", features, layer).float() for layer in layers]).sum(0)

    @property
    def _n_written(self) -> int:
        """How many layers its features write to."""
        return self._file.n_targets - (self.index if self._file.layout.targets == ALL else 0)

    def stored_rows(self, name: str, features: Ids, to: int | None = None) -> Tensor:
        """Rows of "W_enc" or "W_dec" on the device, as they are stored: (entry,) ids → (entry, d_model).

        ``to`` is the layer that the rows of W_dec write to, by default its own.
        """
        ids = torch.as_tensor(np.asarray(features, dtype=np.int64))
        if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < self.n_features):
            raise UsageError(
                f"features of {self.path}",
                expected=f"0 to {self.n_features - 1}",
                got=[int(ids.min()), int(ids.max())],
            )
        matrix = (
            self._file.tensor(name)
            if name == "W_enc"
            else self._file.decoder(self.index if to is None else to)
        )
        rows = matrix[ids].to(self.device)
        require_finite(f"{name} of {self.path} in rows of active features", rows, ("row", "dimension"))
        return rows

    def decode(self, rows: SparseRows) -> Tensor:
        """What its features write to its own layer, activation · W_dec: (position, d_model) float32."""
        unique, inverse = np.unique(rows.feature, return_inverse=True)
        return decoded(rows, self.decoder_rows(unique, self.index)[torch.from_numpy(inverse)])

    def reconstruct(self, rows: SparseRows, x: Tensor | None = None) -> Tensor:
        """The predicted MLP output (position, d_model) float32: decoded features + b_dec (+ skip of ``x``).

        ``x`` (position, d_model) is the MLP input. Raises UsageError when a skip connection needs it, and for
        a cross-layer transcoder, whose prediction is a sum over the layers below too.
        """
        if self.cross_layer:
            expected = "a per-layer transcoder"
            raise UsageError(f"reconstruction with {self.path}", expected=expected, got="a cross-layer one")
        out = self.decode(rows) + self.b_dec
        if (skip := self.skip) is not None:
            if x is None:
                raise UsageError(
                    f"reconstruction with {self.path}",
                    expected="the MLP input, which the skip reads",
                    got="none",
                )
            out += x.to(self.device, torch.float32) @ skip.T
        require_finite(f"reconstruction with {self.path}", out, ("position", "dimension"))
        return out

    def _preactivations(self, inputs: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """(first feature, pre-activations (position, feature of the chunk)) by chunk, then by prompt."""
        for index, x in enumerate(inputs):
            if x.ndim != 2 or x.shape[1] != self.d_model:
                raise UsageError(
                    f"input {index} of {self.path}",
                    expected=f"(position, {self.d_model})",
                    got=tuple(x.shape),
                )
        rows = [x.to(self.device, torch.float32).contiguous() for x in inputs]
        for start, rows_of in raised(self._file.tensor("W_enc"), self.device):
            weight = rows_of.contiguous()  # so that a layout that has it turned gives the same bits
            bias = self.b_enc[start : start + len(weight)]
            for x in rows:
                pre = torch.addmm(bias, x, weight.T)
                require_finite(
                    f"pre-activations of {self.path}", pre, ("position", "feature"), first=(0, start)
                )
                yield start, pre

    def _activated(self, pre: Tensor, start: int) -> Tensor:
        """Activations of the features from ``start`` on; with top-k, the k largest of this chunk."""
        if self.signed:
            assert self.top_k is not None
            return largest(pre, self.top_k)
        chunk = slice(start, start + pre.shape[1])
        return thresholded(pre, 0.0 if self._threshold is None else self._threshold[chunk])

    def _compress(self, n_positions: int, chunks: Sequence[tuple[Tensor, Tensor, Tensor]]) -> SparseRows:
        """Sparse rows from the (position, feature, value) of all chunks, with top-k the k largest only."""
        position, feature, value = (torch.cat(column).cpu().numpy() for column in zip(*chunks, strict=True))
        order = np.argsort(position, kind="stable")  # chunks ascend in feature already
        position, feature, value = position[order], feature[order], value[order]
        if self.top_k is not None:
            largest_first = np.lexsort((feature, -value, position))
            rank = np.arange(len(position)) - np.searchsorted(position, position)
            kept = np.sort(largest_first[rank < self.top_k])
            position, feature, value = position[kept], feature[kept], value[kept]
        pointer = np.searchsorted(position, np.arange(n_positions + 1))
        return SparseRows(pointer.astype(np.int64), feature.astype(np.int32), value.astype(np.float32))

    def _read(self, name: str) -> Tensor:
        return float32_on(self._file.tensor(name), self.device)

    def _vector(self, name: str, axis: str) -> Tensor:
        """A bias or the thresholds, checked: a comparison with NaN would silence a feature unseen."""
        vector = self._read(name)
        require_finite(f"{name} of {self.path}", vector, (axis,))
        return vector


def _agreed(file: LayerFile, said: Activation, beside: Activation | None) -> Activation:
    """The activation function that config.yaml, the configuration beside a file and its tensors say.

    Raises ModelError where they differ.
    """
    path = str(file.path)
    if beside is not None:
        if said not in (beside, Activation()):
            raise ModelError(path, expected=f"{said}, as config.yaml says", got=f"{beside} beside it")
        said = beside
    jumps = file.has("threshold")
    if said.kind in ("relu", "jumprelu") and jumps != (said.kind == "jumprelu"):
        got = f"{'a' if jumps else 'no'} tensor {file.layout.names(file.layer)['threshold']}"
        raise ModelError(path, expected=f"{said.kind}, as config.yaml says", got=got)
    if file.k is not None and (said.kind != "topk" or file.k != said.top_k):
        got = f"k: {said.top_k}" if said.kind == "topk" else "none of these"
        expected = f"activation: topk and k: {file.k} in config.yaml, as its tensor k says"
        raise ModelError(path, expected=expected, got=got)
    return said
