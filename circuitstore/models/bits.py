"""Tensors between dtypes: as storable arrays and back, exactly, and half precision raised to float32 a few
rows at a time.

Zarr and NumPy have no bfloat16, so it is kept as its 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

BFLOAT16 = {"encoding": "bfloat16"}
RAISED_BYTES = {
    "cpu": 1 << 21
}  # raised rows that stay in the cache are read from there: eleven times faster than through memory
RAISED_BYTES_ELSEWHERE = 1 << 26  # an accelerator wants few large products


def storable(tensor: Tensor, dims: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    """(dims, array, attributes) of a tensor; bfloat16 becomes uint16 with `encoding: bfloat16`."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return dims, tensor.view(torch.uint16).numpy(), dict(BFLOAT16)
    return dims, tensor.numpy(), {}


def tensor_of(array: np.ndarray, attributes: Mapping[str, object]) -> Tensor:
    """The tensor that `storable` was given, in aligned memory of its own: products of unaligned rows differ
    in their last bits.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array)).clone()
    return tensor.view(torch.bfloat16) if attributes.get("encoding") == "bfloat16" else tensor


def raised(matrix: Tensor, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """(first row, rows (row, column) float32 on ``device``) of a matrix, a few at a time: never a second copy
    of the whole.

    Rows are good until the next are asked for: they lie in the same place. How many there are depends on the
    number of columns and the kind of device alone, since it decides the last bits of products.
    """
    count = max(RAISED_BYTES.get(device.type, RAISED_BYTES_ELSEWHERE) // (4 * matrix.shape[1]), 1)
    if matrix.dtype == torch.float32 and matrix.device == device:
        yield from ((start, matrix[start : start + count]) for start in range(0, len(matrix), count))
        return
    room = torch.empty(min(count, len(matrix)), matrix.shape[1], device=device)
    for start in range(0, len(matrix), count):
        rows = matrix[start : start + count]
        yield start, room[: len(rows)].copy_(rows)
