"""The label of a feature: the category that best accounts for it, by a stated rule.

    confidence = effect · coverage

of the category for which this product is largest, among those in which the feature is significantly (q ≤
`fdr`) *more* active. Confidence is in [0, 1]: 1 means that the feature is more active in every observation of
the category than in any other, and active nowhere else. A category too narrow for the feature has little
coverage, one too wide has a small effect. A label is given from a confidence of `label_confidence`.

**Ties.** Where a design lets two categories hold the same prompts, such as a state and its capital, nothing
in the activations tells them apart. All categories of largest confidence are named, except those that give an
earlier one's value another name. The first of them is one
whose value the feature promotes, if there is one, then a category of contexts, then one of prompts.

**Positions** hold many different contexts, so they cover much. A position is no label of a feature that tells
another category almost perfectly (`ALMOST`) and with enough confidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tasks.parts.contexts import CONTROL, POSITION

if TYPE_CHECKING:
    from tasks.parts.contexts import Category
    from tasks.settings.phases import Interpretation

UNLABELLED = "unlabelled"
ALMOST = 0.95  # an effect
EQUAL = 1e-6  # relative difference of confidences that rounding may make


def dominant(
    effect: np.ndarray,
    q: np.ndarray,
    coverage: np.ndarray,
    promoted: np.ndarray,
    tested: list[Category],
    config: Interpretation,
) -> dict[str, np.ndarray]:
    """Label, confidence, and the numbers of the dominant category, (unit,), from arrays (unit, category).

    `promoted` (unit, category) bool says whether the value of the category is a token that the unit promotes.
    `tied` (unit, category) bool is among the results: the dominant categories, all of them.
    """
    count, names = len(effect), np.array([each.name for each in tested], dtype=str)
    if not tested:
        none = np.full(count, np.nan)
        return _result(
            np.zeros((count, 0), bool), np.full(count, -1), np.zeros(count), (none,) * 3, [], config
        )
    eligible = (q <= config.fdr) & (effect > 0) & (names != CONTROL)
    score = np.where(eligible, effect * coverage, 0)
    position = names == POSITION
    perfect = eligible & (effect >= ALMOST) & (score >= config.label_confidence) & ~position
    score = np.where(position & perfect.any(1)[:, None], 0, score)
    confidence = score.max(1)
    tied = (score > 0) & (score >= confidence[:, None] * (1 - EQUAL))
    best = np.where(confidence > 0, (tied * (1 + (promoted & tied))).argmax(1), -1)
    rows = np.arange(count)
    numbers = tuple(np.where(best >= 0, table[rows, best], np.nan) for table in (effect, coverage, q))
    return _result(tied, best, confidence, numbers, tested, config)


def _result(
    tied: np.ndarray,
    best: np.ndarray,
    confidence: np.ndarray,
    numbers: tuple[np.ndarray, ...],
    tested: list[Category],
    config: Interpretation,
) -> dict[str, np.ndarray]:
    """The arrays that phase `interpretation` stores; `numbers` are effect, coverage and q (unit,)."""
    effect, coverage, q = numbers
    labels = []
    for unit, first in enumerate(best.tolist()):
        if first < 0 or confidence[unit] < config.label_confidence:
            labels.append(UNLABELLED)
            continue
        places = [first, *np.flatnonzero(tied[unit]).tolist()]
        # A state that is the lexical group, too, is one thing with two names.
        once = {tested[i].value.strip(): tested[i].text for i in reversed(places)}
        texts = [text for text in dict.fromkeys(tested[i].text for i in places) if text in once.values()]
        labels.append(f"{' or '.join(texts)} (r={effect[unit]:.2f})")
    return {
        "label": np.array(labels, dtype=str),
        "confidence": confidence.astype(np.float32),
        "label_category": best.astype(np.int32),
        "label_effect": effect.astype(np.float32),
        "label_coverage": coverage.astype(np.float32),
        "label_q": q,
        "tied": tied,
    }
