"""Published results that the numbers of a behaviour are set beside, with their sources.

Most are from *Circuit Tracing: Revealing Computational Graphs in Language Models* (Anthropic, 2025),
evaluation and graph-pruning sections. Its models, data and transcoders are others, so no agreement is
expected: only the scale is compared.
"""

from __future__ import annotations

SCORES = {"completeness": 0.78, "replacement": 0.37}  # per-layer transcoders; cross-layer: 0.80 and 0.61
PRUNED_NODES = (236, 137, 55, 27)  # nodes kept at a share of influence of 0.95, 0.9, 0.8, 0.7
# Spearman's correlation of the influence of a feature on another with the size of the effect of ablating it,
# mean over 20 prompts.
PREDICTION = 0.72
CT = "Circuit Tracing (2025)"
NONE = "no counterpart"

# Targets of this project.
RATIO, RATIO_SIZE = 5, 10  # effect of ablating this many features, as a multiple of that of controls
FLIPS = 0.8  # share of answers flipped by patching
ACCURACY = 0.8

METHODS = (  # what is compared, its name, the published value for per-layer transcoders
    ("completeness", "completeness score", "0.78 (cross-layer: 0.80)"),
    ("replacement", "replacement score", "0.37 (cross-layer: 0.61)"),
    ("path", "mean path length, edges", "3.7 (cross-layer: 2.3)"),
    ("nodes", "nodes that hold 0.8 of influence", "55"),
    ("prediction", "influence between features, ρ", "0.72"),
    ("margin", "attribution and effect on the margin, ρ", NONE),
    ("l0", "active features a position (L0)", "88 (Haiku: 235)"),
    ("mse", "normalised MSE", "11.5% (Haiku: 21.7%)"),
)
CHOICES = {"circuit": "chosen on train", "own": "chosen by the prompt's own graph"}

BIOLOGY = "On the Biology (2025)"
CASES = {"capital": "multi-step reasoning", "antonym": "multilingual circuits", "addition": "addition"}
BEHAVIOURS = {  # what is compared, its name, the published value, its source
    "plural": (
        ("accuracy", "accuracy (positive margin)", "0.9875 (Qwen3-4B-Instruct)", "earlier reproduction"),
        ("margin", "mean margin, nats", "4.11 (Qwen3-4B-Instruct)", "earlier reproduction"),
    ),
    "addition": (
        ("accuracy", "accuracy (positive margin)", "0.777, first answer (Qwen3-4B)", "independent log"),
    ),
}
