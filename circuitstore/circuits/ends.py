"""The ends of paths through the frozen network: the targets that read, and the sources that write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ends:
    """The targets, or the sources, of a set of paths; one entry each.

    A target of layer l < n_layers reads the middle residual stream of that layer, one of layer n_layers the
    final residual stream. A source of layer l enters at the *input* of layer l: embeddings have layer 0, and
    what the MLP of layer l writes has layer l + 1. A source that writes to several layers has an entry for
    each, all with one index.
    """

    index: Tensor  # (entry,) int64: row (targets) or column (sources) of the result
    layer: Tensor  # (entry,) int64
    position: Tensor  # (entry,) int64, never 0
    vectors: Callable[[Tensor], Tensor]  # entries (n,) of one layer → (n, d_model) float32, made when needed

    def at_layer(self, layer: int, among: Tensor | None = None) -> Tensor:
        """The entries of a layer, or those ``among`` (n,) int64 that are, by position: (entry,) int64."""
        if among is None:
            entries = (self.layer == layer).nonzero().squeeze(1)
        else:
            entries = among[self.layer[among] == layer]
        return entries[torch.argsort(self.position[entries], stable=True)]


@dataclass(frozen=True)
class Meeting:
    """The ends of one layer that rows in flight pass, laid out by position and place."""

    index: Tensor  # (position, place) int64: row or column of the result, -1 where there is no end
    vectors: Tensor  # (position, place, d_model) float32, 0 where there is no end

    @classmethod
    def of(cls, ends: Ends, layer: int, n_positions: int) -> Meeting | None:
        """The ends of ``layer``; None if there are none."""
        entries = ends.at_layer(layer)
        if not len(entries):
            return None
        position = ends.position[entries]
        place = torch.arange(len(entries)) - torch.searchsorted(position, position)
        vectors = ends.vectors(entries)
        shape = (n_positions, int(place.max()) + 1)
        index = torch.full(shape, -1)
        index[position, place] = ends.index[entries]
        laid_out = vectors.new_zeros(*shape, vectors.shape[1])
        laid_out[position, place] = vectors
        return cls(index, laid_out)


def add(out: Tensor, rows: Tensor, columns: Tensor, effect: Tensor) -> None:
    """Add ``effect`` to ``out[rows, columns]``; what has the same row and column adds up."""
    out.index_put_((rows.to(out.device), columns.to(out.device)), effect, accumulate=True)
