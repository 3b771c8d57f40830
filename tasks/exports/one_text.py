"""The arguments of `circuitstore.attribute` as settings of the phase that answers it."""

from __future__ import annotations


def limits(max_logits: int, logit_prob: float, max_feature_nodes: int | None) -> tuple[str, ...]:
    """The settings, as `--set` takes them."""
    settings = [f"attribution.max_logits={max_logits}", f"attribution.logit_prob={logit_prob}"]
    if max_feature_nodes is not None:
        settings.append(f"attribution.max_feature_nodes={max_feature_nodes}")
    return tuple(settings)
