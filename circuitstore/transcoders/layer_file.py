"""The file of one layer's transcoder: its header is checked at once, its weights are read when needed.

A layer lies in one safetensors file, in several with an index, in two (a cross-layer transcoder's encoder and
decoder), or in an archive of NumPy's. Opening a file maps it into memory, so only the rows that are asked for
come from disk. Whatever the layout (`layouts`), tensors are given as circuit-tracer's own lie.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from circuitstore.errors import ModelError, some_of
from circuitstore.models import shards
from circuitstore.models.config import parse_config, read_bytes
from circuitstore.models.hooks import Hooks
from circuitstore.transcoders import companions, formats, npz
from circuitstore.transcoders.companions import Said
from circuitstore.transcoders.layouts import ALL, NEEDED, OWN, Shape, recognise


class LayerFile:
    """The files of one layer. Raises ModelError for a missing, misshapen or unknown tensor."""

    def __init__(self, path: Path, layer: int = 0):
        self.path, self.layer = path, layer
        self._archive = npz.members(path) if path.suffix == formats.ARCHIVE else {}
        self._file_of = {} if self._archive else _files_of(path)
        shapes, dtypes = _headers(self._file_of)
        for name, member in self._archive.items():
            shapes[name], dtypes[name] = member.shape, member.stored_as
        companion = formats.companion_of(path)
        self._recognised = recognise(
            shapes,
            dtypes,
            str(path),
            layer=layer,
            npz=bool(self._archive),
            companion=companion is not None,
        )
        self.layout = self._recognised.layout
        self.companion = companion
        self.n_features, self.d_model = self._recognised.n_features, self._recognised.d_model
        self.n_targets = self._recognised.n_targets
        self.has = self._recognised.has
        self.k = int(self.tensor("k")) if self.has("k") else None

    def tensor(self, role: str) -> Tensor:
        """A tensor as it is stored, mapped into memory: nothing is read before it is used."""
        stored = self._stored(self._recognised.names[role])
        return stored.T if role in self.layout.turned else stored

    def decoder(self, to: int) -> Tensor:
        """The decoder that writes to layer ``to``: (feature, d_model)."""
        stored = self.tensor("W_dec")
        if self.layout.targets == OWN:
            return stored
        return stored[:, to if self.layout.targets == ALL else to - self.layer]

    def _stored(self, name: str) -> Tensor:
        if self._archive:
            return torch.from_numpy(np.asarray(npz.array(self.path, name, self._archive[name])))
        with safe_open(self._file_of[name], framework="pt") as file:
            stored: Tensor = file.get_tensor(name)
        return stored


def hooks_beside(path: Path) -> Hooks | None:
    """The hooks that the configuration beside a file states, if there is one. Raises ModelError."""
    companion = formats.companion_of(path)
    return None if companion is None else _read(companion).hooks


def said_beside(file: LayerFile) -> Said | None:
    """What the configuration beside a file says, which must be what its tensors say. Raises ModelError."""
    if file.companion is None:
        return None
    said = _read(file.companion)
    where, layout = str(file.companion), file.layout
    if layout not in said.layouts:
        expected = f"tensors of {' or '.join(each.name for each in said.layouts)}, as {where} says"
        raise ModelError(str(file.path), expected=expected, got=f"those of {layout.name}")
    for role, stated in (("threshold", said.jumps), ("W_skip", said.skip)):
        if stated is not None and stated != file.has(role):
            name = layout.names(file.layer).get(role, role)
            expected, got = ("a", "none") if stated else ("no", "one")
            raise ModelError(str(file.path), expected=f"{expected} tensor {name}, as {where} says", got=got)
    if said.n_features not in (None, file.n_features):
        expected = f"{said.n_features} features, as {where} says"
        raise ModelError(str(file.path), expected=expected, got=file.n_features)
    return said


def _read(companion: Path) -> Said:
    config = parse_config(read_bytes(companion), str(companion))
    return companions.said(config, str(companion), companion.parent.name)


def _files_of(path: Path) -> dict[str, Path]:
    """Tensor → the file that holds it: this one, its partner, or the one that this index names."""
    if path.name.endswith(shards.INDEX):
        names = shards.weight_map(read_bytes(path), str(path))
        return {tensor: path.with_name(name) for tensor, name in names.items()}
    found: dict[str, Path] = {}
    for each in (path, *map(path.with_name, formats.partners(path.name))):
        with shards.opened(each) as file:
            found |= dict.fromkeys(file.keys(), each)
    return found


def _headers(file_of: dict[str, Path]) -> tuple[dict[str, Shape], dict[str, str]]:
    """The shape and the dtype of every tensor. Raises ModelError for a tensor that an index leaves out."""
    shapes, dtypes = {}, {}
    for path in sorted(set(file_of.values())):
        with shards.opened(path) as file:
            listed = [name for name, holder in file_of.items() if holder == path]
            left_out = sorted({*file.keys()} - set(file_of) - set(NEEDED))
            if left_out:
                got = f"also {some_of(left_out, 3, ', ')}"
                raise ModelError(str(path), expected="no tensors but those that its index names", got=got)
            for name in listed:
                tensor = file.get_slice(name)
                shapes[name], dtypes[name] = tuple(tensor.get_shape()), tensor.get_dtype()
    return shapes, dtypes
