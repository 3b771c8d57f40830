"""Per-layer transcoders: sparse replacements of each MLP, read lazily from a folder of safetensors.

A transcoder reads the *normalised* MLP input x (the output of the norm before the MLP) and predicts the MLP
output:

    activation = act(W_enc x + b_enc)                   W_enc (feature, d_model)
    prediction = activation W_dec + b_dec [+ W_skip x]  W_dec (feature, d_model), W_skip (d_model, d_model)

The activation function act is ReLU, JumpReLU or top-k (`activation`). JumpReLU has a threshold per feature,
the tensor ``activation_function.threshold``. ReLU and JumpReLU may be followed by a choice of the k largest
activations of each position (``top_k: k`` in config.yaml). Top-k keeps the k largest whatever their sign
(``activation: topk`` and ``k``). Without ``activation`` in config.yaml, a file with thresholds is JumpReLU
and one without is ReLU.

Sources: *Transcoders Find Interpretable LLM Feature Circuits* (Dunefsky et al., 2024); the skip connection:
*Transcoders Beat Sparse Autoencoders for Interpretability* (Paulo et al., 2025).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
from circuitstore.transcoders import formats
from circuitstore.transcoders.activation import largest, thresholded
from circuitstore.transcoders.formats import Activation
from circuitstore.transcoders.layer_file import LayerFile
from circuitstore.transcoders.sparse import SparseRows

Ids = NDArray[np.integer] | Sequence[int] | Tensor  # of features
# Positions that are decoded by one product. The number is a constant, because it decides the last bits.
DECODED_POSITIONS = 16


class Transcoders:
    """One transcoder a layer, of one folder. Nothing but config.yaml is read until a layer is asked for."""

    def __init__(
        self,
        files: Sequence[Path],
        activation: Activation,
        *,
        layers: Iterable[int] | None = None,
        device: str | torch.device = "cpu",
    ):
        self.files, self.activation, self.device = tuple(files), activation, torch.device(device)
        self.layers = frozenset(range(len(files)) if layers is None else layers)
        self._layers: dict[int, LayerTranscoder] = {}

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        files: Sequence[str | Path] = (),
        layers: Iterable[int] | None = None,
        device: str | torch.device = "cpu",
    ) -> Transcoders:
        """Read config.yaml (optional) and find the file of each layer. Raises ModelError.

        ``files`` says where the file of each layer is; by default they are looked for in the folder. Only
        ``layers`` are in use, by default all. The files of other layers need not be there when ``files`` are
        given.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ModelError(str(folder), expected="a folder of transcoders", got="no such folder")
        config, where = formats.read_config(folder), str(folder / formats.CONFIG)
        formats.check_supported(config, where)
        paths = [Path(file) for file in files] or formats.layer_paths(folder, config)
        return cls(paths, Activation.of(config, where), layers=layers, device=device)

    @property
    def n_layers(self) -> int:
        """How many layers have a transcoder: 0 to n_layers - 1."""
        return len(self.files)

    def layer(self, index: int) -> LayerTranscoder:
        """The transcoder of one layer in use. Raises UsageError for another layer, ModelError for its file.

        The header of its file has been checked; the weights stay on disk.
        """
        if index not in self.layers:
            in_use = ", ".join(map(str, sorted(self.layers)))
            raise UsageError("transcoder layer", expected=f"one of those in use: {in_use}", got=index)
        if index not in self._layers:
            self._layers[index] = LayerTranscoder(self.files[index], self.activation, device=self.device)
        return self._layers[index]

    def check_fits(self, n_layers: int, d_model: int) -> None:
        """Raise ModelError unless every layer has a transcoder, and those in use have the model's width."""
        if self.n_layers != n_layers:
            raise ModelError(
                "transcoders", expected=f"{n_layers} layers, as the model has", got=f"{self.n_layers} layers"
            )
        for index in sorted(self.layers):
            if (got := self.layer(index).d_model) != d_model:
                raise ModelError(
                    str(self.files[index]), expected=f"d_model {d_model}, as the model has", got=got
                )


class LayerTranscoder:
    """The transcoder of one layer. Inputs may have any float dtype; everything returned is float32.

    Whatever reads a weight or encodes an input raises NonFiniteError for a NaN or an infinity.
    """

    def __init__(self, path: Path, said: Activation, *, device: torch.device):
        self.path, self.device, self.top_k, self.signed = path, device, said.top_k, said.kind == "topk"
        self._file = LayerFile(path)
        self.n_features, self.d_model = self._file.n_features, self._file.d_model
        if said.kind in ("relu", "jumprelu") and self._file.has_threshold != (said.kind == "jumprelu"):
            got = f"{'a' if self._file.has_threshold else 'no'} tensor {formats.THRESHOLD}"
            raise ModelError(str(path), expected=f"{said.kind}, as config.yaml says", got=got)
        if self._file.k is not None and (said.kind != "topk" or self._file.k != said.top_k):
            got = f"k: {said.top_k}" if said.kind == "topk" else "none of these"
            expected = f"activation: topk and k: {self._file.k} in config.yaml, as its tensor k says"
            raise ModelError(str(path), expected=expected, got=got)

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
        return self._read("W_skip") if self._file.has_skip else None

    @cached_property
    def _threshold(self) -> Tensor | None:
        return self._vector(formats.THRESHOLD, "feature") if self._file.has_threshold else None

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

    def decoder_rows(self, features: Ids) -> Tensor:
        """W_dec[features]: (entry,) ids → (entry, d_model) float32; only these rows are read."""
        return self.stored_rows("W_dec", features).float()

    def stored_rows(self, name: str, features: Ids) -> Tensor:
        """Rows of "W_enc" or "W_dec" on the device, as they are stored: (entry,) ids → (entry, d_model)."""
        ids = torch.as_tensor(np.asarray(features, dtype=np.int64))
        if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < self.n_features):
            raise UsageError(
                f"features of {self.path}",
                expected=f"0 to {self.n_features - 1}",
                got=[int(ids.min()), int(ids.max())],
            )
        rows = self._file.tensor(name)[ids].to(self.device)
        require_finite(f"{name} of {self.path} in rows of active features", rows, ("row", "dimension"))
        return rows

    def decode(self, rows: SparseRows) -> Tensor:
        """Decoded features alone, activation · W_dec: (position, d_model) float32."""
        unique, inverse = np.unique(rows.feature, return_inverse=True)
        return decoded(rows, self.decoder_rows(unique)[torch.from_numpy(inverse)])

    def reconstruct(self, rows: SparseRows, x: Tensor | None = None) -> Tensor:
        """The predicted MLP output (position, d_model) float32: decoded features + b_dec (+ skip of ``x``).

        ``x`` (position, d_model) is the MLP input. Raises UsageError when a skip connection needs it.
        """
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
        for start, weight in raised(self._file.tensor("W_enc"), self.device):
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


def decoded(rows: SparseRows, decoders: Tensor) -> Tensor:
    """activation · W_dec: active features and the decoder row of each (entry, d_model) → (position, d_model).

    A few positions are one product with the rows of all of them, in which each has zeros for the others.
    """
    value, position = torch.from_numpy(rows.value), torch.from_numpy(rows.position)
    sums = [decoders.new_zeros(0, decoders.shape[1])]
    for start in range(0, rows.n_positions, DECODED_POSITIONS):
        stop = min(start + DECODED_POSITIONS, rows.n_positions)
        entries = slice(int(rows.pointer[start]), int(rows.pointer[stop]))
        place = position[entries] - start
        weights = torch.zeros(stop - start, len(place))
        weights[place, torch.arange(len(place))] = value[entries]
        sums.append(weights.to(decoders.device) @ decoders[entries])
    return torch.cat(sums)
