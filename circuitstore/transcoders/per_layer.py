"""Per-layer transcoders: sparse replacements of each MLP, read lazily from a folder of safetensors.

A transcoder reads the *normalised* MLP input x (output of the norm before the MLP) and predicts the MLP
output:

    activation = act(W_enc x + b_enc)          W_enc (feature, d_model)
    prediction = activation W_dec + b_dec      W_dec (feature, d_model)      [+ W_skip x,  W_skip (d_model, d_model)]

with act one of ReLU, JumpReLU (kept where it exceeds a threshold per feature: tensor
``activation_function.threshold``) either of them followed by the k largest of each position (``top_k: k`` in
config.yaml), or the k largest whatever their sign (``activation: topk`` and ``k``). Without ``activation`` a
file with thresholds is JumpReLU, one without is ReLU.

Source: *Transcoders Find Interpretable LLM Feature Circuits* (Dunefsky et al., 2024); skip: *Transcoders Beat
Sparse Autoencoders* (Paulo et al., 2025); JumpReLU: *Jumping Ahead* (Rajamanoharan et al., 2024). The files
are those that circuit-tracer reads. Opening a file maps it into memory: only the rows that are asked for come
from disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from circuitstore.errors import ModelError, UsageError
from circuitstore.models import shards
from circuitstore.models.bits import raised
from circuitstore.models.identity import read_bytes
from circuitstore.transcoders import formats as transcoder_files

INPUT_HOOK, OUTPUT_HOOK, KIND = "mlp.hook_in", "mlp.hook_out", "transcoder_set"
THRESHOLD = "activation_function.threshold"
ACTIVATIONS = ("relu", "jumprelu", "topk")
_DTYPES = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class SparseRows:
    """Active features of one layer, compressed by position (CSR).

    Position p holds entries ``pointer[p]:pointer[p + 1]``; within a position features ascend.
    """

    pointer: np.ndarray  # (position + 1,) int64
    feature: np.ndarray  # (entry,) int32
    value: np.ndarray  # (entry,) float32, activation

    @property
    def position(self) -> np.ndarray:
        """(entry,) int64: the position of every entry."""
        return np.repeat(np.arange(len(self.pointer) - 1), np.diff(self.pointer))


@dataclass(frozen=True)
class Activation:
    """What config.yaml says of the activation function; the rest is in the files (see the top)."""

    kind: str = ""  # "relu", "jumprelu", "topk" or not said
    top_k: int | None = None

    @classmethod
    def of(cls, config: dict, where: str) -> Activation:
        """Raises ModelError for an unknown function, or one without its k."""
        kind = config.get("activation") or ""
        if kind not in ("", *ACTIVATIONS):
            raise ModelError(f"activation in {where}", expected=" or ".join(ACTIVATIONS), got=kind)
        key = "k" if kind == "topk" else "top_k"
        top_k = config.get(key)
        if (top_k is not None or kind == "topk") and (type(top_k) is not int or top_k < 1):
            raise ModelError(
                f"{key} in {where}", expected="a positive integer", got="none" if top_k is None else top_k
            )
        return cls(kind, top_k)


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
        files: Sequence[str] = (),
        layers: Iterable[int] | None = None,
        device: str | torch.device = "cpu",
    ) -> Transcoders:
        """Read config.yaml (optional) and find each layer's file, unless ``files`` says where they are.
        Raises ModelError.

        Only ``layers`` are in use, by default all; the files of others need not be there when ``files`` are
        given.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ModelError(str(folder), expected="a folder of transcoders", got="no such folder")
        config, where = transcoder_files.read_config(folder), str(folder / transcoder_files.CONFIG)
        for key, supported in (
            ("feature_input_hook", INPUT_HOOK),
            ("feature_output_hook", OUTPUT_HOOK),
            ("model_kind", KIND),
        ):
            if config.get(key, supported) != supported:
                raise ModelError(f"{key} in {where}", expected=supported, got=config[key])
        found = [Path(file) for file in files] or _layer_files(folder, config)
        return cls(found, Activation.of(config, where), layers=layers, device=device)

    @property
    def n_layers(self) -> int:
        """How many layers have a transcoder: 0 to n_layers - 1."""
        return len(self.files)

    def layer(self, index: int) -> LayerTranscoder:
        """The transcoder of one layer in use, header checked; weights stay on disk. Raises UsageError,
        ModelError.
        """
        if index not in self.layers:
            in_use = ", ".join(map(str, sorted(self.layers)))
            raise UsageError("transcoder layer", expected=f"one of those in use: {in_use}", got=index)
        if index not in self._layers:
            self._layers[index] = LayerTranscoder(self.files[index], self.activation, device=self.device)
        return self._layers[index]

    def check_fits(self, n_layers: int, d_model: int) -> None:
        """Raise ModelError unless there is one transcoder for each of ``n_layers``, those in use of width
        ``d_model``.
        """
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
    """The transcoder of one layer. Inputs may have any float dtype; everything returned is float32."""

    def __init__(self, path: Path, activation: Activation, *, device: torch.device):
        self.path, self.device, self.top_k, self.signed = (
            path,
            device,
            activation.top_k,
            activation.kind == "topk",
        )
        self._file_of = _files_of(path)
        self.n_features, self.d_model, self.has_skip, self.has_threshold = _check_header(path, self._file_of)
        if activation.kind in ("relu", "jumprelu") and self.has_threshold != (activation.kind == "jumprelu"):
            got = f"{'a' if self.has_threshold else 'no'} tensor {THRESHOLD}"
            raise ModelError(str(path), expected=f"{activation.kind}, as config.yaml says", got=got)

    @cached_property
    def b_enc(self) -> Tensor:
        """Encoder bias (feature,) float32."""
        return self._read("b_enc").float()

    @cached_property
    def b_dec(self) -> Tensor:
        """Decoder bias (d_model,) float32."""
        return self._read("b_dec").float()

    @property
    def skip(self) -> Tensor | None:
        """Skip connection (d_model out, d_model in) float32, applied as ``x @ skip.T``; None when there is
        none.
        """
        return self._read("W_skip").float() if self.has_skip else None

    @cached_property
    def _threshold(self) -> Tensor | None:
        return self._read(THRESHOLD).float() if self.has_threshold else None

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
        found: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in inputs]
        prompt = -1
        for start, pre in self._preactivations(inputs):
            prompt = (prompt + 1) % len(inputs)
            values = self._activated(pre, start)
            position, feature = values.nonzero(as_tuple=True)
            found[prompt].append((position, feature + start, values[position, feature]))
        return [self._compress(len(x), chunks) for x, chunks in zip(inputs, found, strict=True)]

    def activation_of(self, x: Tensor, features: np.ndarray | Tensor) -> Tensor:
        """Activation of one feature for each input: x (entry, d_model), ids (entry,) → (entry,) float32."""
        if self.top_k is not None:  # which depends on all features
            return self.encode(x)[torch.arange(len(x)), torch.as_tensor(features)]
        ids = torch.as_tensor(features)
        pre = (x.to(self.device, torch.float32) * self.encoder_rows(ids)).sum(1) + self.b_enc[ids]
        return pre * (pre > self.threshold_of(ids))

    def activations_of(self, x: Tensor, features: np.ndarray | Tensor) -> Tensor:
        """Activations of a few features, each in inputs of its own: x (feature, entry, d_model), ids →
        (feature, entry) float32.
        """
        ids = torch.as_tensor(features)
        if self.top_k is not None:  # which depends on all features
            return torch.stack([self.encode(inputs)[:, i] for inputs, i in zip(x, ids, strict=True)])
        pre = (x.to(self.device, torch.float32) @ self.encoder_rows(ids)[:, :, None])[..., 0] + self.b_enc[
            ids, None
        ]
        return pre * (pre > self.threshold_of(ids)[:, None])

    def threshold_of(self, features: np.ndarray | Tensor) -> Tensor:
        """What a pre-activation must exceed: ids (entry,) → (entry,) float32, 0 but for JumpReLU."""
        ids = torch.as_tensor(features)
        return torch.zeros(len(ids), device=self.device) if self._threshold is None else self._threshold[ids]

    def encoder_rows(self, features: np.ndarray | Tensor) -> Tensor:
        """W_enc[features]: (entry,) ids → (entry, d_model) float32; only these rows are read."""
        return self._rows("W_enc", features)

    def decoder_rows(self, features: np.ndarray | Tensor) -> Tensor:
        """W_dec[features]: (entry,) ids → (entry, d_model) float32; only these rows are read."""
        return self._rows("W_dec", features)

    def decode(self, rows: SparseRows) -> Tensor:
        """Decoded features alone, activation · W_dec: (position, d_model) float32."""
        unique, inverse = np.unique(rows.feature, return_inverse=True)
        decoders = self.decoder_rows(unique)
        index, value = torch.from_numpy(inverse).to(self.device), torch.from_numpy(rows.value).to(self.device)
        bounds = zip(rows.pointer[:-1].tolist(), rows.pointer[1:].tolist(), strict=True)
        return torch.stack([value[start:stop] @ decoders[index[start:stop]] for start, stop in bounds])

    def reconstruct(self, rows: SparseRows, x: Tensor | None = None) -> Tensor:
        """The predicted MLP output (position, d_model) float32: decoded features + b_dec (+ skip of the input
        ``x``).
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
        return out

    def _preactivations(self, inputs: Sequence[Tensor]):
        """Yield (first feature, (position, features of the chunk)) chunk by chunk, prompt by prompt within a
        chunk.
        """
        for index, x in enumerate(inputs):
            if x.ndim != 2 or x.shape[1] != self.d_model:
                raise UsageError(
                    f"input {index} of {self.path}",
                    expected=f"(position, {self.d_model})",
                    got=tuple(x.shape),
                )
        rows = [x.to(self.device, torch.float32).contiguous() for x in inputs]
        for start, weight in raised(self._map("W_enc"), self.device):
            bias = self.b_enc[start : start + len(weight)]
            for x in rows:
                yield start, torch.addmm(bias, x, weight.T)

    def _activated(self, pre: Tensor, start: int) -> Tensor:
        """Activations of a chunk (position, features of it) in place of its pre-activations; of top-k, the
        chunk's own largest.
        """
        if self.signed:
            assert self.top_k is not None
            largest = pre.topk(min(self.top_k, pre.shape[1]), dim=1).indices
            return torch.zeros_like(pre).scatter_(1, largest, pre.gather(1, largest))
        return pre.mul_(
            pre > (0 if self._threshold is None else self._threshold[start : start + pre.shape[1]])
        )

    def _compress(self, n_positions: int, chunks: Sequence[tuple[Tensor, Tensor, Tensor]]) -> SparseRows:
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

    def _rows(self, name: str, features: np.ndarray | Tensor) -> Tensor:
        ids = torch.as_tensor(np.asarray(features, dtype=np.int64))
        if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < self.n_features):
            raise UsageError(
                f"features of {self.path}",
                expected=f"0 to {self.n_features - 1}",
                got=[int(ids.min()), int(ids.max())],
            )
        return self._map(name)[ids].to(self.device, torch.float32)

    def _map(self, name: str) -> Tensor:
        with safe_open(self._file_of[name], framework="pt") as file:
            return file.get_tensor(name)

    def _read(self, name: str) -> Tensor:
        return self._map(name).to(self.device)


def _layer_files(folder: Path, config: dict) -> list[Path]:
    entries = transcoder_files.listed(config, str(folder / transcoder_files.CONFIG))
    if entries is None:
        return [
            folder / name
            for name in transcoder_files.layers((path.name for path in folder.iterdir()), str(folder))
        ]
    return [_listed_file(folder, entry) for entry in entries]


def _listed_file(folder: Path, entry: transcoder_files.Entry) -> Path:
    """A listed file: a path relative to the folder, or an address of the hub whose repository was downloaded
    here.
    """
    path = folder / entry.path
    if not path.is_file():
        remedy = "download the whole repository into the folder" if entry.repo else None
        raise ModelError(
            str(path), expected="a safetensors file that config.yaml lists", got="no such file", remedy=remedy
        )
    return path


def _files_of(path: Path) -> dict[str, Path]:
    """Tensor → the file that holds it: this one, or the one that this index names."""
    if path.name.endswith(shards.INDEX):
        named = shards.weight_map(read_bytes(str(path)), str(path))
        return {tensor: path.with_name(file) for tensor, file in named.items()}
    with _opened(path) as file:
        return dict.fromkeys(file.keys(), path)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ModelError(
            str(path), expected="a readable safetensors file", got=str(error).splitlines()[0]
        ) from error


def _check_header(path: Path, file_of: dict[str, Path]) -> tuple[int, int, bool, bool]:
    """(n_features, d_model, has a skip, has thresholds), after checking every tensor's shape and dtype."""
    shapes, dtypes = {}, {}
    for path_of_some in sorted(set(file_of.values())):
        with _opened(path_of_some) as file:
            for name in (name for name, found in file_of.items() if found == path_of_some):
                tensor = file.get_slice(name)
                shapes[name], dtypes[name] = tuple(tensor.get_shape()), tensor.get_dtype()
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        if name not in shapes:
            raise ModelError(
                str(path), expected=f"a tensor {name}", got=", ".join(sorted(shapes)) or "no tensors"
            )
    if len(shapes["b_enc"]) != 1 or len(shapes["b_dec"]) != 1:
        raise ModelError(
            str(path), expected="vectors b_enc and b_dec", got=f"{shapes['b_enc']} and {shapes['b_dec']}"
        )
    (n_features,), (d_model,) = shapes["b_enc"], shapes["b_dec"]
    expected = {
        "W_enc": (n_features, d_model),
        "W_dec": (n_features, d_model),
        "W_skip": (d_model, d_model),
        THRESHOLD: (n_features,),
    }
    for name, shape in expected.items():
        if name in shapes and shapes[name] != shape:
            turned = "transpose it: rows are features" if shapes[name] == shape[::-1] else None
            raise ModelError(f"{name} in {path}", expected=shape, got=shapes[name], remedy=turned)
    for name in (*expected, "b_enc", "b_dec"):
        if dtypes.get(name, "F32") not in _DTYPES:
            raise ModelError(f"{name} in {path}", expected=" or ".join(_DTYPES), got=dtypes[name])
    return n_features, d_model, "W_skip" in shapes, THRESHOLD in shapes
