"""How much is computed at once: rows through the frozen network, edited runs of the model. Imports no torch.

The numbers are constants and not settings, because they decide the last bits of results. A setting that only
says how much memory there is may not do that. Cost estimates need the numbers too, and must not load torch
for it.
"""

from __future__ import annotations

# Bytes of all rows in flight, backward and forward together. What does not fit is carried in batches.
FLIGHT_BYTES = 2 * 10**9
# Rows that start at once, about. What each head makes of them is kept apart until it is spread.
STARTING_ROWS = 256
# Pairs of a row and an offset that are moved by one product. So many let the outputs of their heads stay in
# the cache, and are enough to make reading the weights worth while.
MOVED_ROWS = 2_048
EDITED_RUNS = 64  # edited copies of a prompt that are run as one batch
