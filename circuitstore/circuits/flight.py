"""Rows in flight: targets carried backward, or sources carried forward, through frozen layers.

A row is a vector of the residual stream that started at some layer and position, with what has become of it
at every position that it can reach. Rows that started at neighbouring positions form a *block*. Blocks that
lie one behind the other in memory form a *chunk*, which one product moves. All chunks together are a
*flight*.

Both directions are one computation. The positions of a block are numbered by their *offset*, the distance
from where its rows with the longest reach started. Backward from p the offsets 0, 1, … are positions p … 1;
forward from s they are positions s … last. In both directions a larger offset then mixes in smaller ones, and
the mixing matrices are lower triangular:

    forward   W_V, mix keys into queries by P_head, W_O          (a group of query heads shares one value
    head)
    backward  W_Oᵀ, mix queries into keys by P_headᵀ, W_Vᵀ       (and the group is summed)

A row starts with a single nonzero offset, its own. Its first attention is therefore one product with each
weight, however far the row reaches: what a head makes of it is one vector, and the attention pattern says how
much of that vector goes to each offset. Offsets before a row's own stay 0. Position 0 takes no part (see
`effects`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from circuitstore.circuits.batching import Batching, batching
from circuitstore.circuits.ends import Ends, Meeting, add
from circuitstore.circuits.frozen_network import FrozenLayer, FrozenNetwork


@dataclass(frozen=True)
class Block:
    """Rows in flight that started at neighbouring positions."""

    start: int  # where those with the longest reach started
    entries: Tensor  # (row,) int64, into Ends
    state: Tensor  # (offset, row, d_model) float32

    def __len__(self) -> int:
        return self.state.shape[0] * self.state.shape[1]


@dataclass(frozen=True)
class Chunk:
    """Blocks that lie one behind the other in memory, as many as one product moves."""

    state: Tensor  # (offset and row, d_model) float32
    blocks: list[Block]  # their states are views of ``state``


Flight = list[Chunk]


@dataclass(frozen=True)
class Carrier:
    """Carries one set of ends through the network, in one direction."""

    network: FrozenNetwork
    ends: Ends
    backward: bool

    @cached_property
    def at_once(self) -> Batching:
        """How much the device is given at once."""
        return batching(self.network.device.type)

    def reach(self, start: int) -> int:
        """How many positions a row that starts here touches."""
        return start if self.backward else self.network.n_positions - start

    def offset(self, start: int, position: int) -> int:
        """The offset of a position in a block that starts at ``start``; negative when it is not touched."""
        return start - position if self.backward else position - start

    def positions(self, start: int) -> slice:
        """The positions that a block touches, in ascending order, which backward is not that of offsets."""
        return slice(1, start + 1) if self.backward else slice(start, None)

    def by_offset(self, start: int, by_position: Tensor, dim: int = 0) -> Tensor:
        """Numbers or vectors of all positions, along ``dim``, as those of the offsets of a block."""
        index = (slice(None),) * dim + (self.positions(start),)
        return by_position[index].flip(dim) if self.backward else by_position[index]

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
        entries = self.ends.at_layer(index, batch)
        if not len(entries):
            return flight
        vectors, rows = self.ends.vectors(entries), self.at_once.starting_rows
        parts = zip(entries.split(rows), vectors.split(rows), strict=True)
        blocks = [block for part in parts for block in self._started(*part, layer)]
        most = self.at_once.moved_rows
        if flight and len(flight[-1].state) < most // 2:
            return flight[:-1] + packed([*flight[-1].blocks, *blocks], most)
        return flight + packed(blocks, most)

    def skip(self, flight: Flight, layer: FrozenLayer) -> None:
        """Pass the skip connection of the transcoder and the residual connection around it, in place."""
        if layer.skip is None:
            return
        for block in (block for chunk in flight for block in chunk.blocks):
            scaled = block.state * self.by_offset(block.start, layer.skip_scale)[:, None, None]
            block.state.add_(scaled @ (layer.skip if self.backward else layer.skip.T))

    def touching(self, flight: Flight, position: int) -> Tensor:
        """The states at a position of the rows in blocks that touch it: (row, d_model)."""
        blocks = [block for chunk in flight for block in chunk.blocks]
        offsets = [self.offset(block.start, position) for block in blocks]
        states = [block.state[at] for block, at in zip(blocks, offsets, strict=True) if at >= 0]
        nothing = torch.empty(0, self.network.d_model, device=self.network.device)
        return torch.cat(states) if states else nothing

    def meet(self, flight: Flight, others: Meeting, out: Tensor) -> None:
        """Rows in flight pass ``others``: every pair that shares a position adds its effect to ``out``."""
        for block in (block for chunk in flight for block in chunk.blocks):
            here = self.positions(block.start)
            index = others.index[here].flatten()
            there = (index >= 0).nonzero().squeeze(1)
            if not len(there):
                continue
            # By position and not by offset: a block has fewer rows to turn round than there are others.
            state = block.state.flip(0) if self.backward else block.state
            effect = torch.bmm(others.vectors[here], state.transpose(1, 2)).flatten(0, 1)
            effect, theirs, mine = effect[there], index[there], self.ends.index[block.entries]
            if self.backward:
                add(out, mine, theirs[:, None], effect)
            else:
                add(out, theirs[:, None], mine, effect)

    def _started(self, entries: Tensor, vectors: Tensor, layer: FrozenLayer | None) -> Iterator[Block]:
        """Rows, by position, as blocks, once they have passed the attention of ``layer``."""
        by_head = None if layer is None else self._by_head(vectors, layer)
        span = self.at_once.span
        position = self.ends.position[entries]
        sizes = torch.unique_consecutive((position - 1) // span, return_counts=True)[1].tolist()
        done = 0
        for size in sizes:
            rows = slice(done, done + size)
            own = position[rows]
            start = int(own[-1]) if self.backward else int(own[0])
            state = vectors.new_zeros(self.reach(start), size, vectors.shape[1])
            if layer is not None and by_head is not None:
                self._spread(layer, start, own, by_head[:, rows], state)
            state[(own - start).abs(), torch.arange(size)] += vectors[rows]
            yield Block(start, entries[rows], state)
            done += size

    def _by_head(self, vectors: Tensor, layer: FrozenLayer) -> Tensor:
        """What each head makes of rows where they start: (row, d_model) → (head, row, d_model)."""
        kv_heads, group = layer.pattern.shape[:2]
        by_kv_head = layer.value.unflatten(0, (kv_heads, 1, -1))
        values = by_kv_head.expand(-1, group, -1, -1).flatten(0, 1)  # (head, head_dim, d_model)
        outputs = layer.output.T.unflatten(0, (kv_heads * group, -1))  # (head, head_dim, d_model)
        first, second = (outputs, values) if self.backward else (values, outputs)
        made: Tensor = (vectors @ first.transpose(1, 2)) @ second
        return made

    def _spread(self, layer: FrozenLayer, start: int, own: Tensor, by_head: Tensor, state: Tensor) -> None:
        """Write to ``state`` (offset, row, d_model) what heads make of rows that start at ``own`` (row,)."""
        pattern = layer.pattern.flatten(0, 1)  # (head, query, key)
        if (own == start).all():  # one product for all rows
            there = pattern[:, start] if self.backward else pattern[:, :, start]
            spreading = self.by_offset(start, there, dim=1).T  # (offset, head)
            torch.mm(spreading, by_head.flatten(1), out=state.flatten(1))
            return
        there = (
            pattern[:, own] if self.backward else pattern[:, :, own].transpose(1, 2)
        )  # (head, row, position)
        spreading = self.by_offset(start, there, dim=2).permute(1, 2, 0)  # (row, offset, head)
        state.copy_(torch.bmm(spreading, by_head.transpose(0, 1)).transpose(0, 1))

    def _mixing(self, layer: FrozenLayer, start: int) -> Tensor:
        """What offset j of head h gives to offset i: (kv_head, h out, i, h in, j), 0 where j exceeds i."""
        reached = self.positions(start)
        pattern = layer.pattern[:, :, reached, reached]
        if self.backward:
            return pattern.flip(2, 3).permute(0, 3, 1, 2)[:, None]  # from kv_head, group, query j, key i
        return pattern[:, :, :, None]  # kv_head, group, query i, 1, key j


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


def _mix(mixing: Tensor, rows: Tensor) -> Tensor:
    """(offset j * row, kv_head * h in * head_dim) → (offset i * row, kv_head * h out * head_dim)."""
    kv_heads, h_out, reach, h_in, _ = mixing.shape
    count = len(rows) // reach
    by_head = rows.view(reach, count, kv_heads, h_in, -1).permute(2, 3, 0, 1, 4)
    columns = by_head.reshape(kv_heads, h_in * reach, -1)
    mixed = mixing.reshape(kv_heads, h_out * reach, h_in * reach) @ columns
    return mixed.view(kv_heads, h_out, reach, count, -1).permute(2, 3, 0, 1, 4).reshape(len(rows), -1)
