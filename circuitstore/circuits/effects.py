"""Effects of many sources on many targets through the frozen network, by plain matrix products.

The effect of a source that writes w at (layer, position s) on a target that reads u at (layer', position p)
is u · J w, where J is the frozen network between them. J is linear and causal, so nothing is differentiated:

*   a target is carried backward, or a source forward, one attention layer at a time, as the rows of a matrix, over the
    positions it can reach only (backward from p: p … 1; forward from s: s … last);
*   the two *meet in the middle*: at a cut layer c, targets at or above c are carried backward to it, sources below c
    forward to it, one product there gives all their effects; pairs on one side of the cut meet on the way. A
    row is then carried through about a quarter of the layers, not half. The cut is the cheapest one by
    counting multiplications.

Both directions are one computation. Number a row's positions from its own outward, 0 being where it started;
then backward, too, "later mixes in earlier", and mixing matrices are lower triangular for both:

    forward   W_V, mix keys into queries by P_head, W_O          (a group of query heads shares one value head)
    backward  W_Oᵀ, mix queries into keys by P_headᵀ, W_Vᵀ       (and sums the group)

A row enters with a single nonzero position, its own, so its first attention is one product with each weight
however far it reaches: what a head makes of it is one vector, and the pattern says how much of that goes
where. Position 0 takes no part: what enters there are constants and one embedding, which
`FrozenNetwork.carry` handles.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Attribution"; the edge weights are exactly
its, computed in another order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitstore.circuits.frozen_network import FrozenLayer, FrozenNetwork

STARTING = (
    256  # rows that start at a time, about: what every head makes of them is kept apart until it is spread
)
# place-rows moved at a time: their heads stay in the cache, and the weights are worth reading for them
CHUNK = 2_048


@dataclass(frozen=True)
class Ends:
    """The targets, or the sources, of a set of paths; one entry each.

    A target of layer l < n_layers reads the middle residual stream of that layer, one of layer n_layers the
    final one. A source of layer l enters at the *input* of layer l: embeddings have 0, what the MLP of layer
    l writes has l + 1.
    """

    index: Tensor  # (entry,) int64: row (targets) or column (sources) of the result
    layer: Tensor  # (entry,) int64
    position: Tensor  # (entry,) int64, never 0
    vectors: Callable[
        [Tensor], Tensor
    ]  # entries (n,) of one layer → (n, d_model) float32, asked for when needed


@dataclass(frozen=True)
class _Block:
    """Rows in flight that started at the same position."""

    start: int
    entries: Tensor  # (row,) int64, into Ends
    # (place, row, d_model); place i is i positions away from the start, in the direction of travel
    state: Tensor

    def __len__(self) -> int:
        return self.state.shape[0] * self.state.shape[1]


@dataclass(frozen=True)
class _Chunk:
    """Blocks that lie one behind the other in memory, so that one product moves them all; few enough to stay
    in the cache.
    """

    state: Tensor  # (place-row, d_model)
    blocks: list[_Block]  # views of `state`


_Flight = list[_Chunk]


def effects(
    network: FrozenNetwork, targets: Ends, sources: Ends, out: Tensor, *, memory: int = 2 * 10**9
) -> None:
    """Write the effect of every source on every target to ``out[target.index, source.index]`` (float32, on
    the CPU).

    Rows are targets, columns sources; pairs without a path keep what ``out`` held. When the rows in flight do
    not fit into ``memory`` (bytes), they go in batches, and forward rows are carried again for every batch of
    backward rows: that decides the last bits of a result, so it is not measured but given.
    """
    parts = network.model.parts
    row_bytes = 4 * (
        2 * network.d_model + parts.n_heads * parts.head_dim
    )  # a state, its copy, its heads when it starts
    max_rows = max(memory // row_bytes // 2, network.n_positions)
    cut = cheapest_cut(network, targets, sources, max_rows)
    backward, forward = _Way(network, targets, backward=True), _Way(network, sources, backward=False)
    late = backward.batches(targets.layer >= cut, max_rows)
    early = forward.batches(sources.layer < cut, max_rows)
    for number, batch in enumerate(
        late or [targets.index[:0]]
    ):  # early targets await the sources even if none is late
        arrived = _carry_back(
            backward, batch, cut, lambda flight, layer: _meet(backward, flight, sources, layer, out)
        )
        for other in early:
            met = (lambda flight, layer: _meet(forward, flight, targets, layer, out)) if number == 0 else None
            passed = _carry_on(forward, other, cut, met)
            _join(backward, _sorted(arrived), forward, _sorted(passed), out)


def _carry_back(way: _Way, batch: Tensor, cut: int, met: Callable[[_Flight, int], None]) -> _Flight:
    """Carry targets from where they read to the input of layer ``cut``."""
    top = way.network.n_layers
    flight = way.join([], batch, top, None)
    met(flight, top)
    for index in range(top - 1, cut - 1, -1):
        layer = way.network.layer(index)
        way.skip(flight, layer)
        way.attend(flight, layer)
        flight = way.join(flight, batch, index, layer)
        met(flight, index)
    return flight


def _carry_on(way: _Way, batch: Tensor, cut: int, met: Callable[[_Flight, int], None] | None) -> _Flight:
    """Carry sources from where they enter to the input of layer ``cut``."""
    flight: _Flight = []
    for index in range(cut):
        layer = way.network.layer(index)
        way.attend(flight, layer)
        flight = way.join(flight, batch, index, layer)
        if met is not None:
            met(flight, index)
        way.skip(flight, layer)
    return flight


@dataclass(frozen=True)
class _Way:
    """One way through the network, for one set of ends."""

    network: FrozenNetwork
    ends: Ends
    backward: bool

    def reach(self, start: int) -> int:
        """How many positions a row that starts here touches."""
        return start if self.backward else self.network.n_positions - start

    def place(self, start: int, position: int) -> int:
        """Which place of a state is this position; negative when the row does not touch it."""
        return start - position if self.backward else position - start

    def batches(self, chosen: Tensor, max_rows: int) -> list[Tensor]:
        """The chosen entries by position, in batches of at most ``max_rows`` pairs of entry and position."""
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

    def attend(self, flight: _Flight, layer: FrozenLayer) -> None:
        """Pass the attention of ``layer`` and the residual connection around it, in place."""
        first, second = (layer.output, layer.value) if self.backward else (layer.value.T, layer.output.T)
        mixing = {
            start: self._mixing(layer, start)
            for start in {block.start for chunk in flight for block in chunk.blocks}
        }
        for chunk in flight:
            heads = chunk.state @ first
            pieces = heads.split([len(block) for block in chunk.blocks])
            mixed = [
                _mix(mixing[block.start], piece) for block, piece in zip(chunk.blocks, pieces, strict=True)
            ]
            chunk.state.addmm_(mixed[0] if len(mixed) == 1 else torch.cat(mixed), second)

    def join(self, flight: _Flight, batch: Tensor, index: int, layer: FrozenLayer | None) -> _Flight:
        """The flight with the entries of ``batch`` that start at layer ``index``, which have passed its
        attention.

        A row that starts is nonzero at one place: what each head makes of it is one vector, and the pattern
        says how much of it goes where. That takes one product with each weight, however many places the row
        reaches.
        """
        joining = list(_by_position(self.ends, batch[self.ends.layer[batch] == index]))
        if not joining:
            return flight
        blocks = []
        for group in _gathered(joining, STARTING):
            made = (
                None if layer is None else self._by_head(torch.cat([vectors for *_, vectors in group]), layer)
            )
            done = 0
            for start, entries, vectors in group:
                state = vectors.new_zeros(self.reach(start), *vectors.shape)
                if layer is not None and made is not None:
                    torch.mm(
                        self._spreading(layer, start),
                        made[:, done : done + len(entries)].flatten(1),
                        out=state.flatten(1),
                    )
                state[0] += vectors
                blocks.append(_Block(start, entries, state))
                done += len(entries)
        if flight and len(flight[-1].state) < CHUNK // 2:
            return flight[:-1] + _packed([*flight[-1].blocks, *blocks], CHUNK)
        return flight + _packed(blocks, CHUNK)

    def skip(self, flight: _Flight, layer: FrozenLayer) -> None:
        """Pass the skip connection of the transcoder and the residual connection around it, in place."""
        if layer.skip is None:
            return
        for block in (block for chunk in flight for block in chunk.blocks):
            scaled = block.state * self._along(block.start, layer.skip_scale)[:, None, None]
            block.state.add_(scaled @ (layer.skip if self.backward else layer.skip.T))

    def touching(self, flight: _Flight, position: int) -> tuple[Tensor, Tensor]:
        """The rows that touch a position: entries (row,) and their states there (row, d_model)."""
        found = [(block, self.place(block.start, position)) for chunk in flight for block in chunk.blocks]
        there = [(block.entries, block.state[place]) for block, place in found if place >= 0]
        if not there:
            return torch.empty(0, dtype=torch.int64), torch.empty(
                0, self.network.d_model, device=self.network.device
            )
        return torch.cat([entries for entries, _ in there]), torch.cat([state for _, state in there])

    def _by_head(self, vectors: Tensor, layer: FrozenLayer) -> Tensor:
        """What each head makes of rows at the place they start from: (row, d_model) → (head, row, d_model)."""
        kv_heads, group = layer.pattern.shape[:2]
        values = (
            layer.value.unflatten(0, (kv_heads, 1, -1)).expand(-1, group, -1, -1).flatten(0, 1)
        )  # (head, head_dim, d_model)
        outputs = layer.output.T.unflatten(0, (kv_heads * group, -1))  # (head, head_dim, d_model)
        first, second = (outputs, values) if self.backward else (values, outputs)
        return (vectors @ first.transpose(1, 2)) @ second

    def _spreading(self, layer: FrozenLayer, start: int) -> Tensor:
        """How much of what a head makes of a row at its start goes to each place: (place, head)."""
        pattern = layer.pattern.flatten(0, 1)
        return (pattern[:, start, 1 : start + 1].flip(1) if self.backward else pattern[:, start:, start]).T

    def _along(self, start: int, by_position: Tensor) -> Tensor:
        """(position,) → (place,) as seen by rows that start here."""
        return by_position[1 : start + 1].flip(0) if self.backward else by_position[start:]

    def _mixing(self, layer: FrozenLayer, start: int) -> Tensor:
        """What place j of head h gives to place i: (kv_head, h out, i, h in, j), lower triangular in i and j."""
        if self.backward:
            pattern = layer.pattern[:, :, 1 : start + 1, 1 : start + 1].flip(
                2, 3
            )  # kv, group, query j, key i
            return pattern.permute(0, 3, 1, 2)[:, None]
        return layer.pattern[:, :, start:, start:][:, :, :, None]  # kv, group, query i, 1, key j


def _gathered(
    joining: list[tuple[int, Tensor, Tensor]], most: int
) -> Iterator[list[tuple[int, Tensor, Tensor]]]:
    """The same (position, entries, vectors), those of one position cut into parts of at most ``most`` rows,
    together as many.
    """
    group: list[tuple[int, Tensor, Tensor]] = []
    for start, entries, vectors in joining:
        for part in zip(entries.split(most), vectors.split(most), strict=True):
            if group and sum(len(entries) for _, entries, _ in group) + len(part[0]) > most:
                yield group
                group = []
            group.append((start, *part))
    yield group


def _packed(blocks: list[_Block], most: int) -> _Flight:
    """The same rows by starting position, ascending, in chunks of at most ``most`` place-rows (but at least
    one row).
    """
    pieces: list[_Block] = []
    for start in sorted({block.start for block in blocks}):
        same = [block for block in blocks if block.start == start]
        entries, state = (
            torch.cat([block.entries for block in same]),
            torch.cat([block.state for block in same], dim=1),
        )
        rows = max(most // len(state), 1)
        pieces += [
            _Block(start, *part) for part in zip(entries.split(rows), state.split(rows, dim=1), strict=True)
        ]
    flight: _Flight = []
    while pieces:
        sizes = np.cumsum([len(piece) for piece in pieces])
        taken = max(int(np.searchsorted(sizes, most, side="right")), 1)
        flight.append(_chunk(pieces[:taken]))
        pieces = pieces[taken:]
    return flight


def _chunk(blocks: list[_Block]) -> _Chunk:
    """Blocks copied one behind the other."""
    state = torch.cat([block.state.flatten(0, 1) for block in blocks])
    pieces = state.split([len(block) for block in blocks])
    views = [
        _Block(old.start, old.entries, piece.view(old.state.shape))
        for old, piece in zip(blocks, pieces, strict=True)
    ]
    return _Chunk(state, views)


def _mix(mixing: Tensor, rows: Tensor) -> Tensor:
    """rows (place j * row, kv_head * h in * head_dim) → (place i * row, kv_head * h out * head_dim)."""
    kv_heads, h_out, reach, h_in, _ = mixing.shape
    count = len(rows) // reach
    columns = (
        rows.view(reach, count, kv_heads, h_in, -1).permute(2, 3, 0, 1, 4).reshape(kv_heads, h_in * reach, -1)
    )
    mixed = mixing.reshape(kv_heads, h_out * reach, h_in * reach) @ columns
    return mixed.view(kv_heads, h_out, reach, count, -1).permute(2, 3, 0, 1, 4).reshape(len(rows), -1)


def _by_position(ends: Ends, entries: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Entries of one layer, by position: (position, entries (n,), vectors (n, d_model))."""
    if not len(entries):
        return
    entries = entries[torch.argsort(ends.position[entries], stable=True)]
    positions, counts = torch.unique_consecutive(ends.position[entries], return_counts=True)
    sizes = counts.tolist()
    yield from zip(positions.tolist(), entries.split(sizes), ends.vectors(entries).split(sizes), strict=True)


def _meet(way: _Way, flight: _Flight, others: Ends, layer: int, out: Tensor) -> None:
    """Rows in flight pass the other ends of ``layer``: every pair that shares a position has its effect."""
    for position, entries, vectors in _by_position(others, (others.layer == layer).nonzero().squeeze(1)):
        rows, state = way.touching(flight, position)
        mine, theirs = way.ends.index[rows], others.index[entries]
        effect = state @ vectors.T
        if way.backward:
            out[mine[:, None], theirs] = effect.cpu()
        else:
            out[theirs[:, None], mine] = effect.T.cpu()


def _join(backward: _Way, targets: _Flight, forward: _Way, sources: _Flight, out: Tensor) -> None:
    """At the cut: effect of every source on every target, summed over the positions that both touch."""
    rows, columns = _entries(targets), _entries(sources)
    if not len(rows) or not len(columns):
        return
    effect = torch.zeros(len(rows), len(columns), device=backward.network.device)
    for position in range(
        1, backward.network.n_positions
    ):  # the last rows touch it and the first columns: the lower left corner
        (_, there), (_, here) = backward.touching(targets, position), forward.touching(sources, position)
        effect[len(rows) - len(there) :, : len(here)].addmm_(there, here.T)
    out[backward.ends.index[rows][:, None], forward.ends.index[columns]] = effect.cpu()


def _sorted(flight: _Flight) -> _Flight:
    """All rows in one chunk, by starting position."""
    return _packed([block for chunk in flight for block in chunk.blocks], sys.maxsize)


def _entries(flight: _Flight) -> Tensor:
    return torch.cat(
        [torch.empty(0, dtype=torch.int64), *(block.entries for chunk in flight for block in chunk.blocks)]
    )


def cheapest_cut(network: FrozenNetwork, targets: Ends, sources: Ends, max_rows: int) -> int:
    """The layer at whose input targets and sources meet for the fewest multiplications, counted exactly."""
    n_layers, n_positions, d_model = network.n_layers, network.n_positions, network.d_model
    parts = network.model.parts
    both = d_model * parts.head_dim  # the products with one value head or one output head
    per_place, first = both * (parts.n_heads + parts.n_kv_heads), both * 2 * parts.n_heads

    def histogram(ends: Ends) -> Tensor:  # (layer + 1, position) float64
        flat = ends.layer * n_positions + ends.position
        return torch.bincount(flat, minlength=(n_layers + 1) * n_positions).view(-1, n_positions).double()

    wanted, given = histogram(targets), histogram(sources)
    position = torch.arange(n_positions, dtype=torch.float64)
    layers = torch.arange(n_layers + 1, dtype=torch.float64)
    costs = []
    for cut in range(n_layers + 1):
        back_places = (wanted[cut:] * position).sum(1)
        on_places = (given[:cut] * (n_positions - position)).sum(1)
        back = (back_places * (layers[cut:] - cut).clamp(max=n_layers - cut)).sum() * per_place
        back += wanted[cut:n_layers].sum() * first
        on = (on_places * (cut - 1 - layers[:cut])).sum() * per_place + given[:cut].sum() * first
        touching = wanted[cut:].sum(0).flip(0).cumsum(0).flip(0) * given[:cut].sum(0).cumsum(0)
        flights = max(1, -(-int(back_places.sum()) // max_rows))
        costs.append(float(back + on * flights + touching.sum() * d_model))
    return costs.index(min(costs))
