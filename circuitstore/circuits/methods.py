"""The names of the attribution methods, as settings, datasets and figures spell them."""

from __future__ import annotations

# How the edges of a graph are computed: exactly, in the frozen network, or by gradients of the real model, at
# the prompt or integrated along a path to it.
GRAPH_METHODS = ("direct", "gradient", "integrated")
# How the contribution of a node to the logit difference is computed (`margin`).
MARGIN_METHODS = ("direct", "total", "gradient", "integrated")
