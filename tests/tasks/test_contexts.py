"""Contexts and categories: what is one observation, and how categories are named."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tasks.parts.contexts import Contexts, categories


def test_shared_contexts_are_one_observation():
    """Prompts that begin alike share contexts, and the prepended token is none."""
    rows = {
        name: xr.Dataset({"tokens": ("position", np.array(tokens))})
        for name, tokens in (("b", [0, 1, 2, 3]), ("a", [0, 1, 2]))
    }
    contexts = Contexts.of(rows, {"a": 3, "b": 4})
    assert contexts.prompts == ("a", "b")
    np.testing.assert_array_equal(contexts.index, [[-1, -1, 0, 1], [-1, 0, 1, 2]])
    np.testing.assert_array_equal([contexts.before, contexts.token], [[0, 1, 2], [1, 2, 3]])


def test_categories_that_read_alike_are_told_apart():
    """Two tokens that decode to the same text have two names."""
    rows = {
        f"p{i}": xr.Dataset({"tokens": ("position", np.array([0, 1 + i % 2, 3 + i])), **no_labels()})
        for i in range(8)
    }
    result = categories(rows, Contexts.of(rows, dict.fromkeys(rows, 2)), 1, lambda token: "\ufffd")
    names = [category.text for category in result]
    assert len(set(names)) == len(names)


def no_labels() -> dict:
    """The variables of a prompt about which nothing is known."""
    return {
        name: ((), np.array(text))
        for name, text in {
            **dict.fromkeys(("correct", "template", "group", "split"), ""),
            "labels": "{}",
        }.items()
    }
