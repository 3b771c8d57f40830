"""Tensors between dtypes: as storable arrays and back, and half precision raised to float32 by rows.

Zarr and NumPy have no bfloat16, so it is kept as its 16 bits. Nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.models.raising import RAISED_BYTES, RAISED_BYTES_ELSEWHERE
from circuitstore.models.upload import uploaded

BFLOAT16 = {"encoding": "bfloat16"}


def storable(tensor: Tensor, dims: tuple[str, ...]) -> tuple[tuple[str, ...], NDArray[Any], dict[str, str]]:
    """(dims, array, attributes) of a tensor; bfloat16 becomes uint16 with the attribute `BFLOAT16`."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return dims, tensor.view(torch.uint16).numpy(), dict(BFLOAT16)
    return dims, tensor.numpy(), {}


def tensor_of(array: NDArray[Any], attributes: Mapping[str, object]) -> Tensor:
    """The tensor that `storable` was given, in aligned memory of its own.

    Memory is copied because products of unaligned rows differ in their last bits.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array)).clone()
    return tensor.view(torch.bfloat16) if attributes.get("encoding") == "bfloat16" else tensor


def float32_on(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` as float32 on ``device``. It travels in its own dtype, and is raised where it arrives."""
    return tensor.to(device).float()


def raised(matrix: Tensor, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """(first row, rows (row, column) float32 on ``device``) of a matrix, a few rows at a time.

    There is never a second copy of the whole matrix. The next rows overwrite the memory of those before. How
    many rows come at once depends on the number of columns and the kind of device alone, because it decides
    the last bits of products.
    """
    count = max(RAISED_BYTES.get(device.type, RAISED_BYTES_ELSEWHERE) // (4 * matrix.shape[1]), 1)
    parts: Iterator[tuple[int, Tensor]]
    parts = ((start, matrix[start : start + count]) for start in range(0, len(matrix), count))
    if matrix.device.type == "cpu" and device.type == "cuda":
        parts = uploaded(parts, device)
    if matrix.dtype == torch.float32:
        yield from parts
        return
    memory = torch.empty(min(count, len(matrix)), matrix.shape[1], device=device)
    for start, rows in parts:
        yield start, memory[: len(rows)].copy_(rows)
