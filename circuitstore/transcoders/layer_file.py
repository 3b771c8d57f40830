"""The file of one layer's transcoder: its header is checked at once, its weights are read when needed.

A layer lies in one safetensors file, or in several with an index. Opening a file maps it into memory, so only
the rows that are asked for come from disk.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from circuitstore.errors import ModelError, some_of
from circuitstore.models import shards
from circuitstore.models.config import read_bytes
from circuitstore.transcoders.formats import TENSORS, THRESHOLD, K

REQUIRED = ("W_enc", "b_enc", "W_dec", "b_dec")
KNOWN = (*TENSORS.values(), K)
DTYPES = ("F32", "F16", "BF16")  # as safetensors calls them

Shape = tuple[int, ...]


class LayerFile:
    """The file, or the index, of one layer. Raises ModelError for a missing, misshapen or unknown tensor."""

    def __init__(self, path: Path):
        self.path = path
        self._file_of = _file_of(path)
        shapes, dtypes = _headers(self._file_of)
        self.n_features, self.d_model = _check_shapes(path, shapes)
        _check_dtypes(path, dtypes)
        self.has_skip, self.has_threshold = "W_skip" in shapes, THRESHOLD in shapes
        self.k = int(self.tensor(K)) if K in shapes else None

    def tensor(self, name: str) -> Tensor:
        """A tensor as it is stored, mapped into memory: nothing is read before it is used."""
        with safe_open(self._file_of[name], framework="pt") as file:
            stored: Tensor = file.get_tensor(name)
        return stored


def _file_of(path: Path) -> dict[str, Path]:
    """Tensor → the file that holds it: this one, or the one that this index names."""
    if path.name.endswith(shards.INDEX):
        names = shards.weight_map(read_bytes(path), str(path))
        return {tensor: path.with_name(name) for tensor, name in names.items()}
    with shards.opened(path) as file:
        return dict.fromkeys(file.keys(), path)


def _headers(file_of: dict[str, Path]) -> tuple[dict[str, Shape], dict[str, str]]:
    """The shape and the dtype of every tensor. Raises ModelError for a tensor that would be ignored."""
    shapes, dtypes = {}, {}
    for path in sorted(set(file_of.values())):
        with shards.opened(path) as file:
            listed = [name for name, holder in file_of.items() if holder == path]
            _check_known(path, {*file.keys(), *listed}, file_of)
            for name in listed:
                tensor = file.get_slice(name)
                shapes[name], dtypes[name] = tuple(tensor.get_shape()), tensor.get_dtype()
    return shapes, dtypes


def _check_known(path: Path, names: set[str], file_of: dict[str, Path]) -> None:
    """Raise ModelError for a tensor that is not understood, or that the index of the layer leaves out."""
    ignored = [name for name in names if name not in KNOWN or not (name in file_of or name in REQUIRED)]
    if ignored:
        got = f"also {some_of(sorted(ignored), 3, ', ')}"
        raise ModelError(str(path), expected="no tensors but " + ", ".join(KNOWN), got=got)


def _check_shapes(path: Path, shapes: dict[str, Shape]) -> tuple[int, int]:
    """(n_features, d_model), once every tensor that a transcoder needs is there and of the right shape."""
    for name in REQUIRED:
        if name not in shapes:
            got = ", ".join(sorted(shapes)) or "no tensors"
            raise ModelError(str(path), expected=f"a tensor {name}", got=got)
    if len(shapes["b_enc"]) != 1 or len(shapes["b_dec"]) != 1:
        got = f"{shapes['b_enc']} and {shapes['b_dec']}"
        raise ModelError(str(path), expected="vectors b_enc and b_dec", got=got)
    (n_features,), (d_model,) = shapes["b_enc"], shapes["b_dec"]
    expected: dict[str, Shape] = {
        "W_enc": (n_features, d_model),
        "W_dec": (n_features, d_model),
        "W_skip": (d_model, d_model),
        THRESHOLD: (n_features,),
        K: (),
    }
    for name, shape in expected.items():
        if name in shapes and shapes[name] != shape:
            remedy = "transpose it: rows are features" if shapes[name] == shape[::-1] else None
            raise ModelError(f"{name} in {path}", expected=shape, got=shapes[name], remedy=remedy)
    return n_features, d_model


def _check_dtypes(path: Path, dtypes: dict[str, str]) -> None:
    for name in (*REQUIRED, "W_skip", THRESHOLD):
        if dtypes.get(name, "F32") not in DTYPES:
            raise ModelError(f"{name} in {path}", expected=" or ".join(DTYPES), got=dtypes[name])
