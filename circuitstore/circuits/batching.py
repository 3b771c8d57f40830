"""How much is computed at once: rows through the frozen network, edited runs of the model. Imports no torch.

The numbers are constants and not settings, because they decide the last bits of results. A setting that only
says how much memory there is may not do that. They follow from the kind of device alone. Cost estimates need
the numbers too, and must not load torch for it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Batching:
    """What one kind of device is given at once to carry rows through the frozen network."""

    # Bytes of all rows in flight, backward and forward together. What does not fit is carried in batches.
    flight_bytes: int
    # Rows that start at once, about. What each head makes of them is kept apart until it is spread.
    starting_rows: int
    # Pairs of a row and an offset that are moved by one product.
    moved_rows: int
    # Rows that start at so many neighbouring positions share a block, where each has the reach of the
    # longest. With 1 nothing is multiplied in vain; with more there are fewer, larger products.
    span: int
    # Bytes of rows over every active feature that are kept while nodes are chosen. What does not fit is
    # computed again in every stage, `block_bytes` at a time.
    chosen_bytes: int
    block_bytes: int
    # Bytes of transcoder rows that are kept for one prompt, as they are stored.
    kept_bytes: int


# A CPU is fastest when the outputs of heads stay in its cache, and reading the weights is still worth while.
CPU = Batching(
    flight_bytes=10**9,
    starting_rows=256,
    moved_rows=2_048,
    span=1,
    chosen_bytes=5 * 10**8,
    block_bytes=10**8,
    kept_bytes=10**9,
)
# An accelerator is idle between small products.
ACCELERATOR = Batching(
    flight_bytes=6 * 10**9,
    starting_rows=1_024,
    moved_rows=16_384,
    span=16,
    chosen_bytes=8 * 10**9,
    block_bytes=2 * 10**9,
    kept_bytes=2 * 10**9,
)

EDITED_RUNS = 64  # edited copies of a prompt that are run as one batch


def batching(device: str) -> Batching:
    """What a kind of device, as torch names it, is given at once."""
    return CPU if device == "cpu" else ACCELERATOR
