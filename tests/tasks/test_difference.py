"""Phase `difference`: graphs of a logit difference with what only the minimal pair has, and files of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from minimal_pairs import Cells

from circuitstore.circuits.nodes import nodes, to_networkx
from circuitstore.results.interchange import to_file
from tasks.difference import difference
from tasks.drawing.graphs import selected
from tasks.settings.phases import Attribution

PROMPT = {"prompt": "p2a"}


def made(cells_of, reading, pairs):
    """The graph of one prompt beside what `pairs` says."""
    layers = [
        (coords, cell) for coords, cell in cells_of["features"].pairs if PROMPT.items() <= coords.items()
    ]
    upstream = (cells_of["prompts"], pairs, Cells(layers))
    ((_, result),) = difference([PROMPT], Attribution(), *upstream, *reading[-2:])
    return result


@pytest.fixture(scope="module")
def graph(cells_of, reading):
    """The graph of one prompt beside its partner."""
    return made(cells_of, reading, cells_of["pairs"])


def test_suppressed_features_are_those_of_the_pair(cells_of, graph):
    """Minus the activations that `pairs` has of the partner, for features that `attribution` has not."""
    pair, own = (cells_of[name].one(PROMPT) for name in ("pairs", "attribution"))
    here = set(map(tuple, own.active_features.values.tolist()))
    columns = [pair[f"partner_{name}"].values.tolist() for name in ("layer", "place", "index")]
    there = dict(zip(zip(*columns, strict=True), pair.partner_activation.values.tolist(), strict=True))
    silent = graph.suppressed.values
    chosen = map(tuple, graph.active_features.values[silent].tolist())
    found = dict(zip(chosen, (-graph.activation_values.values[silent]).tolist(), strict=True))
    assert found == {key: value for key, value in there.items() if key not in here} and found
    assert float(graph.identity_error) < 1e-4
    assert graph.logit_against_ids.values.tolist() == [int(cells_of["prompts"].one(PROMPT).incorrect_id)]


def test_a_prompt_without_a_partner_has_an_ordinary_graph(cells_of, reading):
    """Nothing is suppressed, and no variable says so."""

    pair = cells_of["pairs"].one(PROMPT).assign(has_partner=((), np.bool_(False)))
    graph = made(cells_of, reading, Cells([(PROMPT, pair)]))
    assert "suppressed" not in graph
    assert {row["kind"] for row in nodes(graph)} == {"feature", "error", "embedding", "logit"}


def test_they_are_marked_wherever_the_graph_is_shown(graph):
    """A kind of node of their own in tables, networks and pictures; in the JSON, the label says it."""
    rows = nodes(graph)
    silent = {i for i, row in enumerate(rows) if row["kind"] == "suppressed"}
    expected = np.flatnonzero(graph.suppressed.values[graph.selected_features.values])
    assert silent == set(expected.tolist())
    assert all(rows[i]["activation"] < 0 < rows[i]["influence"] for i in silent if rows[i]["kept"])
    kept = [i for i in silent if rows[i]["kept"]]
    assert kept and {to_networkx(graph).nodes[i]["kind"] for i in kept} == {"suppressed"}
    names = {(rows[i]["layer"], rows[i]["feature"]): "plural" for i in kept[:1]}
    file = to_file(graph, slug="s", scan="t", labels=names)
    marked = [node for node in file.nodes if (node.clerp or "").startswith("suppressed")]
    assert len(marked) == len(kept) and {node.feature_type for node in marked} == {"cross layer transcoder"}
    assert sorted({node.clerp for node in marked})[-1] == "suppressed: plural"
    assert len({node.node_id for node in file.nodes}) == len(file.nodes)
    json.dumps([node.activation for node in file.nodes], allow_nan=False)
    drawn, *_ = selected(graph, 60, 200, lambda layer, feature: "")
    assert "suppressed" in {kind for _, kind in drawn.nodes(data="kind")}
