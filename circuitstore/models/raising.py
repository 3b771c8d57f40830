"""How much of a half-precision matrix is raised to float32, and sent to an accelerator, at once.

The module imports no torch, because cost estimates need the numbers. They decide the last bits of products,
so they are constants.
"""

from __future__ import annotations

# Bytes of float32 rows that are raised at once. On a CPU they stay in the cache, from where they are read
# eleven times faster than from memory. Accelerators are fastest with few large products.
RAISED_BYTES = {"cpu": 1 << 21}
RAISED_BYTES_ELSEWHERE = 1 << 27
READERS = 3  # threads that fill pinned memory for an accelerator; they fill one piece more than they are
