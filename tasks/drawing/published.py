"""Published results that the numbers of a behaviour are set beside, with their sources and what they are of.

Most are from *Circuit Tracing: Revealing Computational Graphs in Language Models* (Anthropic, 2025),
evaluation and graph-pruning sections. Its models, data and transcoders are others, so no agreement is
expected: only the scale is compared. Numbers of single example graphs and of cross-layer transcoders are
marked as such, because the numbers here are means over graphs of per-layer transcoders.
"""

from __future__ import annotations

from dataclasses import dataclass

SCORES = {"completeness": 0.78, "replacement": 0.37}  # one example graph, per-layer; cross-layer 0.80, 0.61
PRUNED_NODES = (236, 137, 55, 27)  # of one example graph, cross-layer: nodes that hold 0.95, 0.9, 0.8, 0.7
# Spearman's correlation of the influence of a feature on another with the size of the effect of ablating it,
# cross-layer, mean over 20 prompts. It is of features on features, and says nothing of effects on margins.
PREDICTION = 0.72
CT = "Circuit Tracing (2025)"
NONE = "no counterpart"

METHODS = (  # what is compared, its name, the published value
    (
        "completeness",
        "completeness score",
        "0.78 (one graph; cross-layer: 0.80); pruned to 0.8: 0.70 (one graph, cross-layer)",
    ),
    ("replacement", "replacement score", "0.37 (one graph; cross-layer: 0.61)"),
    ("path", "mean path length, edges", "3.7 (one graph; cross-layer: 2.3)"),
    ("nodes", "nodes that hold 0.8 of influence", "55 (one graph, cross-layer)"),
    ("prediction", "influence between features, ρ", "0.72 (cross-layer)"),
    ("output", "influence and KL of ablation, log-log r", "shown, above direct edges"),
    ("near", "perturbation one layer on: cosine, error", "about 0.8, 0.4 (cross-layer)"),
    ("l0", "active features of all layers (L0)", "88 (cross-layer; Haiku: 235)"),
    ("mse", "normalised MSE", "11.5% (cross-layer; Haiku: 21.7%)"),
)
CHOICES = {"train": "chosen on train", "own": "chosen by the prompt's own graph"}

BIOLOGY = "On the Biology (2025)"
CASES = {"capital": "multi-step reasoning", "antonym": "multilingual circuits", "addition": "addition"}


@dataclass(frozen=True)
class Work:
    """A work that the report cites."""

    short: str  # as it is cited
    text: str
    address: str


REFERENCES = {
    "ameisen": Work(
        "Ameisen et al., 2025",
        "Ameisen et al. (2025), Circuit Tracing: Revealing Computational Graphs in Language Models",
        "https://transformer-circuits.pub/2025/attribution-graphs/methods.html",
    ),
    "lindsey": Work(
        "Lindsey et al., 2025",
        "Lindsey et al. (2025), On the Biology of a Large Language Model",
        "https://transformer-circuits.pub/2025/attribution-graphs/biology.html",
    ),
    "hanna": Work(
        "Hanna et al., 2024",
        "Hanna, Pezzelle and Belinkov (2024), Have Faith in Faithfulness",
        "https://arxiv.org/abs/2403.17806",
    ),
    "marks": Work(
        "Marks et al., 2024",
        "Marks et al. (2024), Sparse Feature Circuits",
        "https://arxiv.org/abs/2403.19647",
    ),
    "syed": Work(
        "Syed et al., 2023",
        "Syed, Rager and Conmy (2023), Attribution Patching Outperforms Automated Circuit Discovery",
        "https://arxiv.org/abs/2310.10348",
    ),
    "mueller": Work(
        "Mueller et al., 2025",
        "Mueller et al. (2025), MIB: A Mechanistic Interpretability Benchmark",
        "https://arxiv.org/abs/2504.13151",
    ),
    "dunefsky": Work(
        "Dunefsky et al., 2024",
        "Dunefsky, Chlenski and Nanda (2024), Transcoders Find Interpretable LLM Feature Circuits",
        "https://arxiv.org/abs/2406.11944",
    ),
}
