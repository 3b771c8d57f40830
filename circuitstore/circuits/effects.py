"""Effects of many sources on many targets through the frozen network, by plain matrix products.

The effect of a source that writes w at (layer, position s) on a target that reads u at (layer', position p)
is u · J w, where J is the frozen network between them. J is linear and causal, so nothing is differentiated:

*   A target is carried backward, or a source forward, as a row of a matrix, one attention layer at a time. A
    row has only the positions that it can reach: backward from p these are p … 1, forward from s they are
    s … last (`flight`).
*   Targets and sources *meet in the middle*. At a cut layer c, targets at or above c have been carried
    backward to it, and sources below c forward to it. One product there gives all their effects. Pairs on one
    side of the cut meet on the way. A row is then carried through about a quarter of the layers instead of
    half. The cut is the cheapest one by the number of multiplications.

Position 0 takes no part. What enters there are constants and one embedding, which `FrozenNetwork.carry`
handles.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Attribution". The edge weights are those
defined there, computed in another order.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from circuitstore.circuits.ends import Ends, Meeting, add
from circuitstore.circuits.flight import Carrier, Flight, packed
from circuitstore.circuits.frozen_network import FrozenNetwork

Passing = Callable[[Flight, int], None]  # what is done when a flight passes the ends of a layer


def effects(network: FrozenNetwork, targets: Ends, sources: Ends, out: Tensor) -> None:
    """Add the effect of every source on every target to ``out[target.index, source.index]``.

    ``out`` (target, source) float32 is on the network's device. Sources of one index are one source that
    enters at several layers. Rows
    in flight take at most `Batching.flight_bytes`. What does not fit goes in batches, and forward rows are
    carried again for every batch of backward rows. The batches decide the last bits of a result, so the bound
    is a constant: it follows from the kind of device, and from no setting.
    """
    parts = network.model.parts
    # A row has a state, a copy of it, and the outputs of its heads when it starts.
    row_bytes = 4 * (2 * network.d_model + parts.n_heads * parts.head_dim)
    backward, forward = Carrier(network, targets, backward=True), Carrier(network, sources, backward=False)
    max_rows = max(backward.at_once.flight_bytes // row_bytes // 2, network.n_positions)
    cut = cheapest_cut(network, targets, sources, max_rows)
    late = backward.batches(targets.layer >= cut, max_rows)
    early = forward.batches(sources.layer < cut, max_rows)
    # Without late targets there is one empty batch, for the sources still pass the early targets.
    for number, batch in enumerate(late or [targets.index[:0]]):
        arrived = _carry_back(
            backward, batch, cut, lambda flight, layer: _meet(backward, flight, sources, layer, out)
        )
        for other in early:
            passing: Passing | None = None
            if number == 0:
                passing = lambda flight, layer: _meet(forward, flight, targets, layer, out)  # noqa: E731
            passed = _carry_on(forward, other, cut, passing)
            _meet_at_cut(backward, _sorted(arrived), forward, _sorted(passed), out)


def _carry_back(carrier: Carrier, batch: Tensor, cut: int, passing: Passing) -> Flight:
    """Carry targets from where they read to the input of layer ``cut``."""
    top = carrier.network.n_layers
    flight = carrier.start([], batch, top, None)
    passing(flight, top)
    for index in range(top - 1, cut - 1, -1):
        layer = carrier.network.layer(index)
        carrier.skip(flight, layer)
        carrier.attend(flight, layer)
        flight = carrier.start(flight, batch, index, layer)
        passing(flight, index)
    return flight


def _carry_on(carrier: Carrier, batch: Tensor, cut: int, passing: Passing | None) -> Flight:
    """Carry sources from where they enter to the input of layer ``cut``."""
    flight: Flight = []
    for index in range(cut):
        layer = carrier.network.layer(index)
        carrier.attend(flight, layer)
        flight = carrier.start(flight, batch, index, layer)
        if passing is not None:
            passing(flight, index)
        carrier.skip(flight, layer)
    return flight


def _meet(carrier: Carrier, flight: Flight, others: Ends, layer: int, out: Tensor) -> None:
    """Rows in flight pass the other ends of ``layer``."""
    meeting = Meeting.of(others, layer, carrier.network.n_positions) if flight else None
    if meeting is not None:
        carrier.meet(flight, meeting, out)


def _meet_at_cut(backward: Carrier, targets: Flight, forward: Carrier, sources: Flight, out: Tensor) -> None:
    """The effect of every source on every target at the cut, summed over the positions that both touch."""
    rows, columns = _entries(targets), _entries(sources)
    if not len(rows) or not len(columns):
        return
    effect = torch.zeros(len(rows), len(columns), device=backward.network.device)
    for position in range(1, backward.network.n_positions):
        # The last rows and the first columns touch the position: the lower left corner of the matrix.
        there, here = backward.touching(targets, position), forward.touching(sources, position)
        effect[len(rows) - len(there) :, : len(here)].addmm_(there, here.T)
    add(out, backward.ends.index[rows][:, None], forward.ends.index[columns], effect)


def _sorted(flight: Flight) -> Flight:
    """All rows in one chunk, by starting position."""
    return packed([block for chunk in flight for block in chunk.blocks])


def _entries(flight: Flight) -> Tensor:
    """The entries of all rows (row,) int64, in their order."""
    entries = [block.entries for chunk in flight for block in chunk.blocks]
    return torch.cat([torch.empty(0, dtype=torch.int64), *entries])


def cheapest_cut(network: FrozenNetwork, targets: Ends, sources: Ends, max_rows: int) -> int:
    """The layer at whose input targets and sources meet for the fewest multiplications, counted exactly.

    ``max_rows`` is how many pairs of a row and an offset may be in flight at once.
    """
    n_layers, n_positions, d_model = network.n_layers, network.n_positions, network.d_model
    parts = network.model.parts
    both = d_model * parts.head_dim  # of the product with one value head, or one output head
    per_offset, first = both * (parts.n_heads + parts.n_kv_heads), both * 2 * parts.n_heads

    def histogram(ends: Ends) -> Tensor:  # (layer + 1, position) float64
        flat = ends.layer * n_positions + ends.position
        return torch.bincount(flat, minlength=(n_layers + 1) * n_positions).view(-1, n_positions).double()

    wanted, given = histogram(targets), histogram(sources)
    position = torch.arange(n_positions, dtype=torch.float64)
    layers = torch.arange(n_layers + 1, dtype=torch.float64)
    costs = []
    for cut in range(n_layers + 1):
        back_offsets = (wanted[cut:] * position).sum(1)
        on_offsets = (given[:cut] * (n_positions - position)).sum(1)
        back = (back_offsets * (layers[cut:] - cut).clamp(max=n_layers - cut)).sum() * per_offset
        back += wanted[cut:n_layers].sum() * first
        on = (on_offsets * (cut - 1 - layers[:cut])).sum() * per_offset + given[:cut].sum() * first
        touching = wanted[cut:].sum(0).flip(0).cumsum(0).flip(0) * given[:cut].sum(0).cumsum(0)
        flights = max(1, -(-int(back_offsets.sum()) // max_rows))
        costs.append(float(back + on * flights + touching.sum() * d_model))
    return costs.index(min(costs))
