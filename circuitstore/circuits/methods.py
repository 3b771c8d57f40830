"""The names of the attribution methods, as settings, datasets and figures spell them."""

from __future__ import annotations

# How the edges of a graph are computed: exactly, in the frozen network, or by gradients of the real model.
GRAPH_METHODS = ("direct", "gradient")
# How the contribution of a node to the logit difference is computed (`margin`).
MARGIN_METHODS = ("direct", "total", "gradient")
