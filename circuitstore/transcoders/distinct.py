"""Which features of a transcoder are one feature twice: twins, that read and write the same directions.

Twins are active together, so they add to every count of features and split every attribution and every
control between them. Published transcoders have some, and so has any that was trained on a corpus whose
sequences begin alike and started from its samples.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import normalize

SAME = 0.99  # the cosine of two rows above which they count as one direction
ROWS_AT_ONCE = 2048


def twins(encoder: Tensor, decoder: Tensor, above: float = SAME) -> NDArray[np.int64]:
    """The first feature of each feature's set of twins, which is itself where it has none: (feature,) int64.

    ``encoder`` and ``decoder`` are (feature, d_model). Two features are twins if the cosine of their encoder
    rows and that of their decoder rows are both larger than ``above``; twins of twins are twins.
    """
    count = len(encoder)
    read, written = (normalize(rows.float(), dim=1) for rows in (encoder, decoder))
    ends = []
    for start in range(0, count, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        same = (read[part] @ read.T > above) & (written[part] @ written.T > above)
        row, column = (index.cpu().numpy() for index in same.nonzero(as_tuple=True))
        ends.append(np.stack([row + start, column]))
    row, column = np.concatenate(ends, axis=1) if ends else np.zeros((2, 0), dtype=np.int64)
    table = coo_array((np.ones(len(row), dtype=bool), (row, column)), shape=(count, count))
    _, member = connected_components(table, directed=False)
    _, first = np.unique(member, return_index=True)
    result: NDArray[np.int64] = first.astype(np.int64)[member]
    return result


def repeated(first: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which features are a twin of an earlier one, from what `twins` gives: (feature,) bool."""
    later: NDArray[np.bool_] = first != np.arange(len(first))
    return later


def distinct_rows(candidates: Tensor, count: int, above: float = SAME) -> Tensor:
    """The first ``count`` rows of (n, d_model) whose cosine with each one before is at most ``above``.

    Returns their indices, (m,) int64 with m ≤ count.
    """
    chosen = torch.zeros(0, dtype=torch.int64, device=candidates.device)
    rows = normalize(candidates.float(), dim=1)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        seen = (part @ rows[chosen].T > above).any(1)
        seen |= (part @ part.T > above).tril(-1).any(1)
        fresh = start + (~seen).nonzero()[:, 0]
        chosen = torch.cat([chosen, fresh])[:count]
        if len(chosen) == count:
            break
    return chosen
