"""Active features of one layer as compressed sparse rows, one row a position. Imports no torch.

Few of a transcoder's features are active at a position, so only those are kept: their ids and activations,
position after position. The format is compressed sparse row (CSR), as in scipy.sparse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SparseRows:
    """Active features of one layer of one prompt.

    Position p holds entries ``pointer[p]:pointer[p + 1]``; within a position features ascend.
    """

    pointer: NDArray[np.int64]  # (position + 1,)
    feature: NDArray[np.int32]  # (entry,)
    value: NDArray[np.float32]  # (entry,) activation

    @classmethod
    def of(cls, cell: Mapping[Any, Any], name: str) -> SparseRows:
        """Rows from a dataset's variables ``name.pointer``, ``name.feature`` and ``name.value``.

        ``cell`` is an xarray dataset, or any mapping from these names to something with ``values``.
        """
        return cls(*(cell[f"{name}.{part}"].values for part in ("pointer", "feature", "value")))

    @property
    def n_positions(self) -> int:
        """How many positions there are, with and without active features."""
        return len(self.pointer) - 1

    @property
    def position(self) -> NDArray[np.int64]:
        """(entry,): the position of every entry, counted from the first row, which is 0."""
        return np.repeat(np.arange(self.n_positions), np.diff(self.pointer))

    @property
    def position_from_end(self) -> NDArray[np.int64]:
        """(entry,): the position of every entry, counted from the last row, which is -1.

        Rows hold the last positions of a prompt. Added to its number of tokens, this gives the position in it.
        """
        return self.position - self.n_positions
