"""Conversations in diagrams: whose turn a token is, and which tokens are the template's."""

from __future__ import annotations

import re
from dataclasses import replace

import networkx as nx
import pytest
from conversation import TEXT, talked  # noqa: F401 (a fixture)
from drawn import SETTINGS
from legible import assert_legible, measurable

from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name
from tasks.drawing import diagram, graphs, turns
from tasks.drawing.plate import Plate
from tasks.drawing.style import Look
from tasks.exports.graphs import files

ROLES = ["", "", "system", "", "user", "user", "user", "", "user", ""]


def drawn(columns: tuple[int, ...], roles: list[str], style: str = "paper") -> Plate:
    """A diagram with a node in each of these columns."""
    graph = nx.DiGraph()
    for node, column in enumerate(columns):
        graph.add_node(node, row=0, column=column, kind="embedding", label="emb.")
    graph.add_node(99, row=1, column=columns[-1], kind="feature", label="#1")
    graph.add_edges_from((node, 99, {"share": 0.5}) for node in range(len(columns)))
    names, look = [f"t{i}" for i in range(len(roles) or 10)], Look(style)
    with look.applied():
        return measurable(Plate("a", "b", "c", diagram.draw(look, graph, names, ["x", "y"], "", roles)))


def words(plate: Plate) -> dict[str, list]:
    """The texts below the diagram, by what they say."""
    found: dict[str, list] = {}
    for text in plate.figure.axes[0].texts:
        found.setdefault(text.get_text(), []).append(text)
    return found


@pytest.mark.parametrize("style", ["paper", "talk"])
def test_every_turn_that_is_shown_has_a_bracket(style):
    """Two turns of a user are two brackets; a turn of which no token is shown has none."""
    plate = drawn((0, 4, 6, 8, 9), ROLES, style)
    assert len(words(plate)["user"]) == 2 == len(plate.figure.axes[0].lines) and "system" not in words(plate)
    assert_legible(plate)


def test_a_bracket_spans_the_tokens_of_its_turn():
    """From the first to the last that is shown, whatever is left out between; the role is in the middle."""
    plate = drawn((0, 4, 6, 9), ROLES)
    (line,), texts = plate.figure.axes[0].lines, words(plate)
    first, last = (texts[name][0].get_position()[0] for name in ("…t4", "…t6"))
    left, right = min(line.get_xdata()), max(line.get_xdata())
    assert left < first < last < right < texts["…t9"][0].get_position()[0]
    assert texts["user"][0].get_position()[0] == pytest.approx((left + right) / 2)
    assert max(line.get_ydata()) < texts["…t4"][0].get_position()[1]


def test_tokens_of_the_template_are_grey():
    """And neither they nor the others have another look where there is no conversation."""
    looks = {name: text[0].get_color() for name, text in words(drawn((0, 4, 6, 9), ROLES)).items()}
    assert looks["t0"] == looks["…t9"] == turns.TEMPLATE != looks["…t4"] == looks["…t6"]
    plain = drawn((0, 4, 6, 9), [])
    assert turns.TEMPLATE not in {text[0].get_color() for text in words(plain).values()}
    assert not plain.figure.axes[0].lines and turns.told([]) == turns.told(["", ""]) == ""


def test_a_figure_of_a_conversation_says_what_its_brackets_are(given):
    """In the caption, once; the caption of any other prompt says nothing of it."""
    look, prompts = Look(), given["prompts"]
    name = next(iter(given["attribution"].graphs))
    whose = [["", "user", *["user"] * (len(tokens) - 3), ""] for tokens in prompts.tokens]
    whose = [row if each == name else [] for each, row in zip(prompts.ids, whose, strict=True)]
    needs = (given[each] for each in ("baseline", "attribution", "interpretation"))
    with look.applied():
        plates = list(map(measurable, graphs.examples(look, SETTINGS, replace(prompts, turns=whose), *needs)))
    told = [plate.caption.count(turns.BRACKETS) for plate in plates]
    assert told == [1, *[0] * (len(plates) - 1)] and len(plates) > 1
    assert len(words(plates[0])["user"]) == 1 and "user" not in words(plates[1])
    assert_legible(plates[0])


def test_an_exported_graph_has_the_turns_of_its_prompt(talked):  # noqa: F811
    """The roles are read from the prompts that the graphs were computed from."""
    store, artifact = Store(str(talked.store)), talked.artifact("attribution")
    made = files(store, Name("small", "mine", "attribution"), artifact, ("svg",), ("a",))
    svg = made["a.svg"].decode()
    shown = re.findall(r"<!-- (.*?) -->", svg, flags=re.DOTALL)
    assert "user" in shown and "system" not in shown and turns.BRACKETS in svg


def test_a_role_takes_the_room_beside_its_bracket():
    """A turn of one narrow token between tokens of the template has its role whole."""
    roles = ["", "", "assistant", "", "", *["user"] * 4, ""]
    plate = drawn(tuple(range(10)), roles)
    assert {"assistant", "user"} <= words(plate).keys()
    assert_legible(plate)
