"""Transcoders of a model: one a layer, of all layers or of some, read lazily from a folder in any layout.

Each layer's transcoder (`layer`) has an encoder, and reads and writes where the set says
(`circuitstore.models.hooks`). Of *per-layer* transcoders, the features of a layer predict the output of its
MLP. Features of *cross-layer* transcoders write to all layers from their own on, and the MLP output of layer
l is predicted by the features of all layers up to l together:

    prediction_l = Σ_{i ≤ l} activation_i W_dec_i[l] + b_dec_l [+ W_skip_l x_l]

The activation function is ReLU, JumpReLU or top-k (`activation`). JumpReLU has a threshold per feature. ReLU
and JumpReLU may be followed by a choice of the k largest activations of each position (``top_k: k`` in
config.yaml). Top-k keeps the k largest whatever their sign (``activation: topk`` and ``k``). Without
``activation`` in config.yaml, a file with thresholds is JumpReLU and one without is ReLU.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Cross-layer transcoders".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from circuitstore.errors import ModelError, UsageError
from circuitstore.transcoders import formats
from circuitstore.transcoders.formats import Activation
from circuitstore.transcoders.layer import Ids as Ids
from circuitstore.transcoders.layer import LayerTranscoder as LayerTranscoder
from circuitstore.transcoders.layer_file import hooks_beside


class Transcoders:
    """One transcoder a layer, of one folder. Nothing but config.yaml is read until a layer is asked for."""

    def __init__(
        self,
        files: Sequence[Path | None],
        config: Mapping[str, Any],
        *,
        where: str = formats.CONFIG,
        k: int | None = None,
        layers: Iterable[int] | None = None,
        device: str | torch.device = "cpu",
    ):
        """``files`` has an entry for each layer of the model, None for one without a transcoder.

        ``config`` is the mapping of a config.yaml, checked, and ``where`` what errors call it.
        """
        self.files, self.device, self.where = tuple(files), torch.device(device), where
        there = {index for index, file in enumerate(files) if file is not None}
        self.layers = frozenset(there if layers is None else layers)
        if missing := sorted(layer for layer in self.layers - there if layer < len(files)):
            some = ",".join(map(str, sorted(there)))
            raise ModelError(
                f"transcoders in {where}",
                expected=f"a transcoder of layer {missing[0]}",
                got=f"null; there are those of layers {some}",
                remedy=f"--set activations.layers={some}",
            )
        self.activation, self.kind = Activation.of(dict(config), where, k), config.get("model_kind")
        first = self._file(min(self.layers or there))
        self.hooks = formats.hooks(dict(config), first.name, hooks_beside(first), where)
        self._layers: dict[int, LayerTranscoder] = {}

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        files: Sequence[str | Path | None] = (),
        k: int | None = None,
        layers: Iterable[int] | None = None,
        device: str | torch.device = "cpu",
    ) -> Transcoders:
        """Read config.yaml (optional) and find the file of each layer. Raises ModelError.

        ``files`` says where the file of each layer is, None for one without a transcoder; by default they are
        looked for in the folder. ``k`` is that of top-k transcoders whose config.yaml does not say it. Only
        ``layers`` are in use, by default all that have a transcoder. The files of other layers need not be
        there when ``files`` are given.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ModelError(str(folder), expected="a folder of transcoders", got="no such folder")
        config, where = formats.read_config(folder), str(folder / formats.CONFIG)
        formats.check_supported(config, where, k)
        given = [None if file is None else Path(file) for file in files]
        paths = given or formats.layer_paths(folder, config)
        return cls(paths, config, where=where, k=k, layers=layers, device=device)

    @property
    def n_layers(self) -> int:
        """How many layers the model has that they are for; some may have no transcoder."""
        return len(self.files)

    def layer(self, index: int) -> LayerTranscoder:
        """The transcoder of one layer in use. Raises UsageError for another layer, ModelError for its file.

        The header of its file has been checked; the weights stay on disk.
        """
        if index not in self.layers:
            in_use = ", ".join(map(str, sorted(self.layers)))
            raise UsageError("transcoder layer", expected=f"one of those in use: {in_use}", got=index)
        if index not in self._layers:
            layer = LayerTranscoder(self._file(index), index, self.activation, device=self.device)
            self._check_as_said(layer)
            self._layers[index] = layer
        return self._layers[index]

    @property
    def cross_layer(self) -> bool:
        """Whether features write to the layers above their own too."""
        return bool(self.layers) and self.layer(min(self.layers)).cross_layer

    def written_by(self, layer: int) -> range:
        """The layers that the features of a layer in use write to, ascending."""
        return range(layer, self.n_layers if self.cross_layer else layer + 1)

    def writing_to(self, layer: int) -> list[int]:
        """The layers in use whose features write to a layer, ascending."""
        first = 0 if self.cross_layer else layer
        return [index for index in range(first, layer + 1) if index in self.layers]

    def _file(self, index: int) -> Path:
        file = self.files[index]
        assert file is not None, f"layer {index} in use without a file"
        return file

    def _check_as_said(self, layer: LayerTranscoder) -> None:
        """Raise ModelError for a layer that is not of the kind, or at the hooks, of the others."""
        kind = formats.CROSS_LAYER if layer.cross_layer else formats.PER_LAYER
        first = next(iter(self._layers.values()), layer)
        if self.kind not in (None, kind) or layer.cross_layer != first.cross_layer:
            expected = f"a {self.kind or 'layer like the others'}, as {self.where} says"
            raise ModelError(str(layer.path), expected=expected, got=kind)
        if layer.hooks not in (None, self.hooks):
            expected = f"{self.hooks.reads} and {self.hooks.writes}, as the other layers"
            got = f"{layer.hooks.reads} and {layer.hooks.writes}" if layer.hooks else "none"
            raise ModelError(str(layer.path), expected=expected, got=got)

    def check_fits(self, n_layers: int, d_model: int) -> None:
        """Raise ModelError unless they are for so many layers, and those in use have the model's width."""
        if self.n_layers != n_layers:
            raise ModelError(
                "transcoders", expected=f"{n_layers} layers, as the model has", got=f"{self.n_layers} layers"
            )
        for index in sorted(self.layers):
            if (got := self.layer(index).d_model) != d_model:
                raise ModelError(
                    str(self.files[index]), expected=f"d_model {d_model}, as the model has", got=got
                )
            self.layer(index).check_targets(n_layers)
