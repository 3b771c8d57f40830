"""Texts of prompts, answers and labels may hold anything: figures and report stay well-formed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn import SETTINGS, STUDY
from matplotlib.text import Text

from tasks.drawing import lettering
from tasks.drawing.plate import Plate, provenance, render, settle
from tasks.drawing.style import Look, cut, token, visible
from tasks.figures import CONTENTS

WORST = "a\x00\x01\x0b\x1b[31m\u202e\u200f<b>&]]>\ufffe –-->"
SEEN = "a····[31m··<b>&]]>· –-->"


def worst(count: int) -> np.ndarray:
    """Distinct texts, each with all that is bad in it; an end of its own keeps what is cut apart."""
    return np.array([f"{i}{WORST}{i}" for i in range(count)], dtype=object)


@pytest.fixture(scope="module")
def hostile(given) -> dict:
    """What drawings are given, with the worst text wherever a person or a tokenizer writes."""
    prompts, interpretation, circuit = (given[n] for n in ("prompts", "interpretation", "circuit"))
    count, data = len(prompts.ids), interpretation.data
    classes = worst(2)[np.arange(count) % 2]
    changed = {name: (data[name].dims, worst(data[name].size)) for name in ("category", "token_text")}
    graphs = {
        name: graph.assign({n: (graph[n].dims, worst(graph[n].size)) for n in ("token_text", "logit_text")})
        for name, graph in given["attribution"].graphs.items()
    }
    roles = circuit.data.unit_role.values.astype(object)
    roles = np.array([f"{role}{WORST}" if role else "" for role in roles], dtype=object)
    return given | {
        "study": STUDY | {"behaviour": WORST},
        "prompts": replace(
            prompts,
            **{name: worst(count) for name in ("text", "correct", "incorrect")},
            tokens=[worst(len(tokens)).tolist() for tokens in prompts.tokens],
            turns=[["", *worst(len(tokens) - 1).tolist()] for tokens in prompts.tokens],
            labels={"number" + WORST: classes},
        ),
        "interpretation": replace(interpretation, data=data.assign(changed)),
        "circuit": replace(circuit, data=circuit.data.assign(unit_role=("unit", roles))),
        "attribution": replace(given["attribution"], graphs=graphs),
    }


@pytest.mark.filterwarnings("error:Glyph")
def test_every_figure_is_well_formed_whatever_it_says(hostile):
    """Each one is read again as XML, and no text in it has a character that is not seen."""
    look, found = Look(), 0
    with look.applied():
        for _, draw, needs in CONTENTS:
            for plate in map(settle, draw(look, SETTINGS, *(hostile[name] for name in needs))):
                svg = render(plate, "svg", provenance(plate.name, {"prompts": WORST}, {}), 50)
                assert ElementTree.fromstring(svg).tag.endswith("svg"), plate.name
                drawn = [text.get_text() for text in plate.figure.findobj(Text)]
                assert all(text == visible(text) for text in drawn), plate.name
                found += any("·[31m" in text or "a····" in text for text in drawn)
    assert found >= 5  # of margins, positions, activity, associations, two graphs, the circuit


def test_every_format_is_written_with_any_text_in_title_and_provenance():
    look = Look()
    with look.applied():
        figure = look.figure(4, 2, layout="none")
        figure.add_axes((0.2, 0.2, 0.7, 0.7)).set_xticks([0, 1], [WORST, "b"])
        plate = settle(Plate("a", WORST, WORST, figure))
        for kind in ("png", "svg", "pdf"):
            assert render(plate, kind, WORST, 72)


def test_what_is_not_seen_has_a_sign():
    """Spaces, line breaks and letters of any script stay."""
    assert visible(WORST) == SEEN and visible("\ud800") == "·"
    assert visible("a b\nב 漢 é\u00a0") == "a b\nב 漢 é\u00a0"
    assert token("\x1b\u202e") == "··"


@pytest.mark.parametrize(
    "text", ["subject_number=plural", "␣cabinet", "iiiiiiW", "abci", "W" * 30, "", "a\u0301" * 9]
)
def test_as_much_of_a_text_is_drawn_as_fits(text):
    """What trying every length gives, from the whole to one character."""
    for points in (0, 3, 8, 12, 20, 33, 60, 200):
        lengths = [n for n in range(len(text), 1, -1) if lettering.width(cut(text, n), 5.5) <= points]
        assert lettering.fit(text, points, 5.5) == (cut(text, lengths[0]) if lengths else text[:1])


def test_a_long_label_is_measured_a_few_times(monkeypatch):
    """Measuring every length takes minutes where a label has 10,000 characters, and each box has a label."""
    count, width = itertools.count(1), lettering.width
    monkeypatch.setattr(lettering, "width", lambda text, size: (next(count), width(text, size))[1])
    assert lettering.fit("long " * 200, 50, 6).endswith("…") and next(count) < 20
