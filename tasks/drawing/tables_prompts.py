"""The results of phases `prompts`, `baseline` and `pairs` as plain columns, in the order of phase `prompts`.

Each table is made from one phase alone, so that the provenance of a figure is what the figure was given.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tasks.parts.intervals import clusters
from tasks.parts.turns import turns_of

if TYPE_CHECKING:
    from circuitstore.engine.inputs import Upstream

CORRECT = "correct answer"  # the name of this category in figures


@dataclass
class Prompts:
    """Phase `prompts`: arrays (prompt,) of text, texts of tokens, and category → (prompt,) values."""

    ids: list[str]
    text: np.ndarray
    correct: np.ndarray
    incorrect: np.ndarray
    split: np.ndarray
    group: np.ndarray
    template: np.ndarray
    partner: np.ndarray
    tokens: list[list[str]]
    turns: list[list[str]]  # whose turn of a chat each token is, "" for the template; empty without one
    labels: dict[str, np.ndarray]

    @classmethod
    def of(cls, upstream: Upstream) -> Prompts:
        """From phase `prompts`."""
        rows = list(upstream.each({}))
        text = {
            name: np.array([str(row[name].values) for _, row in rows])
            for name in ("text", "correct", "incorrect", "split", "group", "template", "partner")
        }
        labels = [json.loads(str(row.labels.values)) for _, row in rows]
        common = [name for name in labels[0] if all(name in row for row in labels)]
        return cls(
            ids=[str(coords["prompt"]) for coords, _ in rows],
            **text,
            tokens=[list(map(str, row.token_text.values)) for _, row in rows],
            turns=[turns_of(row) for _, row in rows],
            labels={name: np.array([str(row[name]) for row in labels]) for name in common},
        )

    @property
    def clusters(self) -> np.ndarray:
        """What intervals resample together: (prompt,) text."""
        return np.array(clusters(self.group.tolist(), self.ids, self.partner.tolist()))

    @property
    def resampled(self) -> str:
        """What these are called."""
        return resampled(self.group.tolist(), self.partner.tolist())

    @property
    def splits(self) -> list[str]:
        """The splits that have prompts, train first."""
        return [split for split in ("train", "test") if (self.split == split).any()]

    def category(self, most: int = 8) -> tuple[str, np.ndarray]:
        """The category by which figures tell prompts apart: its name and its values (prompt,).

        It is the first one of 2 to `most` values; the split where there is none.
        """
        candidates = {**self.labels, CORRECT: self.correct, "template": self.template}
        for name, values in candidates.items():
            if 2 <= len(set(values)) <= most:
                return name.replace("_", " "), values
        return "split", self.split

    @cached_property
    def kinds(self) -> tuple[str, np.ndarray] | None:
        """What tells kinds of prompts apart, whatever their answers: name and values (prompt,), or None.

        It is the first label of 2 to 4 values in the last split that the prompts of each minimal pair share.
        """
        index = {name: i for i, name in enumerate(self.ids)}
        pairs = [(i, index[name]) for i, name in enumerate(self.partner) if name]
        last = self.split == self.splits[-1]
        for name, values in self.labels.items():
            if 2 <= len(set(values[last])) <= 4 and all(values[i] == values[j] for i, j in pairs):
                return name.replace("_", " "), values
        return None

    @cached_property
    def usual(self) -> tuple[str, np.ndarray]:
        """The kind of most prompts of the last split, in words, and which prompts are of it: (prompt,) bool.

        The words are "" and all prompts are of it where no kind has more than half.
        """
        last = self.split == self.splits[-1]
        if self.kinds is not None:
            name, values = self.kinds
            value, count = Counter(values[last].tolist()).most_common(1)[0]
            if 2 * count > last.sum():
                return f"{name} = {value}", values == value
        return "", np.ones(len(self.ids), dtype=bool)

    def contrast(self, most: int = 4) -> tuple[str, np.ndarray]:
        """The category that the behaviour turns on: its name and its values (prompt,).

        Of the categories of at most `most` values that differ within every minimal pair, it is the one that
        says most about the correct answer; `category` where there is none.
        """
        index = {name: i for i, name in enumerate(self.ids)}
        pairs = [(i, index[name]) for i, name in enumerate(self.partner) if name]
        candidates = {CORRECT: self.correct, **self.labels}
        agreement = {}
        for name, values in candidates.items():
            if pairs and len(set(values)) <= most and all(values[i] != values[j] for i, j in pairs):
                common = [
                    Counter(self.correct[values == value].tolist()).most_common(1)[0][1]
                    for value in sorted(set(values))
                ]
                agreement[name] = sum(common)
        if not agreement:
            return self.category(most)
        best = max(agreement, key=lambda name: agreement[name])
        return best.replace("_", " "), candidates[best]


@dataclass
class Baseline:
    """Phase `baseline`: arrays (prompt,); margins and log-probabilities are in nats."""

    margin: np.ndarray
    log_prob_correct: np.ndarray
    rank: np.ndarray

    @classmethod
    def of(cls, upstream: Upstream) -> Baseline:
        """From phase `baseline`."""
        rows = [row for _, row in upstream.each({})]
        columns = ("logit_difference", "log_prob_correct", "rank_correct")
        return cls(*(np.array([row[name].item() for row in rows]) for name in columns))


@dataclass
class Pairs:
    """Phase `pairs`: the role of every position of each prompt."""

    roles: dict[str, list[str]]  # prompt → (position,)

    @classmethod
    def of(cls, upstream: Upstream) -> Pairs:
        """From phase `pairs`."""
        return cls(
            {str(coords["prompt"]): list(map(str, row.role.values)) for coords, row in upstream.each({})}
        )

    @cached_property
    def place(self) -> dict[str, float]:
        """The mean place of each role in its prompts; that of the first token is 0, of the last one 1."""
        by_role: dict[str, list[float]] = {}
        for names in self.roles.values():
            for i, name in enumerate(names):
                by_role.setdefault(name, []).append(i / max(len(names) - 1, 1))
        return {name: float(np.mean(places)) for name, places in by_role.items()}


def resampled(groups: list[str], partners: list[str]) -> str:
    """What intervals resample of prompts with these groups and partners, (prompt,) each, in words."""
    if any(groups):
        return "lexical groups" if all(groups) else "lexical groups and prompts without one"
    return "minimal pairs" if any(partners) else "prompts"


def examples(prompts: Prompts, baseline: Baseline, count: int) -> list[str]:
    """Ids of the `count` prompts that are shown: the one of median margin, its partner, then the next ones.

    The median is that of the test split, if there is one, and of its usual kind of prompts. Examples are
    chosen by the baseline alone, never by how their graphs look.
    """
    _, usual = prompts.usual
    pool = [i for i in range(len(prompts.ids)) if prompts.split[i] == prompts.splits[-1] and usual[i]]
    median = float(np.median(baseline.margin[pool]))
    nearest = sorted(pool, key=lambda i: (abs(baseline.margin[i] - median), prompts.ids[i]))
    ranked = [prompts.ids[i] for i in nearest]
    partner = str(prompts.partner[prompts.ids.index(ranked[0])])
    chosen = dict.fromkeys([ranked[0], *([partner] if partner else []), *ranked])
    return list(chosen)[:count]
