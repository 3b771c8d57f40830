"""What activations are compared over: prompts and contexts, and the categories that these fall into.

A **context** is a distinct run of tokens from the start of a prompt to one of its kept positions. The model
is causal, so an activation depends on its context and on nothing else. Prompts that begin alike share
contexts, and each context is one observation, however many prompts share it. The prepended token has no
features and is no context.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tasks.parts.positions import first_with_features

if TYPE_CHECKING:
    import xarray as xr

PROMPT, CONTEXT = "prompt", "context"
FIELDS = ("correct", "template", "group", "split")  # of a prompt, compared beside its labels
POSITION = "position"  # the name of categories of contexts at one place from the end
CONTROL = "split"  # tested like the others, to show what chance and held-out words do; never a label


@dataclass(frozen=True)
class Contexts:
    """All contexts of the prompts of a behaviour; prompts are in order of their ids."""

    prompts: tuple[str, ...]
    index: np.ndarray  # (prompt, position) int64: the context that ends there, -1 for none; last token last
    token: np.ndarray  # (context,) int32: its last token
    before: np.ndarray  # (context,) int32: the token before the last

    @classmethod
    def of(cls, prompts: dict[str, xr.Dataset], kept: dict[str, int]) -> Contexts:
        """From the rows of phase `prompts` by id, and how many last positions of each prompt are kept."""
        names = tuple(sorted(prompts))
        numbers: dict[tuple[int, ...], int] = {}
        index = np.full((len(names), max(kept.values())), -1, dtype=np.int64)
        for i, name in enumerate(names):
            tokens = tuple(prompts[name].tokens.values.tolist())
            for position in range(first_with_features(len(tokens), kept[name]), len(tokens)):
                index[i, position - len(tokens)] = numbers.setdefault(tokens[: position + 1], len(numbers))
        ends = np.array([run[-2:] for run in numbers], dtype=np.int32).reshape(-1, 2)
        return cls(names, index, ends[:, 1], ends[:, 0])


@dataclass(frozen=True)
class Category:
    """A property that some observations have: prompts (the value of a label) or contexts (a token, …)."""

    level: str  # PROMPT or CONTEXT
    name: str  # "token", "token before", "position", or what the labels of prompts call it
    value: str
    text: str  # unique among the categories
    members: np.ndarray  # (prompt,) or (context,) bool
    token: int = -1  # the token id, for "token" and "token before"


def categories(
    prompts: dict[str, xr.Dataset], contexts: Contexts, least: int, decode: Callable[[int], str]
) -> list[Category]:
    """The categories that at least `least` observations have and as many do not have.

    Categories of contexts come first, then categories of prompts, each in a fixed order. `decode` gives the
    text of a token id.
    """
    every = [*_of_contexts(contexts, decode), *_of_prompts(prompts, contexts.prompts)]
    tested = [
        category for category in every if least <= category.members.sum() <= len(category.members) - least
    ]
    return [_unique(category, tested) for category in tested]


def _of_contexts(contexts: Contexts, decode: Callable[[int], str]) -> list[Category]:
    """Every token, token before, and position counted from the end."""
    result = []
    for name, ids, text in (
        ("token", contexts.token, "token {}"),
        ("token before", contexts.before, "after token {}"),
    ):
        result += [
            Category(CONTEXT, name, decode(token), text.format(repr(decode(token))), ids == token, token)
            for token in np.unique(ids).tolist()
        ]
    for back in range(1, contexts.index.shape[1] + 1):
        members = np.isin(np.arange(len(contexts.token)), contexts.index[:, -back])
        result.append(Category(CONTEXT, POSITION, str(-back), f"position {-back}", members))
    return result


def _of_prompts(prompts: dict[str, xr.Dataset], order: tuple[str, ...]) -> list[Category]:
    """Every value of every label and field."""
    rows = [_properties(prompts[name]) for name in order]
    result = []
    for name in sorted({name for row in rows for name in row}, key=lambda name: (name in FIELDS, name)):
        values = np.array([row.get(name, "") for row in rows])
        result += [
            Category(PROMPT, name, value, f"{name}={value}", values == value)
            for value in np.unique(values).tolist()
            if value
        ]
    return result


def _properties(prompt: xr.Dataset) -> dict[str, str]:
    """The labels and fields of a prompt. A label that is named like a field is called "labels.NAME"."""
    labels = json.loads(str(prompt.labels.values))
    fields = {name: str(prompt[name].values) for name in FIELDS}
    return {
        **{f"labels.{name}" if name in FIELDS else name: str(value) for name, value in labels.items()},
        **fields,
    }


def same_members(tested: list[Category]) -> np.ndarray:
    """The first category of the same level that has the same members: (category,) int32, itself if none."""
    first: dict[tuple[str, bytes], int] = {}
    keys = ((category.level, category.members.tobytes()) for category in tested)
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], dtype=np.int32)


def _unique(category: Category, tested: list[Category]) -> Category:
    """The category, with a mark in its text if others read the same, such as tokens of unfinished UTF-8."""
    same = [other for other in tested if other.text == category.text]
    if len(same) == 1:
        return category
    mark = category.token if category.token >= 0 else same.index(category)
    return replace(category, text=f"{category.text} #{mark}")
