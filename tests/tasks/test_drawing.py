"""Drawings: what they show and in which words, and that what is hidden is counted."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from drawn import SETTINGS
from matplotlib.patches import PathPatch

from tasks.drawing import activity, diagram, effects, faithfulness, graphs, lettering, margins, relations
from tasks.drawing.labels import printed, shortened
from tasks.drawing.style import CM, PAGE, Look, cut, token
from tasks.figures import CONTENTS


def test_diagrams_state_how_much_they_hide(given):
    """Caption and figure give the numbers; shown and hidden together are what pruning kept."""
    look = Look()
    pattern = (
        r"([\d,]+) of ([\d,]+) (?:nodes|units) .*?; ([\d,]+) (?:nodes|units) and [\d,]+ edges are hidden"
    )
    diagrams = 0
    with look.applied():
        for _, draw, needs in CONTENTS:
            if draw not in (graphs.examples, graphs.aggregated):
                continue
            for plate in draw(look, SETTINGS, *(given[name] for name in needs)):
                note = re.search(pattern, plate.caption)
                shown, total, hidden = (int(number.replace(",", "")) for number in note.groups())
                assert shown + hidden == total and shown <= SETTINGS.graph_nodes
                assert note.group() in " ".join(text.get_text() for text in plate.figure.texts)
                diagrams += 1
    assert diagrams == 3


def test_columns_that_are_left_out_leave_a_mark():
    """An ellipsis before a name says that something before it is missing; neighbours have none."""
    graph = nx.DiGraph()
    for node, column in enumerate((1, 2, 4)):
        graph.add_node(node, row=node, column=column, kind="feature", label=f"#{node}")
    look = Look()
    with look.applied():
        figure = diagram.draw(look, graph, list("abcde"), ["x", "y", "z"], "")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"…b", "c", "…e"} <= set(words) and not {"b", "…c", "d", "e"} & set(words)


def test_a_name_is_whole_where_there_is_room_beside_it():
    """A narrow column whose name has an ellipsis before it: names then stand on two lines."""
    graph = nx.DiGraph()
    for node, column in enumerate((0, 2, 3)):
        graph.add_node(node, row=0, column=column, kind="embedding", label="emb.")
    graph.add_node(9, row=1, column=3, kind="feature", label="#1")
    look = Look()
    with look.applied():
        names = ["aa", "left out", "wwwww", "last"]
        figure = diagram.draw(look, graph, names, ["x", "y"], "")
    assert {"aa", "…wwwww", "last"} <= {text.get_text() for text in figure.axes[0].texts}


def test_rows_are_labelled_by_categories_that_have_a_column(given):
    """Also where other categories tell the features apart better than those that label them."""
    look, table = Look(), given["interpretation"]
    top = given["circuit"].top_features(SETTINGS.heatmap_features)
    own = table.first_categories(top)
    assert own
    effect = table.data.effect.copy(deep=True)
    effect.values[:, own] *= 0.01
    with look.applied():
        weak = replace(table, data=table.data.assign(effect=effect))
        (plate,) = activity.associations(look, SETTINGS, given["circuit"], weak)
    names = {label.get_text() for label in plate.figure.axes[0].get_xticklabels()}
    assert {cut(printed(str(table.data.category.values[i])), 26) for i in own} <= names


def test_values_in_diagrams_are_told_their_category(given):
    """A box says “plural” for want of room; the caption says of what."""
    table = given["interpretation"]
    texts = np.array([f"some_name=v{i}" for i in range(table.data.sizes["category"])])
    table = replace(table, data=table.data.assign(category=("category", texts)))
    first = table.first_categories(table.unit)
    told = table.told(table.unit)
    assert first and told.startswith(" Categories of values: “v") and told.endswith(": some name.")
    assert all(f"“v{i}”" in told for i in first) and table.told([]) == ""


def test_the_legend_has_a_column_for_each_sign():
    """Of three widths each, however few kinds of boxes there are."""
    look = Look()
    for kinds in (["feature"], ["feature", "embedding", "logit"], list(diagram.KINDS)):
        graph = nx.DiGraph()
        for node, kind in enumerate(kinds):
            graph.add_node(node, row=0, column=0, kind=kind, label="x")
        with look.applied():
            figure = diagram.draw(look, graph, ["token"], ["x"], "")
            figure.draw_without_rendering()
        places: dict[float, list[str]] = {}
        for text in figure.legends[0].get_texts():
            places.setdefault(round(text.get_window_extent().x0), []).append(
                text.get_text().partition(",")[0]
            )
        columns = [column for _, column in sorted(places.items())]
        assert columns[:2] == [["excites"] * 3, ["inhibits"] * 3]


def test_edges_stay_on_the_page():
    """A row that is full to the right end: edges pass it within the page, whole as wide as they are."""
    graph, size = nx.DiGraph(), 8
    for node in range(3 * size):
        graph.add_node(node, row=node // size, column=0, kind="feature", label=f"#{node}", second="x")
    graph.add_edges_from((i, 2 * size + i, {"share": 1.0}) for i in range(size))
    look = Look()
    with look.applied():
        figure = diagram.draw(look, graph, ["token"], ["x", "y", "z"], "")
    axes = figure.axes[0]
    figure.draw_without_rendering()
    edges = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
    assert len(edges) == size
    for patch in edges:
        x = patch.get_path().vertices[:, 0]
        half = patch.get_linewidth() / 72 / CM / 2
        assert x.min() - half >= 0 and x.max() + half <= PAGE


def test_the_width_of_an_edge_tells_small_shares_apart():
    widths = [diagram.thickness(share) for share in (0.01, 0.04, 0.16, 0.64, -0.64, 2.0)]
    assert all(b > 1.4 * a for a, b in pairwise(widths[:4]))
    assert widths[3] == widths[4] and widths[5] == diagram.THICKEST


def test_hidden_nodes_are_counted_against_the_pruned_graph(given):
    """The total is the number of nodes that pruning kept."""
    for graph in given["attribution"].graphs.values():
        shown, hidden_nodes, hidden_edges = graphs.selected(graph, 8, 10, given["interpretation"])
        assert len(shown) + hidden_nodes == int(graph.prune_node_mask.sum()) and len(shown) <= 8
        assert shown.number_of_edges() + hidden_edges == int(graph.prune_edge_mask.sum())
        assert all(shown.nodes[s]["row"] < shown.nodes[t]["row"] for s, t in shown.edges)
        assert hidden_nodes > 0


def test_a_drawing_without_data_gives_no_figure(given):
    """Without gradient attributions there is no figure of them, rather than an empty one."""
    bare = replace(given["attribution"], contributions={}, spearman=np.zeros(0))
    assert not list(relations.methods(Look(), SETTINGS, bare))
    nothing = replace(
        given["interventions"],
        summary={
            "test": {
                "sets": [],
                "swaps": [],
                "controls": [],
                "steering": [],
                "faithfulness": [],
                "counterfactual": {"rows": []},
                "prompts": 0,
            }
        },
    )
    for draw in (effects.ablation, effects.edits, effects.steering, faithfulness.faithfulness):
        assert not list(draw(Look(), SETTINGS, nothing))


def test_margins_lie_on_the_side_of_their_sign(given):
    """The dots of the margin figure are the margins."""
    look = Look()
    with look.applied():
        (plate,) = margins.by_category(look, SETTINGS, given["prompts"], given["baseline"])
    dots = [x for line in plate.figure.axes[0].lines if line.get_alpha() for x in line.get_xdata()]
    assert sorted(dots) == pytest.approx(sorted(given["baseline"].margin.tolist()))
    below = replace(given["baseline"], margin=-1 - np.abs(given["baseline"].margin))
    with look.applied():
        (plate,) = margins.by_category(look, SETTINGS, given["prompts"], below)
    assert plate.caption.count("mean margin −") == 2 and " -" not in plate.caption


def test_tokens_as_printed():
    """A leading space and a line break are seen; long ones are cut."""
    assert [token(" are"), token("\n"), token(""), token("a" * 20)] == ["␣are", "⏎", "∅", "a" * 11 + "…"]
    assert cut("abc", 3) == "abc" and cut("abcd", 3) == "ab…"


def test_a_token_that_is_an_equals_sign_is_no_name():
    assert [shortened(label) for label in ("token ' ='", "verb=has", "correct= is")] == ["␣=", "has", "=␣is"]
    assert printed("after token '='") == "after token ="


def test_fit_cuts_to_the_width_it_is_given():
    """The width is measured, not guessed: a narrow text keeps more letters."""
    assert lettering.fit("iiiiiiii", 14, 6) == "iiiiiiii" and lettering.fit("WWWWWWWW", 14, 6).endswith("…")


def test_the_sign_of_a_tie_is_not_cut_off():
    """A label that is one of several that fit is not printed as if it were the only one."""
    assert cut("=␣Providence ≡", 9) == "=␣Provi…≡" and cut("=␣Rome ≡", 8) == "=␣Rome ≡"
    short = lettering.fit("=␣Providence ≡", 40, 6)
    assert short.endswith("…≡") and lettering.width(short, 6) <= 40


def test_lines_hold_all_words_within_their_width():
    """A word that is too long by itself is cut; nothing else is lost."""
    text = "0.78 (one graph; cross-layer: 0.90)"
    lines = lettering.wrap(text, 80, 8)
    assert len(lines) > 1 and " ".join(lines) == text
    assert all(lettering.width(line, 8) <= 80 for line in lines)
    assert lettering.wrap("a " + "b" * 99, 40, 8)[1].endswith("…") and lettering.wrap("", 40, 8) == [""]
