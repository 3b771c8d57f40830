"""What activations are compared over: prompts, and contexts; and the categories that both fall into.

A **context** is a distinct run of tokens from the start of a prompt to one of its kept positions. The model
is causal, so an activation depends on its context and nothing else: where prompts begin alike they share
contexts, and each is one observation, not as many as there are prompts. The prepended token has no features
and is no context.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

PROMPT, CONTEXT = "prompt", "context"
FIELDS = ("correct", "template", "group", "split")  # of a prompt, compared beside its labels
CONTROL = "split"  # tested like the others, to show what chance and held-out words do, but never a label


@dataclass(frozen=True)
class Contexts:
    """All contexts of a behaviour's prompts, which are in order of their ids."""

    prompts: tuple[str, ...]
    place: (
        np.ndarray
    )  # (prompt, position) int64: the context that ends there, -1 for none; [:, -1] is the last token
    token: np.ndarray  # (context,) int32: its last token
    before: np.ndarray  # (context,) int32: the token before that

    @classmethod
    def of(cls, prompts: dict[str, xr.Dataset], kept: dict[str, int]) -> Contexts:
        """From the rows of phase `prompts` by id, and how many last positions of each are kept."""
        names = tuple(sorted(prompts))
        numbers: dict[tuple[int, ...], int] = {}
        place = np.full((len(names), max(kept.values())), -1, dtype=np.int64)
        for i, name in enumerate(names):
            tokens = tuple(prompts[name].tokens.values.tolist())
            for position in range(max(len(tokens) - kept[name], 1), len(tokens)):
                place[i, position - len(tokens)] = numbers.setdefault(tokens[: position + 1], len(numbers))
        ends = np.array([run[-2:] for run in numbers], dtype=np.int32).reshape(-1, 2)
        return cls(names, place, ends[:, 1], ends[:, 0])


@dataclass(frozen=True)
class Category:
    """One property that some observations have: prompts (a label's value) or contexts (a token, a position)."""

    level: str  # PROMPT or CONTEXT
    name: str  # "token", "token before", "position", or what the prompts' labels call it
    value: str
    text: str  # unique among the categories
    members: np.ndarray  # (prompt,) or (context,) bool
    token: int = -1  # id, of "token" and "token before"


def categories(
    prompts: dict[str, xr.Dataset], contexts: Contexts, least: int, decode: Callable[[int], str]
) -> list[Category]:
    """All that at least ``least`` observations have and as many have not: of contexts, then of prompts, each
    in a fixed order.
    """
    found = []
    for name, ids, text in (
        ("token", contexts.token, "token {}"),
        ("token before", contexts.before, "after token {}"),
    ):
        found += [
            Category(CONTEXT, name, decode(token), text.format(repr(decode(token))), ids == token, token)
            for token in np.unique(ids).tolist()
        ]
    for back in range(1, contexts.place.shape[1] + 1):
        members = np.isin(np.arange(len(contexts.token)), contexts.place[:, -back])
        found.append(Category(CONTEXT, "position", str(-back), f"position {-back}", members))
    rows = [_properties(prompts[name]) for name in contexts.prompts]
    for name in sorted({name for row in rows for name in row}, key=lambda name: (name in FIELDS, name)):
        values = np.array([row.get(name, "") for row in rows])
        found += [
            Category(PROMPT, name, value, f"{name}={value}", values == value)
            for value in np.unique(values).tolist()
            if value
        ]
    tested = [
        category for category in found if least <= category.members.sum() <= len(category.members) - least
    ]
    return [_unique(category, tested) for category in tested]


def _properties(prompt: xr.Dataset) -> dict[str, str]:
    """What is known of a prompt: its labels and fields."""
    labels = json.loads(str(prompt.labels.values))
    fields = {name: str(prompt[name].values) for name in FIELDS}
    return {
        **{f"labels.{name}" if name in FIELDS else name: str(value) for name, value in labels.items()},
        **fields,
    }


def _unique(category: Category, all_of_them: list[Category]) -> Category:
    """The category, its text told from others that read the same (tokens of unfinished UTF-8, for one)."""
    same = [other for other in all_of_them if other.text == category.text]
    if len(same) == 1:
        return category
    mark = category.token if category.token >= 0 else same.index(category)
    return Category(
        category.level,
        category.name,
        category.value,
        f"{category.text} #{mark}",
        category.members,
        category.token,
    )
