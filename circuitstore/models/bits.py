"""Tensors as storable arrays and back, exactly. Zarr and NumPy have no bfloat16, so it is kept as its 16 bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

BFLOAT16 = {"encoding": "bfloat16"}


def storable(tensor: Tensor, dims: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    """(dims, array, attributes) of a tensor; bfloat16 becomes uint16 with `encoding: bfloat16`."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return dims, tensor.view(torch.uint16).numpy(), dict(BFLOAT16)
    return dims, tensor.numpy(), {}


def tensor_of(array: np.ndarray, attributes: Mapping[str, object]) -> Tensor:
    """The tensor that `storable` was given, in aligned memory of its own: products of unaligned rows differ in their last bits."""
    tensor = torch.from_numpy(np.ascontiguousarray(array)).clone()
    return tensor.view(torch.bfloat16) if attributes.get("encoding") == "bfloat16" else tensor
