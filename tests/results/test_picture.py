"""What a notebook shows of a graph and of a build: whole HTML and XML, whatever a prompt or a label holds."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import networkx as nx
import pytest
from workspace import BEHAVIOUR, PROFILE, TEXTS

import circuitstore as cs
from circuitstore.results.html import build_table
from circuitstore.results.picture import EDGES, NODES, picture

HOSTILE = [
    "<script>alert(1)</script>",
    "a\x00b\x1b[2J\x0b",
    "\u202eright to left",
    "x" * 10_000,
    "&lt;",
    '"><b>',
]


def network(token: str) -> nx.DiGraph:
    """Two nodes and an edge, all of whose texts are this one."""
    graph = nx.DiGraph(tokens=[token, token])
    for node, (kind, layer) in enumerate((("embedding", None), ("feature", 0))):
        row = {"name": repr(token), "kind": kind, "layer": layer, "position": node, "token": token}
        graph.add_node(node, **row, influence=0.5)
    graph.add_edge(0, 1, weight=-2.0)
    return graph


@pytest.mark.parametrize("token", HOSTILE, ids=["script", "controls", "direction", "long", "entity", "quote"])
def test_every_text_is_text(token):
    """Well-formed, no element that is not drawn here, and nothing that steers."""
    svg = picture(network(token))
    elements = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert elements == {"svg", "line", "circle", "title", "text"}
    assert not set(svg) & set("\x00\x1b\x0b\u202e")


def test_a_picture_says_how_much_it_shows(built_once):
    """The nodes of most influence and the strongest edges, of all that pruning kept."""
    (name, *_) = TEXTS
    graph = cs.graph(name, behaviour=BEHAVIOUR, store=built_once.store, profile=PROFILE)
    svg = graph._repr_html_()
    shown, edges = min(len(graph), NODES), svg.count("<line")
    assert svg.count("<circle") == shown and edges <= EDGES
    assert f"{shown} of {len(graph)} nodes and {edges} of {graph.number_of_edges()} edges" in svg
    again = cs.attribute(TEXTS[name], model=str(built_once.profile), store=built_once.store)
    assert "attribution graph, " in again._repr_html_() and "xarray" in again._repr_html_()
    assert "circuitstore.view(graph)" in again._repr_html_() and "iframe" in cs.view(again)._repr_html_()
    assert "attribution graph, " not in again[["edge_weight"]]._repr_html_()


def test_a_build_is_a_table(workspace):
    """What `build --json` says, a row a phase; a second build computes nothing."""
    words = {"prompts": workspace.prompts, "profile": workspace.profile, "store": workspace.store}
    built = cs.build("baseline", **words, settings={"baseline.top_k": 4})
    assert [(r.phase, r.computed) for r in built] == [("prompts", 0), ("baseline", 3)]
    assert built._repr_html_() == build_table(built) and built._repr_html_().count("<tr>") == 3
    assert sum(r.computed for r in cs.build("baseline", **words, settings=["baseline.top_k=4"])) == 0
