"""What active features write: activation · W_dec, a few positions at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitstore.transcoders.sparse import SparseRows

# Positions that are decoded by one product. The number is a constant, because it decides the last bits.
DECODED_POSITIONS = 16


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
