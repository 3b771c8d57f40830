"""Diagrams that are exported print what figures print, whichever features they show."""

from __future__ import annotations

import re

import numpy as np
import pytest
from drawn import SETTINGS
from workspace import BEHAVIOUR, PROFILE

from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name
from tasks.drawing import graphs
from tasks.drawing.plate import settle
from tasks.drawing.style import Look
from tasks.exports.graphs import files


def words(svg: bytes) -> list[str]:
    """The texts of an SVG file of matplotlib, which draws them as curves behind a comment."""
    return re.findall(r"<!-- (.*?) -->", svg.decode(), flags=re.DOTALL)


def test_an_exported_graph_says_what_its_figure_says(built, given, stored):
    """Labels without their r, tokens with their signs, and for features without a label what they promote."""
    store, artifact = Store(str(built.store)), built.artifact("attribution")
    prompt = next(iter(given["attribution"].graphs))
    made = files(store, Name(PROFILE, BEHAVIOUR, "attribution"), artifact, ("svg",), (prompt,))
    number = list(given["attribution"].graphs).index(prompt) + 1
    expected = words(stored[f"graph-{number}"].svg.values.tobytes())
    assert words(made[f"{prompt}.svg"]) == expected
    assert any(text.startswith("→") for text in expected) and not any("(r" in text for text in expected)


@pytest.mark.parametrize(
    ("count", "frequency", "said"),
    [
        (1, [1.0, 1.0], ""),
        (4, [1.0, 1.0], "All features that are shown are active in every one of them."),
        (4, [0.25, 1.0], "active in 25% to 100% of them"),
    ],
)
def test_the_circuit_says_how_far_it_is_that_of_one_prompt(given, count, frequency, said):
    """It is measured, and there is nothing to say of one prompt."""
    look, table = Look(), given["circuit"]
    data = table.data
    rows = np.resize(np.array(frequency, dtype=np.float32), data.sizes["unit"])
    data = data.assign(active_frequency=("unit", rows)).isel(train=np.arange(count))
    with look.applied():
        needs = (given["pairs"], type(table)(data), given["interpretation"])
        (plate,) = map(settle, graphs.aggregated(look, SETTINGS, *needs))
    assert said in plate.caption and "no prompt has all" not in plate.caption
    assert ("of the one train prompt" in plate.caption) == (count == 1)
    assert ("are active in" in plate.caption) == (count > 1)
