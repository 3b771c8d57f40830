"""The label of a feature: the category that best accounts for it, by a stated rule.

    confidence = effect · coverage

of the category for which this product is largest, among those in which the feature is significantly (q ≤
`fdr`) *more* active. Ties go to contexts before prompts. Confidence is in [0, 1]: 1 means that the feature is
more active in every observation of the category than in any other, and active nowhere else. A category too
narrow for the feature has little coverage, one too wide has a small effect. A label is given from a
confidence of `label_confidence`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tasks.parts.contexts import CONTROL

if TYPE_CHECKING:
    from tasks.parts.contexts import Category
    from tasks.settings.phases import Interpretation

UNLABELLED = "unlabelled"


def dominant(
    effect: np.ndarray,
    q: np.ndarray,
    coverage: np.ndarray,
    tested: list[Category],
    config: Interpretation,
) -> dict[str, np.ndarray]:
    """Label, confidence, and the numbers of the dominant category, (unit,), from arrays (unit, category)."""
    eligible = (
        (q <= config.fdr) & (effect > 0) & np.array([each.name != CONTROL for each in tested], dtype=bool)
    )
    score = np.where(eligible, effect * coverage, 0)
    best = score.argmax(1) if tested else np.zeros(len(score), dtype=np.int64)
    units = np.arange(len(score))
    confidence = score[units, best] if tested else np.zeros(len(score))
    chosen = confidence > 0

    def of_best(table: np.ndarray) -> np.ndarray:
        return np.where(chosen, table[units, best], np.nan) if tested else np.full(len(score), np.nan)

    best_effect = of_best(effect)
    labels = [
        f"{tested[best[i]].text} (r={best_effect[i]:.2f})"
        if chosen[i] and confidence[i] >= config.label_confidence
        else UNLABELLED
        for i in units
    ]
    return {
        "label": np.array(labels, dtype=str),
        "confidence": confidence.astype(np.float32),
        "label_category": np.where(chosen, best, -1).astype(np.int32),
        "label_effect": best_effect.astype(np.float32),
        "label_coverage": of_best(coverage).astype(np.float32),
        "label_q": of_best(q),
    }
