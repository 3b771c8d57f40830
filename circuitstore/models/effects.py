"""Effects of many sources on many targets through the frozen network, by plain matrix products.

The effect of a source that writes w at (layer, position s) on a target that reads u at (layer', position p) is u · J w,
where J is the frozen network between them. J is linear and causal, so nothing is differentiated:

*   a target is carried backward, or a source forward, one attention layer at a time, as the rows of a matrix, over the
    positions it can reach only (backward from p: p … 1; forward from s: s … last);
*   the two *meet in the middle*: at a cut layer c, targets at or above c are carried backward to it, sources below c
    forward to it, one product there gives all their effects; pairs on one side of the cut meet on the way. A row is then
    carried through about a quarter of the layers, not half. The cut is the cheapest one by counting multiplications.

Both directions are one computation. Number a row's positions from its own outward, 0 being where it started; then
backward, too, "later mixes in earlier", and mixing matrices are lower triangular for both:

    forward   W_V, mix keys into queries by P_head, W_O          (a group of query heads shares one value head)
    backward  W_Oᵀ, mix queries into keys by P_headᵀ, W_Vᵀ       (and sums the group)

A row enters with a single nonzero position, its own, so its first product costs one row and its first mix one column.
Position 0 takes no part: what enters there are constants and one embedding, which `FrozenNetwork.carry` handles.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Attribution"; the edge weights are exactly its, computed
in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitstore.models.replacement import FrozenLayer, FrozenNetwork

MEMORY = 2**31  # bytes of rows in flight; fixed, not measured, since the batching decides the last bits of a result


@dataclass(frozen=True)
class Ends:
    """The targets, or the sources, of a set of paths; one entry each.

    A target of layer l < n_layers reads the middle residual stream of that layer, one of layer n_layers the final one. A
    source of layer l enters at the *input* of layer l: embeddings have 0, what the MLP of layer l writes has l + 1.
    """

    index: Tensor  # (entry,) int64: row (targets) or column (sources) of the result
    layer: Tensor  # (entry,) int64
    position: Tensor  # (entry,) int64, never 0
    vectors: Callable[[Tensor], Tensor]  # entries (n,) of one layer → (n, d_model) float32, asked for when needed


@dataclass(frozen=True)
class _Group:
    """Rows in flight that started at the same position."""

    entries: Tensor  # (row,) int64, into Ends
    state: Tensor  # (row, reach, d_model): place i is i positions away from the start, in the direction of travel


_Flight = dict[int, _Group]  # by starting position


def effects(network: FrozenNetwork, targets: Ends, sources: Ends, out: Tensor) -> None:
    """Write the effect of every source on every target to ``out[target.index, source.index]`` (float32, on the CPU).

    Rows are targets, columns sources; pairs without a path keep what ``out`` held. When the rows in flight do not fit into
    `MEMORY`, they go in batches, and forward rows are carried again for every batch of backward rows.
    """
    parts = network.model.parts
    row_bytes = 4 * (3 * network.d_model + 3 * parts.n_heads * parts.head_dim)  # a state, its copies, its heads
    max_rows = max(MEMORY // row_bytes // 2, network.n_positions)
    cut = cheapest_cut(network, targets, sources, max_rows)
    backward, forward = _Way(network, targets, backward=True), _Way(network, sources, backward=False)
    late = backward.batches(targets.layer >= cut, max_rows)
    early = forward.batches(sources.layer < cut, max_rows)
    for number, batch in enumerate(late or [targets.index[:0]]):  # early targets await the sources even if none is late
        arrived = _carry_back(backward, batch, cut, lambda flight, layer: _meet(backward, flight, sources, layer, out))
        for other in early:
            met = (lambda flight, layer: _meet(forward, flight, targets, layer, out)) if number == 0 else None
            _join(backward, arrived, forward, _carry_on(forward, other, cut, met), out)


def _carry_back(way: _Way, batch: Tensor, cut: int, met: Callable[[_Flight, int], None]) -> _Flight:
    """Carry targets from where they read to the input of layer ``cut``."""
    top = way.network.n_layers
    flight = way.attend({}, way.joining(batch, top), None)
    met(flight, top)
    for index in range(top - 1, cut - 1, -1):
        layer = way.network.layer(index)
        flight = way.attend(way.skip(flight, layer), way.joining(batch, index), layer)
        met(flight, index)
    return flight


def _carry_on(way: _Way, batch: Tensor, cut: int, met: Callable[[_Flight, int], None] | None) -> _Flight:
    """Carry sources from where they enter to the input of layer ``cut``."""
    flight: _Flight = {}
    for index in range(cut):
        layer = way.network.layer(index)
        flight = way.attend(flight, way.joining(batch, index), layer)
        if met is not None:
            met(flight, index)
        flight = way.skip(flight, layer)
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

    def joining(self, batch: Tensor, layer: int) -> dict[int, _Group]:
        """The entries of ``batch`` that start at ``layer``, with states of one place."""
        chosen = _by_position(self.ends, batch[self.ends.layer[batch] == layer])
        return {start: _Group(entries, vectors[:, None]) for start, entries, vectors in chosen}

    def attend(self, flight: _Flight, joining: _Flight, layer: FrozenLayer | None) -> _Flight:
        """Let joining rows in, then pass the attention of ``layer`` and the residual connection around it.

        A joining row is nonzero at one place, so its first product has one row and its mix one column.
        """
        groups = [(start, flight_of[start]) for flight_of in (flight, joining) for start in flight_of]
        if not groups:
            return {}
        states = {start: self._widen(start, flight.get(start), joining.get(start)) for start, _ in groups}
        if layer is None:
            return states
        first, second = (layer.output, layer.value) if self.backward else (layer.value.T, layer.output.T)
        heads = torch.cat([group.state.flatten(0, 1) for _, group in groups]) @ first
        sizes = [group.state.shape[0] * group.state.shape[1] for _, group in groups]
        mixed: dict[int, list[Tensor]] = {start: [] for start in states}
        for (start, group), rows in zip(groups, heads.split(sizes), strict=True):
            mixed[start].append(_mix(self._mixing(layer, start), rows.unflatten(0, group.state.shape[:2])))
        rows = torch.cat([part.flatten(0, 1) for parts in mixed.values() for part in parts])
        total = torch.addmm(torch.cat([group.state.flatten(0, 1) for group in states.values()]), rows, second)
        pieces = total.split([group.state.shape[0] * group.state.shape[1] for group in states.values()])
        return {
            start: _Group(group.entries, piece.view_as(group.state)) for (start, group), piece in zip(states.items(), pieces, strict=True)
        }

    def skip(self, flight: _Flight, layer: FrozenLayer) -> _Flight:
        """Pass the skip connection of the transcoder and the residual connection around it."""
        if layer.skip is None:
            return flight
        passed = {}
        for start, group in flight.items():
            scale = self._along(start, layer.skip_scale)
            through = (group.state * scale[:, None]) @ (layer.skip if self.backward else layer.skip.T)
            passed[start] = _Group(group.entries, group.state + through)
        return passed

    def _along(self, start: int, by_position: Tensor) -> Tensor:
        """(position,) → (place,) as seen by rows that start here."""
        return by_position[1 : start + 1].flip(0) if self.backward else by_position[start:]

    def _mixing(self, layer: FrozenLayer, start: int) -> Tensor:
        """What place j of head h gives to place i: (kv_head, h out, i, h in, j), lower triangular in i and j."""
        if self.backward:
            pattern = layer.pattern[:, :, 1 : start + 1, 1 : start + 1].flip(2, 3)  # kv, group, query j, key i
            return pattern.permute(0, 3, 1, 2)[:, None]
        return layer.pattern[:, :, start:, start:][:, :, :, None]  # kv, group, query i, 1, key j

    def _widen(self, start: int, flying: _Group | None, joining: _Group | None) -> _Group:
        groups = [group for group in (flying, joining) if group is not None]
        missing = [self.reach(start) - group.state.shape[1] for group in groups]
        states = [torch.nn.functional.pad(g.state, (0, 0, 0, m)) if m else g.state for g, m in zip(groups, missing, strict=True)]
        return _Group(torch.cat([group.entries for group in groups]), torch.cat(states))


def _mix(mixing: Tensor, rows: Tensor) -> Tensor:
    """rows (row, place j, kv_head * h in * head_dim) → (row, place i, kv_head * h out * head_dim)."""
    kv_heads, h_out, reach, h_in, _ = mixing.shape
    count, places, _ = rows.shape
    columns = rows.view(count, places, kv_heads, h_in, -1).permute(2, 3, 1, 0, 4).reshape(kv_heads, h_in * places, -1)
    mixed = mixing[..., :places].reshape(kv_heads, h_out * reach, h_in * places) @ columns
    return mixed.view(kv_heads, h_out, reach, count, -1).permute(3, 2, 0, 1, 4).reshape(count, reach, -1)


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
    if not flight:
        return
    for position, entries, vectors in _by_position(others, (others.layer == layer).nonzero().squeeze(1)):
        rows = _at(way, flight, position)
        if rows is not None:
            mine, theirs = way.ends.index[rows.entries], others.index[entries]
            effect = rows.state @ vectors.T
            if way.backward:
                out[mine[:, None], theirs] = effect.cpu()
            else:
                out[theirs[:, None], mine] = effect.T.cpu()


def _join(backward: _Way, targets: _Flight, forward: _Way, sources: _Flight, out: Tensor) -> None:
    """At the cut: effect of every source on every target, summed over the positions that both touch."""
    if not targets or not sources:
        return
    rows = torch.cat([targets[start].entries for start in sorted(targets)])
    columns = torch.cat([sources[start].entries for start in sorted(sources)])
    effect = torch.zeros(len(rows), len(columns), device=backward.network.device)
    for position in range(1, backward.network.n_positions):
        there, here = _at(backward, targets, position), _at(forward, sources, position)
        if there is not None and here is not None:  # the last rows touch it and the first columns: the lower left corner
            effect[len(rows) - len(there.entries) :, : len(here.entries)].addmm_(there.state, here.state.T)
    out[backward.ends.index[rows][:, None], forward.ends.index[columns]] = effect.cpu()


def _at(way: _Way, flight: _Flight, position: int) -> _Group | None:
    """Every row that touches a position, there: states (row, d_model); by start, ascending."""
    touching = [(start, flight[start]) for start in sorted(flight) if way.place(start, position) >= 0]
    if not touching:
        return None
    states = torch.cat([group.state[:, way.place(start, position)] for start, group in touching])
    return _Group(torch.cat([group.entries for _, group in touching]), states)


def cheapest_cut(network: FrozenNetwork, targets: Ends, sources: Ends, max_rows: int) -> int:
    """The layer at whose input targets and sources meet for the fewest multiplications, counted exactly."""
    n_layers, n_positions, d_model = network.n_layers, network.n_positions, network.d_model
    parts = network.model.parts
    per_place = d_model * parts.head_dim * (parts.n_heads + parts.n_kv_heads)

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
        back = (back_places * (layers[cut:] + 1 - cut).clamp(max=n_layers - cut)).sum() * per_place
        on = (on_places * (cut - layers[:cut])).sum() * per_place
        touching = wanted[cut:].sum(0).flip(0).cumsum(0).flip(0) * given[:cut].sum(0).cumsum(0)
        flights = max(1, -(-int(back_places.sum()) // max_rows))
        costs.append(float(back + on * flights + touching.sum() * d_model))
    return costs.index(min(costs))
