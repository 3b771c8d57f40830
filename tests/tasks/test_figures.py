"""Figures: the same bytes each time, what they were drawn from inside them, every panel filled, no label over
another.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace

import matplotlib
import matplotlib.figure
import msgspec
import numpy as np
import pytest
import xarray as xr
from PIL import Image

import circuitstore as cs
from circuitstore.engine.inputs import Upstream
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named
from circuitstore.storage.reviews import Label
from tasks import figures as phase
from tasks.drawing import activity, diagram, margins, tables
from tasks.drawing.labels import printed, shortened
from tasks.drawing.plate import Plate, provenance, render, settle
from tasks.drawing.style import Look, cut, token, zero_line
from tasks.settings import config

PHASES = (
    "prompts",
    "baseline",
    "features",
    "interpretation",
    "pairs",
    "attribution",
    "circuit",
    "interventions",
)
STUDY = {"behaviour": "mine", "profile": "small"}
SIZES = (1, 10)  # of sets, in the small store
SETTINGS = config.Figures(dpi=100, bootstrap=50)


@pytest.fixture(scope="module")
def upstream(built) -> dict[str, Upstream]:
    """What `figures` reads, by name."""
    store = Store(str(built.store))
    return {
        name: Upstream(store, name, [({}, named(store, Name("small", "mine", name)).cells)])
        for name in PHASES
    }


@pytest.fixture(scope="module")
def stored(built) -> dict[str, xr.Dataset]:
    """The figures that lie in the store, by name."""
    tree = cs.open("figures", behaviour="mine", store=built.store, profile="small")
    return {name: node.to_dataset().load() for name, node in tree.children.items()}


@pytest.fixture(scope="module")
def read(upstream) -> dict:
    return {"study": STUDY, **phase._tables(SETTINGS, **upstream)}


def plates(read, look: Look) -> list[Plate]:
    return [
        plate
        for _, draw, needs in phase.CONTENTS
        for plate in draw(look, SETTINGS, *(read[name] for name in needs))
    ]


@pytest.fixture(scope="module", params=["paper", "talk"])
def drawn(request, read) -> Iterator[list[Plate]]:
    """Every figure, drawn but not yet saved, in each style."""
    look = Look(request.param)
    with look.applied():  # for as long as they are measured: new tick labels take their size from here
        yield [settle(plate) for plate in plates(read, look)]


def test_every_kind_of_figure_is_there(stored):
    """One store gives all of them; each has a caption that says something, and the report comes last."""
    names = "margins reconstruction positions activity associations scores graph-1 graph-2 methods circuit ablation edits steering"
    assert list(stored) == [*names.split(), "faithfulness", "prediction", "influence", "comparison", "report"]
    assert all(len(str(figure.caption.values)) > 40 for figure in stored.values())


def test_the_same_bytes_each_time(upstream, stored):
    """Drawn again, in another process than the store's and with other settings of matplotlib, all bytes are
    equal.
    """
    settings = msgspec.structs.replace(SETTINGS, formats=("png", "svg", "pdf"))
    with matplotlib.rc_context({"font.size": 31, "axes.facecolor": "red", "svg.hashsalt": None}):
        again = {
            coords["figure"]: dataset
            for coords, dataset in phase.figures([{}], settings, STUDY, {}, **upstream)
        }
    assert list(again) == list(stored)
    for name, figure in again.items():
        for kind in ("png", "svg", "pdf", "html"):
            assert figure[kind].values.tobytes() == stored[name][kind].values.tobytes(), (name, kind)


def test_every_format_opens(stored):
    """PNG of the stated resolution, well-formed SVG, PDF from header to trailer; a report that is one HTML
    page with no script.
    """
    from xml.etree import ElementTree

    for name, figure in stored.items():
        if name == "report":
            assert figure.html.values.tobytes().startswith(b"<!doctype html>")
            assert not re.search(rb"<script|https?://(?!www\.w3\.org)", figure.html.values.tobytes())
            continue
        image = Image.open(io.BytesIO(figure.png.values.tobytes()))
        image.load()
        assert 300 < image.width < 700 and image.info["dpi"] == pytest.approx((100, 100), abs=0.1)
        assert ElementTree.fromstring(figure.svg.values.tobytes()).tag.endswith("svg")
        document = figure.pdf.values.tobytes()
        assert document.startswith(b"%PDF-") and document.rstrip().endswith(b"%%EOF")


def test_provenance_names_the_artifacts_a_figure_was_drawn_from(built, stored):
    """The hashes in a figure are those of the artifacts in the store, of the phases that its drawing was
    given and no others.
    """
    store = Store(str(built.store))
    needs = dict(
        zip(
            [n for n in stored if n not in ("graph-2", "report")],
            [needs for _, _, needs in phase.CONTENTS],
            strict=True,
        )
    )
    needs["graph-2"] = needs["graph-1"]
    for name, phases in needs.items():
        said = dict(
            line.split(" sha256:")
            for line in str(stored[name].provenance.values).splitlines()
            if " sha256:" in line
        )
        review = said.pop("review", None)
        assert said == {
            phase: named(store, Name("small", "mine", phase)).content for phase in phases if phase != "study"
        }
        assert said and (review is not None) == ("interpretation" in phases)


def test_provenance_is_inside_every_file(stored):
    """PNG text, SVG metadata and PDF document information carry the same lines as the caption file."""
    for name, figure in stored.items():
        said = str(figure.provenance.values)
        if name == "report":
            page = figure.html.values.tobytes().decode()
            assert all(line.split(":")[-1] in page for line in said.splitlines() if " sha256:" in line)
            continue
        assert Image.open(io.BytesIO(figure.png.values.tobytes())).info["Source"] == said
        svg = figure.svg.values.tobytes().decode()
        hashes = re.findall(r"sha256:(\w{64})", said)
        assert hashes and all(digest in svg for digest in hashes)
        document = figure.pdf.values.tobytes()
        inside = document + b"".join(inflated(document))
        assert all(digest.encode() in inside or digest.encode("utf-16-be") in inside for digest in hashes), (
            name
        )


def inflated(document: bytes):
    """The compressed streams of a PDF."""
    for part in re.findall(rb"stream\r?\n(.*?)endstream", document, flags=re.DOTALL):
        try:
            yield zlib.decompress(part)
        except zlib.error:
            continue


def test_no_dates_in_any_file(stored):
    """A date would make two equal figures differ."""
    for name, figure in stored.items():
        for kind in ("png", "svg", "pdf"):
            assert not re.search(rb"CreationDate|ModDate|<dc:date>|tIME", figure[kind].values.tobytes()), (
                name,
                kind,
            )


def test_changing_the_style_recomputes_only_figures(built):
    """Nothing above is touched, and the pictures are larger."""
    talk = ("--set", "figures.style=talk", "--set", "figures.formats=['png']")
    assert built.computed(*talk) == {"figures": 1}
    assert built.computed(*talk) == built.computed() == {}


def test_reviewed_labels_are_shown(upstream, read):
    """A reviewer's label replaces the automatic one, in tables and diagrams, and its hash is in the
    provenance.
    """
    layer, feature = read["circuit"].top_features(1)[0]
    review = {(layer, feature): Label("what a person said", "someone", "")}
    settings = msgspec.structs.replace(SETTINGS, formats=("svg",))
    again = {
        coords["figure"]: dataset
        for coords, dataset in phase.figures([{}], settings, STUDY, review, **upstream)
    }
    assert "what a person said" in again["report"].html.values.tobytes().decode()
    assert tables.labels_hash(review) in str(again["activity"].provenance.values)
    assert read["interpretation"].label(layer, feature) != "what a person said"


def test_diagrams_state_how_much_they_hide(read):
    """Caption and figure give the numbers; shown and hidden together are what pruning kept."""
    settings = SETTINGS
    look = Look()
    with look.applied():
        for _, draw, needs in phase.CONTENTS:
            for plate in (
                draw(look, settings, *(read[name] for name in needs)) if "graphs" in draw.__module__ else ()
            ):
                found = re.search(
                    r"(\d+) of (\d+) (?:nodes|units) .*?; (\d+) (?:nodes|units) and (\d+) edges are hidden",
                    plate.caption,
                )
                shown, total, hidden, _ = map(int, found.groups())
                assert shown + hidden == total and shown <= settings.graph_nodes
                assert found.group() in " ".join(text.get_text() for text in plate.figure.texts)


def test_hidden_nodes_are_counted_against_the_pruned_graph(read):
    """The total is the number of nodes that pruning kept."""
    from tasks.drawing.graphs import selected

    for graph in read["attribution"].graphs.values():
        shown, hidden_nodes, hidden_edges = selected(graph, 8, 10, read["interpretation"])
        assert len(shown) + hidden_nodes == int(graph.prune_node_mask.sum()) and len(shown) <= 8
        assert shown.number_of_edges() + hidden_edges == int(graph.prune_edge_mask.sum())
        assert all(shown.nodes[s]["row"] < shown.nodes[t]["row"] for s, t in shown.edges)
        assert hidden_nodes > 0


def test_no_panel_is_empty(drawn):
    """Each panel holds data, not only lines of reference; says what its axes are; and a table has its words."""
    for plate in drawn:
        for axes in plate.figure.axes:
            assert data_in(axes), plate.name
            if axes.axison and axes.get_label() != "<colorbar>":
                beside = axes.get_shared_y_axes().get_siblings(
                    axes
                )  # a panel may leave the words to its neighbour
                assert axes.get_xlabel() or axes.get_xticklabels(), plate.name
                assert any(other.get_ylabel() or other.get_yticklabels() for other in beside), plate.name


def data_in(axes) -> list:
    """The artists of a panel that show data: placed by its coordinates on both axes, and somewhere finite."""
    lines = [
        line
        for line in axes.lines
        if line.get_transform() is axes.transData and np.isfinite(line.get_xydata()).all(1).any()
    ]
    return [*lines, *axes.images, *axes.collections, *(axes.texts if not axes.axison else ())]


def test_emptiness_is_noticed():
    """A panel with a line of zero alone is empty, one of gaps alone too."""
    look = Look()
    _, (axes, other) = look.axes(8, 4, columns=2)
    zero_line(axes)
    other.plot([1, 2], [np.nan, np.nan])
    assert not data_in(axes) and not data_in(other)
    assert data_in(axes) == [] and axes.plot([1], [2]) == data_in(axes)


def labels(figure: matplotlib.figure.Figure) -> list:
    """Every text that is drawn."""
    found = [
        text
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_visible() and text.get_text().strip()
    ]
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            shown = {id(tick.label1) for tick in axis._update_ticks()} if axes.axison else set()
            ticks = [tick.label1 for tick in (*axis.majorTicks, *axis.minorTicks)] + [
                tick.label2 for tick in axis.majorTicks
            ]
            hidden |= {id(label) for label in ticks if id(label) not in shown}
            hidden |= {id(axis.label), id(axis.offsetText)} if not axes.axison else set()
    return [text for text in found if id(text) not in hidden]


def test_no_label_covers_another_or_leaves_the_page(drawn):
    """Bounding boxes of all texts, as the real renderer sets them, are apart and within the figure."""
    for plate in drawn:
        assert_legible(plate)


def test_long_names_are_cut_rather_than_overlap(read, monkeypatch):
    """Heatmaps with narrow groups of long names, and with as many categories as are shown."""
    names = np.array([f"the {['first', 'second', 'third'][i % 3]} of the long names" for i in range(12)])
    prompts = replace(read["prompts"], labels={"category": names}, partner=np.array([""] * 12))
    monkeypatch.setattr(activity, "SIGNIFICANT", 1.0)
    look = Look()
    with look.applied():
        known = [read[name] for name in ("features", "circuit", "interpretation")]
        for plate in [
            *activity.heatmap(look, SETTINGS, prompts, *known),
            *activity.associations(look, SETTINGS, *known[1:]),
        ]:
            assert_legible(settle(plate))
    assert len(plate.figure.axes[0].get_xticklabels()) >= 12


def assert_legible(plate: Plate) -> None:
    page = plate.figure.bbox
    boxes = [(text.get_text(), corners(text)) for text in labels(plate.figure)]
    for i, (said, box) in enumerate(boxes):
        assert box[:, 0].min() > -1 and box[:, 0].max() < page.width + 1, (plate.name, said)
        assert box[:, 1].min() > -1 and box[:, 1].max() < page.height + 1, (plate.name, said)
        for other, rest in boxes[:i]:
            assert apart(box, rest), (plate.name, said, other)


def corners(text) -> np.ndarray:
    """The four corners of a text's box, turned as the text is, a little smaller than it."""
    renderer = text.figure.canvas.get_renderer()
    angle = text.get_rotation()
    upright = text.get_window_extent(renderer)
    if angle % 90 == 0:
        x0, y0, x1, y1 = upright.extents
        said = text.get_text()
        y1 -= (
            (y1 - y0) * (len(said) - len(said.lstrip("\n"))) / (1 + said.count("\n"))
        )  # lines left blank on top
        box = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    else:
        width, height, _ = renderer.get_text_width_height_descent(
            text.get_text(), text.get_fontproperties(), False
        )
        turn = np.deg2rad(angle)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        box = (
            np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2 @ rotation
        )
        box += np.array([(upright.x0 + upright.x1) / 2, (upright.y0 + upright.y1) / 2])
    middle = box.mean(0)
    return middle + (box - middle) * 0.9


def apart(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two convex boxes do not meet: some edge of either has all of one box on one side and all of the
    other on the other.
    """
    for box in (first, second):
        for i in range(4):
            edge = box[(i + 1) % 4] - box[i]
            normal = np.array([edge[1], -edge[0]])
            if (first @ normal).max() <= (second @ normal).min() or (second @ normal).max() <= (
                first @ normal
            ).min():
                return True
    return False


def test_overlap_is_noticed():
    """The check above can fail: two labels at one place are not apart, crossed ones neither, side by side
    they are.
    """
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


def test_a_drawing_without_data_gives_no_figure(read):
    """No gradient attributions, no figure of them, rather than an empty one."""
    from tasks.drawing import effects, relations

    bare = replace(read["attribution"], contributions={}, spearman=np.zeros(0))
    assert not list(relations.methods(Look(), SETTINGS, bare))
    nothing = replace(
        read["interventions"],
        summary={"test": {"sets": [], "swaps": [], "controls": [], "faithfulness": [], "prompts": 0}},
    )
    for draw in (effects.ablation, effects.edits, effects.steering, effects.faithfulness):
        assert not list(draw(Look(), SETTINGS, nothing))


def test_examples_are_chosen_by_margin_alone(read):
    """The test prompt of median margin and its minimal pair come first."""
    prompts, baseline = read["prompts"], read["baseline"]
    first, second = tables.examples(prompts, baseline, 2)
    test = prompts.split == "test"
    distance = np.abs(baseline.margin - np.median(baseline.margin[test]))
    assert distance[prompts.ids.index(first)] == distance[test].min()
    assert second == prompts.partner[prompts.ids.index(first)]


def test_contrast_is_what_the_behaviour_turns_on(read):
    """Of what differs within every pair, what says most about the answer; without pairs, any category of few
    values.
    """
    prompts = read["prompts"]
    assert prompts.contrast()[0] in ("number", "correct answer")
    other = np.array(
        ["ab"[i % 4 in (1, 2)] for i in range(len(prompts.ids))]
    )  # differs within pairs, but says nothing
    labelled = replace(
        prompts, labels={"a noise": other, "number": prompts.labels["number"]}, correct=np.array(["x"] * 12)
    )
    assert labelled.contrast()[0] == "a noise"
    labelled = replace(prompts, labels={"a noise": other, "number": prompts.labels["number"]})
    assert labelled.contrast()[0] != "a noise"
    assert replace(labelled, partner=np.array([""] * 12)).contrast()[0] == "a noise"


def test_short_labels_keep_what_tells_features_apart(read):
    """The value of a label, the answer, the token as it is seen; a reviewer's words as they are."""
    said = [
        "subject_number=plural",
        "correct= is",
        "correct=7",
        "after token ' the'",
        "token ' \"'",
        'token "\'"',
        "token '\\n'",
    ]
    assert [shortened(label) for label in said] == ["plural", "→␣is", "→7", "after ␣the", '␣"', "'", "⏎"]
    assert [printed(label) for label in (*said[1:4], "' the' 2", "contrast")] == (
        ["correct=␣is", "correct=7", "after token ␣the", "␣the 2", "contrast"]
    )
    known = replace(read["interpretation"], reviewed={(0, 5): "token ' a', says a person"})
    assert known.short(0, 5) == known.printed(0, 5) == "token ' a', says a person"


def test_large_swaps_count_as_patching(read):
    """The target of patching is judged over small and large sets; a swap's size is how many features it has
    on average.
    """
    rows = read["interventions"].patched("test")
    sizes = [row["size"] for row in rows]
    assert sizes == sorted(sizes) and {row["kind"] for row in rows} == {"patch"}
    swaps = read["interventions"].summary["test"]["swaps"]
    assert max(sizes) == max(round(row["features"]) for row in swaps) > max(SIZES)


def test_path_length_of_a_known_graph():
    """An embedding that reaches the logit half directly and half through one feature: 1.5 edges on average."""
    graph = xr.Dataset(  # nodes: feature, embedding, logit
        {
            "edge_target": ("edge", [0, 2, 2]),
            "edge_source": ("edge", [1, 0, 1]),
            "edge_weight": ("edge", [2.0, -1.0, 1.0]),
            "logit_probabilities": ("logit", [1.0]),
            "token_text": ("position", ["a"]),
            "node_influence": ("node", [0.5, 1.0, 1.0]),
        }
    )
    assert tables.path_length(graph) == pytest.approx(1.5)


def test_features_table_agrees_with_the_phase_s_own_summary(built, read):
    """L0, explained variance and normalised error by layer are those of the `features` artifact."""
    said = named(Store(str(built.store)), Name("small", "mine", "features")).summary["layers"]
    for i, layer in enumerate(read["features"].layers):
        assert read["features"].l0.mean(1)[i] == pytest.approx(said[str(layer)]["l0"], rel=1e-6)
        assert read["features"].explained[i] == pytest.approx(
            said[str(layer)]["explained_variance"], rel=1e-6
        )
        assert read["features"].normalised_mse[i] == pytest.approx(
            said[str(layer)]["normalised_mse"], rel=1e-6
        )


def test_peak_of_a_feature_is_its_largest_activation(built, read):
    """The same as slicing the store."""
    activation = cs.open("features", behaviour="mine", store=built.store, profile="small").activation
    layer, feature = read["circuit"].top_features(1)[0]
    expected = activation.sel(layer=layer, feature=feature).fillna(0).max("position")
    assert np.allclose(read["features"].peak(layer, feature), expected)


def test_the_report_states_every_shortfall_with_its_number(read, stored):
    """Each target that is missed stands in the report with what was found and what was wanted."""
    from html import escape

    from tasks.drawing.comparison import targets

    page = stored["report"].html.values.tobytes().decode()
    missed = [target for target in targets(read["baseline"], read["interventions"]) if not target.met]
    assert missed and f"falls short of {len(missed)} of" in page
    for target in missed:
        assert escape(f"{target.what}: {target.found} where {target.wanted} is wanted") in page


def test_the_report_tells_the_story_in_order(stored):
    """Prompts, baseline, features, interpretation, graph, interventions, comparison; every figure inside as
    data.
    """
    page = stored["report"].html.values.tobytes().decode()
    headings = re.findall(r'<h2 id="(\w+)"', page)
    assert headings == [
        "prompts",
        "baseline",
        "features",
        "interpretation",
        "graph",
        "interventions",
        "comparison",
        "provenance",
    ]
    assert re.findall(r'<figure[^>]* id="([\w-]+)"><img src="data:image/svg', page) == [
        name for name in stored if name != "report"
    ]
    assert 'name="viewport"' in page and "prefers-color-scheme: dark" in page


def test_what_is_written_in_a_prompt_cannot_become_markup():
    """Texts are escaped in the report, and a dollar sign is no formula in a figure."""
    from tasks.drawing import report

    assert report.table(["<b>"], [["$x$ & </td>"]]).count("<td>") == 1
    assert "&lt;/td&gt;" in report.table(["h"], [["$x$ & </td>"]])
    look = Look()
    with look.applied():
        figure = look.figure(4, 2, layout="none")
        figure.text(0.1, 0.5, "$a_1$ \\frac")
        assert render(Plate("a", "b", "c", figure), "png", provenance("a", {}, {}), 72).startswith(b"\x89PNG")


def test_tokens_as_printed():
    """A leading space and a line break are seen; long ones are cut."""
    assert [token(" are"), token("\n"), token(""), token("a" * 20)] == ["␣are", "⏎", "∅", "a" * 11 + "…"]
    assert cut("abc", 3) == "abc" and cut("abcd", 3) == "ab…"


def test_fit_cuts_to_the_width_it_is_given():
    """The width is measured, not guessed: a narrow text keeps more letters."""
    assert diagram.fit("iiiiiiii", 14, 6) == "iiiiiiii" and diagram.fit("WWWWWWWW", 14, 6).endswith("…")


def test_margins_lie_on_the_side_of_their_sign(read):
    """The dots of the margin figure are the margins."""
    look = Look()
    with look.applied():
        (plate,) = margins.by_category(look, SETTINGS, read["prompts"], read["baseline"])
    dots = [x for line in plate.figure.axes[0].lines if line.get_alpha() for x in line.get_xdata()]
    assert sorted(dots) == pytest.approx(sorted(read["baseline"].margin.tolist()))
