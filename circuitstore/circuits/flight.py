"""Rows in flight: targets carried backward, or sources carried forward, through frozen layers.

A row is a vector of the residual stream that started at some layer and position, with what has become of it
at every position that it can reach. Rows that started at the same position form a *block*. Blocks that lie
one behind the other in memory form a *chunk*, which one product moves. All chunks together are a *flight*.

Both directions are one computation. The positions of a row are numbered by their *offset*, the distance from
where it started. Backward from p the offsets 0, 1, … are positions p … 1; forward from s they are positions
s … last. In both directions a larger offset then mixes in smaller ones, and the mixing matrices are lower
triangular:

    forward   W_V, mix keys into queries by P_head, W_O          (a group of query heads shares one value
    head)
    backward  W_Oᵀ, mix queries into keys by P_headᵀ, W_Vᵀ       (and the group is summed)

A row starts with a single nonzero offset, its own. Its first attention is therefore one product with each
weight, however far the row reaches: what a head makes of it is one vector, and the attention pattern says how
much of that vector goes to each offset. Position 0 takes no part (see `effects`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitstore.circuits.batching import MOVED_ROWS, STARTING_ROWS
from circuitstore.circuits.frozen_network import FrozenLayer, FrozenNetwork


@dataclass(frozen=True)
class Ends:
    """The targets, or the sources, of a set of paths; one entry each.

    A target of layer l < n_layers reads the middle residual stream of that layer, one of layer n_layers the
    final residual stream. A source of layer l enters at the *input* of layer l: embeddings have layer 0, and
    what the MLP of layer l writes has layer l + 1.
    """

    index: Tensor  # (entry,) int64: row (targets) or column (sources) of the result
    layer: Tensor  # (entry,) int64
    position: Tensor  # (entry,) int64, never 0
    vectors: Callable[[Tensor], Tensor]  # entries (n,) of one layer → (n, d_model) float32, made when needed

    def at_layer(self, layer: int, among: Tensor | None = None) -> list[Group]:
        """The entries of a layer, or those ``among`` (n,) int64 that are, by position, ascending."""
        if among is None:
            entries = (self.layer == layer).nonzero().squeeze(1)
        else:
            entries = among[self.layer[among] == layer]
        if not len(entries):
            return []
        entries = entries[torch.argsort(self.position[entries], stable=True)]
        positions, counts = torch.unique_consecutive(self.position[entries], return_counts=True)
        sizes = counts.tolist()
        vectors = self.vectors(entries).split(sizes)
        columns = zip(positions.tolist(), entries.split(sizes), vectors, strict=True)
        return [Group(*column) for column in columns]


@dataclass(frozen=True)
class Group:
    """Entries of one layer and one position, with their vectors."""

    position: int
    entries: Tensor  # (row,) int64, into Ends
    vectors: Tensor  # (row, d_model) float32


@dataclass(frozen=True)
class Block:
    """Rows in flight that started at the same position."""

    start: int
    entries: Tensor  # (row,) int64, into Ends
    state: Tensor  # (offset, row, d_model) float32

    def __len__(self) -> int:
        return self.state.shape[0] * self.state.shape[1]


@dataclass(frozen=True)
class Chunk:
    """Blocks that lie one behind the other in memory, few enough to stay in the cache."""

    state: Tensor  # (offset and row, d_model) float32
    blocks: list[Block]  # their states are views of ``state``


Flight = list[Chunk]


@dataclass(frozen=True)
class Carrier:
    """Carries one set of ends through the network, in one direction."""

    network: FrozenNetwork
    ends: Ends
    backward: bool

    def reach(self, start: int) -> int:
        """How many positions a row that starts here touches."""
        return start if self.backward else self.network.n_positions - start

    def offset(self, start: int, position: int) -> int:
        """The offset of a position for rows that start at ``start``; negative when they do not touch it."""
        return start - position if self.backward else position - start

    def batches(self, chosen: Tensor, max_rows: int) -> list[Tensor]:
        """The ``chosen`` (entry,) bool entries by position, cut into batches: each (n,) int64.

        A batch has at most ``max_rows`` pairs of an entry and a position that it touches.
        """
        entries = chosen.nonzero().squeeze(1)
        entries = entries[torch.argsort(self.ends.position[entries], stable=True)]
        batches: list[list[int]] = []
        room = 0
        for entry, start in zip(entries.tolist(), self.ends.position[entries].tolist(), strict=True):
            if room < self.reach(start):
                batches.append([])
                room = max_rows
            batches[-1].append(entry)
            room -= self.reach(start)
        return [torch.tensor(batch) for batch in batches]

    def attend(self, flight: Flight, layer: FrozenLayer) -> None:
        """Pass the attention of ``layer`` and the residual connection around it, in place."""
        first, second = (layer.output, layer.value) if self.backward else (layer.value.T, layer.output.T)
        starts = {block.start for chunk in flight for block in chunk.blocks}
        mixing = {start: self._mixing(layer, start) for start in starts}
        for chunk in flight:
            heads = chunk.state @ first
            pieces = heads.split([len(block) for block in chunk.blocks])
            mixed = [
                _mix(mixing[block.start], piece) for block, piece in zip(chunk.blocks, pieces, strict=True)
            ]
            chunk.state.addmm_(mixed[0] if len(mixed) == 1 else torch.cat(mixed), second)

    def start(self, flight: Flight, batch: Tensor, index: int, layer: FrozenLayer | None) -> Flight:
        """The flight with the entries of ``batch`` that start at layer ``index``.

        The new rows have passed the attention of ``layer``, unless it is None.
        """
        groups = self.ends.at_layer(index, batch)
        if not groups:
            return flight
        blocks = [block for together in _gathered(groups) for block in self._started(together, layer)]
        if flight and len(flight[-1].state) < MOVED_ROWS // 2:
            return flight[:-1] + packed([*flight[-1].blocks, *blocks], MOVED_ROWS)
        return flight + packed(blocks, MOVED_ROWS)

    def skip(self, flight: Flight, layer: FrozenLayer) -> None:
        """Pass the skip connection of the transcoder and the residual connection around it, in place."""
        if layer.skip is None:
            return
        for block in (block for chunk in flight for block in chunk.blocks):
            scaled = block.state * self._along(block.start, layer.skip_scale)[:, None, None]
            block.state.add_(scaled @ (layer.skip if self.backward else layer.skip.T))

    def touching(self, flight: Flight, position: int) -> tuple[Tensor, Tensor]:
        """The rows that touch a position: entries (row,) int64 and their states there (row, d_model)."""
        entries, states = [torch.empty(0, dtype=torch.int64)], []
        for block in (block for chunk in flight for block in chunk.blocks):
            offset = self.offset(block.start, position)
            if offset >= 0:
                entries.append(block.entries)
                states.append(block.state[offset])
        nothing = torch.empty(0, self.network.d_model, device=self.network.device)
        return torch.cat(entries), torch.cat(states) if states else nothing

    def _started(self, groups: list[Group], layer: FrozenLayer | None) -> Iterator[Block]:
        """The rows of some groups as blocks, once they have passed the attention of ``layer``."""
        by_head, done = None, 0
        if layer is not None:
            by_head = self._by_head(torch.cat([group.vectors for group in groups]), layer)
        for group in groups:
            state = group.vectors.new_zeros(self.reach(group.position), *group.vectors.shape)
            if layer is not None and by_head is not None:
                made = by_head[:, done : done + len(group.entries)].flatten(1)
                torch.mm(self._spreading(layer, group.position), made, out=state.flatten(1))
            state[0] += group.vectors
            yield Block(group.position, group.entries, state)
            done += len(group.entries)

    def _by_head(self, vectors: Tensor, layer: FrozenLayer) -> Tensor:
        """What each head makes of rows at the offset 0: (row, d_model) → (head, row, d_model)."""
        kv_heads, group = layer.pattern.shape[:2]
        by_kv_head = layer.value.unflatten(0, (kv_heads, 1, -1))
        values = by_kv_head.expand(-1, group, -1, -1).flatten(0, 1)  # (head, head_dim, d_model)
        outputs = layer.output.T.unflatten(0, (kv_heads * group, -1))  # (head, head_dim, d_model)
        first, second = (outputs, values) if self.backward else (values, outputs)
        made: Tensor = (vectors @ first.transpose(1, 2)) @ second
        return made

    def _spreading(self, layer: FrozenLayer, start: int) -> Tensor:
        """How much of what a head makes of a row at its start goes to each offset: (offset, head)."""
        pattern = layer.pattern.flatten(0, 1)
        return (pattern[:, start, 1 : start + 1].flip(1) if self.backward else pattern[:, start:, start]).T

    def _along(self, start: int, by_position: Tensor) -> Tensor:
        """(position,) → (offset,) for rows that start here."""
        return by_position[1 : start + 1].flip(0) if self.backward else by_position[start:]

    def _mixing(self, layer: FrozenLayer, start: int) -> Tensor:
        """What offset j of head h gives to offset i: (kv_head, h out, i, h in, j), 0 where j exceeds i."""
        if self.backward:
            reached = slice(1, start + 1)
            pattern = layer.pattern[:, :, reached, reached].flip(2, 3)  # kv_head, group, query j, key i
            return pattern.permute(0, 3, 1, 2)[:, None]
        return layer.pattern[:, :, start:, start:][:, :, :, None]  # kv_head, group, query i, 1, key j


def packed(blocks: list[Block], most: int = sys.maxsize) -> Flight:
    """The same rows by starting position, ascending, in new chunks.

    A chunk has at most ``most`` pairs of a row and an offset, but at least one row.
    """
    pieces: list[Block] = []
    for start in sorted({block.start for block in blocks}):
        same = [block for block in blocks if block.start == start]
        entries = torch.cat([block.entries for block in same])
        state = torch.cat([block.state for block in same], dim=1)
        rows = max(most // len(state), 1)
        parts = zip(entries.split(rows), state.split(rows, dim=1), strict=True)
        pieces += [Block(start, *part) for part in parts]
    flight: Flight = []
    while pieces:
        sizes = np.cumsum([len(piece) for piece in pieces])
        taken = max(int(np.searchsorted(sizes, most, side="right")), 1)
        flight.append(_chunk(pieces[:taken]))
        pieces = pieces[taken:]
    return flight


def _chunk(blocks: list[Block]) -> Chunk:
    """Blocks copied one behind the other."""
    state = torch.cat([block.state.flatten(0, 1) for block in blocks])
    pieces = state.split([len(block) for block in blocks])
    views = [
        Block(old.start, old.entries, piece.view(old.state.shape))
        for old, piece in zip(blocks, pieces, strict=True)
    ]
    return Chunk(state, views)


def _gathered(groups: list[Group]) -> Iterator[list[Group]]:
    """The same entries in lists of at most `STARTING_ROWS`; a larger group is cut into parts."""
    together: list[Group] = []
    for group in groups:
        parts = zip(group.entries.split(STARTING_ROWS), group.vectors.split(STARTING_ROWS), strict=True)
        for entries, vectors in parts:
            if together and sum(len(part.entries) for part in together) + len(entries) > STARTING_ROWS:
                yield together
                together = []
            together.append(Group(group.position, entries, vectors))
    yield together


def _mix(mixing: Tensor, rows: Tensor) -> Tensor:
    """(offset j * row, kv_head * h in * head_dim) → (offset i * row, kv_head * h out * head_dim)."""
    kv_heads, h_out, reach, h_in, _ = mixing.shape
    count = len(rows) // reach
    by_head = rows.view(reach, count, kv_heads, h_in, -1).permute(2, 3, 0, 1, 4)
    columns = by_head.reshape(kv_heads, h_in * reach, -1)
    mixed = mixing.reshape(kv_heads, h_out * reach, h_in * reach) @ columns
    return mixed.view(kv_heads, h_out, reach, count, -1).permute(2, 3, 0, 1, 4).reshape(len(rows), -1)
