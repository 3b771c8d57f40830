"""Which category a feature is labelled by: ties, rounding, positions."""

from __future__ import annotations

import numpy as np

from tasks.parts.contexts import CONTEXT, PROMPT, Category
from tasks.parts.dominant import dominant
from tasks.settings.phases import Interpretation


def chosen(*scores: tuple[Category, float, float], promoted: tuple[str, ...] = ()) -> dict:
    """What `dominant` says of one unit with these effects and coverages, all of them significant."""
    tested, effect, coverage = zip(*scores, strict=True)
    values = np.array([[each.value in promoted for each in tested]])
    q = np.zeros((1, len(tested)))
    result = dominant(np.array([effect]), q, np.array([coverage]), values, list(tested), Interpretation())
    return {name: array[0] for name, array in result.items()}


def category(name: str, value: str, level: str = PROMPT) -> Category:
    return Category(level, name, value, f"{name}={value}", np.zeros(1, dtype=bool))


STATE, CAPITAL, OTHER = category("state", "Texas"), category("correct", "Austin"), category("template", "t")
LAST = category("position", "-1", CONTEXT)


def test_categories_that_tie_are_all_named_and_the_promoted_one_is_first():
    """A state and its capital hold the same prompts: only what the feature promotes can put one first."""
    tie = (STATE, 0.9, 0.8), (CAPITAL, 0.9, 0.8), (OTHER, 0.7, 0.9)
    assert chosen(*tie)["label"] == "state=Texas or correct=Austin (r=0.90)"
    assert chosen(*tie, promoted=("Austin",))["label"] == "correct=Austin or state=Texas (r=0.90)"
    assert chosen(*tie, promoted=("t",))["label"] == chosen(*tie)["label"]  # it does not tie
    assert chosen(*tie)["tied"].tolist() == [True, True, False]
    group = (category("group", "Texas"), 0.9, 0.8)  # another name of the state
    assert chosen(*tie, group)["label"] == chosen(*tie)["label"]
    assert chosen(*tie, group)["tied"].tolist() == [True, True, False, True]
    broken = (STATE, 0.9, 0.9), *tie[1:]
    assert chosen(*broken, promoted=("Austin",))["label"] == "state=Texas (r=0.90)"


def test_rounding_does_not_break_a_tie():
    near = chosen((STATE, 0.9, 0.8), (CAPITAL, 0.9, 0.8 * (1 + 1e-8)))
    assert near["tied"].all() and near["label"].startswith("state=Texas or")


def test_a_position_is_no_label_of_what_another_category_tells_almost_perfectly():
    """The position covers more, but r is about 1 for the state; without such a category it is the label."""
    last = (LAST, 0.8, 1.0)
    assert chosen(last, (STATE, 0.97, 0.7))["label"] == "state=Texas (r=0.97)"
    assert chosen(last, (STATE, 0.9, 0.7))["label"] == "position=-1 (r=0.80)"
    assert chosen(last, (STATE, 0.97, 0.3))["label"] == "position=-1 (r=0.80)"  # too little of it


def test_nothing_to_test_gives_no_label():
    none = np.zeros((3, 0))
    result = dominant(none, none, none, none.astype(bool), [], Interpretation())
    assert result["label"].tolist() == ["unlabelled"] * 3 and result["label_category"].tolist() == [-1] * 3
    assert result["tied"].shape == (3, 0) and np.isnan(result["label_effect"]).all()
