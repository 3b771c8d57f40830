"""Attribution graphs and interventions, on a model and its transcoders. Knows nothing of phases or stores.

The import below runs before any module of this package computes (see `circuitstore.models`).
"""

from circuitstore.models import device as device
