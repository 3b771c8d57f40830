"""Drawings: every panel is filled, no label covers another, and what is hidden is counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from drawn import SETTINGS
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.text import Text

from tasks.drawing import activity, diagram, effects, faithfulness, graphs, lettering, margins, relations
from tasks.drawing.labels import printed, shortened
from tasks.drawing.plate import Plate, settle
from tasks.drawing.style import CM, PAGE, Look, cut, token, zero_line
from tasks.figures import CONTENTS


@pytest.fixture(scope="module", params=["paper", "talk"])
def drawn(request, given) -> Iterator[list[Plate]]:
    """Every figure, drawn but not yet saved, in each style."""
    look = Look(request.param)
    with look.applied():  # for as long as they are measured: new tick labels take their size from here
        yield [
            measurable(plate)
            for _, draw, needs in CONTENTS
            for plate in draw(look, SETTINGS, *(given[name] for name in needs))
        ]


def measurable(plate: Plate) -> Plate:
    """The drawing laid out as for all formats, with every text where the renderer sets it."""
    settle(plate).figure.draw_without_rendering()
    return plate


def test_no_panel_is_empty(drawn):
    """Each panel holds data, not only lines of reference, and says what its axes are."""
    for plate in drawn:
        for axes in plate.figure.axes:
            assert data_in(axes), plate.name
            if axes.axison and axes.get_label() != "<colorbar>":
                beside = axes.get_shared_y_axes().get_siblings(axes)  # one of these has the words for all
                below = axes.get_shared_x_axes().get_siblings(axes)
                assert any(other.get_xlabel() or other.get_xticklabels() for other in below), plate.name
                assert any(other.get_ylabel() or other.get_yticklabels() for other in beside), plate.name


def data_in(axes: Axes) -> list[Artist]:
    """The artists of a panel that show data: placed by its coordinates on both axes, and somewhere finite."""
    lines = [
        line
        for line in axes.lines
        if line.get_transform() is axes.transData and np.isfinite(line.get_xydata()).all(1).any()
    ]
    return [*lines, *axes.images, *axes.collections, *(axes.texts if not axes.axison else ())]


def test_emptiness_is_noticed():
    """A panel that holds a line of zero alone is empty, and so is a panel of gaps."""
    look = Look()
    _, (axes, other) = look.axes(8, 4, columns=2)
    zero_line(axes)
    other.plot([1, 2], [np.nan, np.nan])
    assert not data_in(axes) and not data_in(other)
    assert axes.plot([1], [2]) == data_in(axes)


def test_no_label_covers_another_or_leaves_the_page(drawn):
    """Bounding boxes of all texts, as the real renderer sets them, are apart and within the figure."""
    for plate in drawn:
        assert_legible(plate)


def test_long_names_are_cut_rather_than_overlap(given, monkeypatch):
    """Heatmaps with narrow groups of long names, and with as many categories as are shown."""
    names = np.array([f"the {['first', 'second', 'third'][i % 3]} of the long names" for i in range(12)])
    prompts = replace(given["prompts"], labels={"category": names}, partner=np.array([""] * 12))
    monkeypatch.setattr(activity, "SIGNIFICANT", 1.0)
    look = Look()
    with look.applied():
        known = [given[name] for name in ("features", "circuit", "interpretation")]
        for plate in [
            *activity.heatmap(look, SETTINGS, prompts, *known),
            *activity.associations(look, SETTINGS, *known[1:]),
        ]:
            assert_legible(measurable(plate))
            categories = plate.figure.axes[0].get_xticklabels()
    assert len(categories) >= 10


def assert_legible(plate: Plate) -> None:
    """All labels are within the page and apart from each other."""
    page = plate.figure.bbox
    boxes = [(text.get_text(), corners(text)) for text in labels(plate.figure)]
    for i, (words, box) in enumerate(boxes):
        assert box[:, 0].min() > -1 and box[:, 0].max() < page.width + 1, (plate.name, words)
        assert box[:, 1].min() > -1 and box[:, 1].max() < page.height + 1, (plate.name, words)
        for other, rest in boxes[:i]:
            assert apart(box, rest), (plate.name, words, other)


def labels(figure: Figure) -> list[Text]:
    """Every text that is drawn."""
    hidden = {
        text
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for text in undrawn(axis, whole=not axes.axison)
    }
    texts = figure.findobj(Text)
    return [text for text in texts if text.get_visible() and text.get_text().strip() and text not in hidden]


def undrawn(axis: Axis, *, whole: bool) -> set[Text]:
    """The texts of an axis that are not drawn: of ticks out of view, or all if the `whole` axis is off."""
    low, high = sorted(axis.get_view_interval())
    reach = 1e-6 * (high - low)
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    out_of_view = [tick for tick in ticks if whole or not low - reach <= tick.get_loc() <= high + reach]
    words = {axis.label, axis.get_offset_text()} if whole else set()
    return words | {text for tick in out_of_view for text in (tick.label1, tick.label2)}


def corners(text: Text) -> np.ndarray:
    """The four corners of the box of a text, turned as the text is and a little smaller: (4, 2) pixels."""
    renderer = text.figure.canvas.get_renderer()
    angle = text.get_rotation()
    upright = text.get_window_extent(renderer)
    if angle % 90 == 0:
        x0, y0, x1, y1 = upright.extents
        words = text.get_text()
        blank = len(words) - len(words.lstrip("\n"))  # lines on top
        y1 -= (y1 - y0) * blank / (1 + words.count("\n"))
        box = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    else:
        width, height, _ = renderer.get_text_width_height_descent(
            text.get_text(), text.get_fontproperties(), False
        )
        turn = np.deg2rad(angle)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        corner = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
        box = corner @ rotation
        box += np.array([(upright.x0 + upright.x1) / 2, (upright.y0 + upright.y1) / 2])
    middle = box.mean(0)
    return middle + (box - middle) * 0.9


def apart(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two convex boxes do not meet: an edge of one of them parts them."""
    for box in (first, second):
        for i in range(4):
            edge = box[(i + 1) % 4] - box[i]
            normal = np.array([edge[1], -edge[0]])
            one, other = first @ normal, second @ normal
            if one.max() <= other.min() or other.max() <= one.min():
                return True
    return False


def test_overlap_is_noticed():
    """Labels at one place are not apart, and neither are crossed ones; labels side by side are."""
    figure = Look().figure(5, 5, layout="none")
    one, two, three, crossed = (
        figure.text(0.5, 0.5, "one"),
        figure.text(0.52, 0.5, "two"),
        figure.text(0.9, 0.5, "three"),
        figure.text(0.5, 0.45, "crossed", rotation=40),
    )
    figure.draw_without_rendering()
    assert not apart(corners(one), corners(two)) and not apart(corners(two), corners(crossed))
    assert apart(corners(one), corners(three))


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


def test_lines_hold_all_words_within_their_width():
    """A word that is too long by itself is cut; nothing else is lost."""
    text = "0.78 (one graph; cross-layer: 0.90)"
    lines = lettering.wrap(text, 80, 8)
    assert len(lines) > 1 and " ".join(lines) == text
    assert all(lettering.width(line, 8) <= 80 for line in lines)
    assert lettering.wrap("a " + "b" * 99, 40, 8)[1].endswith("…") and lettering.wrap("", 40, 8) == [""]


def test_the_comparison_says_everything_whole(drawn):
    """No quantity and no number of the table is cut."""
    (table,) = [plate for plate in drawn if plate.name == "comparison"]
    words = [text.get_text() for text in table.figure.axes[0].texts]
    assert len(words) > 40 and not [word for word in words if "…" in word]
