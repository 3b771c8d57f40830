"""Per-layer transcoders: their files, training and quality.

The import below runs before any module of this package computes (see `circuitstore.models`).
"""

from circuitstore.models import device as device
