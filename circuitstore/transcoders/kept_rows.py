"""Encoder or decoder rows of the features that one prompt asks for, again and again, read once.

Rows lie scattered in large files. They are kept as they are stored, on the device, as long as all of them
take no more than a bound. What goes beyond it is read again each time.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.transcoders.per_layer import Transcoders


class KeptRows:
    """The rows of one matrix, "W_enc" or "W_dec", of all layers' transcoders."""

    def __init__(self, transcoders: Transcoders, name: str, most: int):
        """``most`` bytes of rows are kept, about."""
        self.transcoders, self.name, self.most = transcoders, name, most
        # (layer, layer written to) → ids, ascending, and rows
        self._kept: dict[tuple[int, int | None], tuple[NDArray[np.int64], Tensor]] = {}
        self._size = 0

    def rows(self, layer: int, features: NDArray[np.integer], to: int | None = None) -> Tensor:
        """Rows of one layer: ids (entry,) → (entry, d_model) float32.

        ``to`` is the layer that rows of W_dec write to, by default their own.
        """
        asked, place = np.unique(features.astype(np.int64), return_inverse=True)
        known, rows = self._kept.get((layer, to), (asked[:0], None))
        missing = np.setdiff1d(asked, known, assume_unique=True)
        if len(missing) or rows is None:
            read = self.transcoders.layer(layer).stored_rows(self.name, missing, to)
            known, rows = _merged(known, rows, missing, read)
            if self._size + read.nbytes <= self.most:
                self._size += read.nbytes
                self._kept[layer, to] = (known, rows)
        return rows[torch.from_numpy(np.searchsorted(known, asked)[place])].float()


def _merged(
    known: NDArray[np.int64], rows: Tensor | None, missing: NDArray[np.int64], read: Tensor
) -> tuple[NDArray[np.int64], Tensor]:
    """Ids, ascending, and rows of both."""
    if rows is None:
        return missing, read
    together = np.concatenate([known, missing])
    order = np.argsort(together, kind="stable")
    return together[order], torch.cat([rows, read])[torch.from_numpy(order)]
