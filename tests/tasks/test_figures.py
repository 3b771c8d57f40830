"""Phase `figures`: the same bytes each time, and inside them what they were drawn from."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree

import matplotlib
import msgspec
import pytest
from drawn import ARCHITECTURE, SETTINGS, STUDY
from PIL import Image

from circuitstore.storage.reviews import Label
from tasks.drawing import markup, published, report
from tasks.drawing.plate import Plate, provenance, render
from tasks.drawing.style import Look
from tasks.drawing.tables_features import labels_hash
from tasks.drawing.tables_interventions import FILLS
from tasks.figures import CONTENTS, figures


def test_every_kind_of_figure_is_there(stored):
    """One store gives all of them, with captions; the report comes last."""
    names = (
        "margins reconstruction positions activity associations scores graph-1 graph-2 methods circuit "
        "ablation edits steering faithfulness prediction influence comparison report"
    )
    assert list(stored) == names.split()
    assert all(len(str(figure.caption.values)) > 40 for figure in stored.values())


def test_the_same_bytes_each_time(upstream, stored):
    """Drawn again in another process and under other settings of matplotlib, all bytes are equal."""
    settings = msgspec.structs.replace(SETTINGS, formats=("png", "svg", "pdf"))
    with matplotlib.rc_context({"font.size": 31, "axes.facecolor": "red", "svg.hashsalt": None}):
        again = {
            coords["figure"]: data
            for coords, data in figures([{}], settings, STUDY, ARCHITECTURE, {}, **upstream)
        }
    assert list(again) == list(stored)
    for name, figure in again.items():
        for kind in ("png", "svg", "pdf", "html"):
            assert figure[kind].values.tobytes() == stored[name][kind].values.tobytes(), (name, kind)


def test_every_format_opens(stored):
    """PNG of the stated resolution, well-formed SVG, whole PDF, and a report without scripts or links."""
    for name, figure in stored.items():
        if name == "report":
            assert figure.html.values.tobytes().startswith(b"<!doctype html>")
            assert not re.search(rb"<script|<link|@import|src=\"(?!data:)", figure.html.values.tobytes())
            addresses = set(re.findall(rb"https?://[^\s\"<]+", figure.html.values.tobytes()))
            assert addresses == {work.address.encode() for work in published.REFERENCES.values()}
            continue
        image = Image.open(io.BytesIO(figure.png.values.tobytes()))
        image.load()
        assert 300 < image.width < 700 and image.info["dpi"] == pytest.approx((100, 100), abs=0.1)
        assert ElementTree.fromstring(figure.svg.values.tobytes()).tag.endswith("svg")
        document = figure.pdf.values.tobytes()
        assert document.startswith(b"%PDF-") and document.rstrip().endswith(b"%%EOF")


def test_provenance_names_the_artifacts_a_figure_was_drawn_from(built, stored):
    """The hashes in a figure are those of the artifacts of the phases that its drawing was given."""
    needs = dict(
        zip(
            [n for n in stored if n not in ("graph-2", "report")],
            [needs for _, _, needs in CONTENTS],
            strict=True,
        )
    )
    needs["graph-2"] = needs["graph-1"]
    for name, phases in needs.items():
        lines = str(stored[name].provenance.values).splitlines()
        hashes = dict(line.split(" sha256:") for line in lines if " sha256:" in line)
        assert ("review" in hashes) == ("interpretation" in phases)
        hashes.pop("review", None)
        assert hashes == {phase: built.artifact(phase).content for phase in phases if phase != "study"}
        assert hashes


def test_provenance_is_inside_every_file(stored):
    """PNG text, SVG metadata and the document information of PDF carry the provenance of the dataset."""
    for name, figure in stored.items():
        origin = str(figure.provenance.values)
        hashes = re.findall(r"sha256:(\w{64})", origin)
        assert hashes
        if name == "report":
            page = figure.html.values.tobytes().decode()
            assert all(digest in page for digest in hashes)
            continue
        assert Image.open(io.BytesIO(figure.png.values.tobytes())).info["Source"] == origin
        svg = figure.svg.values.tobytes().decode()
        assert all(digest in svg for digest in hashes)
        document = figure.pdf.values.tobytes()
        inside = document + b"".join(inflated(document))
        for digest in hashes:
            assert digest.encode() in inside or digest.encode("utf-16-be") in inside, name


def inflated(document: bytes) -> Iterator[bytes]:
    """The compressed streams of a PDF."""
    for part in re.findall(rb"stream\r?\n(.*?)endstream", document, flags=re.DOTALL):
        try:
            yield zlib.decompress(part)
        except zlib.error:
            continue


def test_no_dates_in_any_file(stored):
    """A date would make two equal figures differ."""
    dates = rb"CreationDate|ModDate|<dc:date>|tIME"
    for name, figure in stored.items():
        for kind in ("png", "svg", "pdf"):
            assert not re.search(dates, figure[kind].values.tobytes()), (name, kind)


def test_changing_the_style_recomputes_only_figures(built):
    """No phase above runs again, and nothing runs when the style is set back."""
    talk = ("--set", "figures.style=talk", "--set", "figures.formats=['png']")
    assert built.computed(*talk) == {"figures": 1}
    assert built.computed(*talk) == built.computed() == {}


def test_reviewed_labels_are_shown(upstream, given):
    """A reviewer's label replaces the automatic one, and its hash is in the provenance."""
    layer, feature = given["circuit"].top_features(1)[0]
    review = {(layer, feature): Label("what a person said", "someone", "")}
    settings = msgspec.structs.replace(SETTINGS, formats=("svg",))
    again = {
        coords["figure"]: data
        for coords, data in figures([{}], settings, STUDY, ARCHITECTURE, review, **upstream)
    }
    assert "what a person said" in again["report"].html.values.tobytes().decode()
    assert labels_hash(review) in str(again["activity"].provenance.values)
    assert given["interpretation"].label(layer, feature) != "what a person said"


def test_the_report_begins_with_what_it_holds_and_what_is_a_toy(stored):
    """Contents link to every section, figures are numbered in order, and `tiny` is called a toy at once."""
    page = stored["report"].html.values.tobytes().decode()
    assert re.findall(r'<li><a href="#(\w+)"', page) == re.findall(r'<h2 id="(\w+)"', page)
    numbers = [int(number) for number in re.findall(r"<b>Figure (\d+)\.", page)]
    assert numbers == list(range(1, len(stored)))
    study = {"behaviour": "mine", "profile": "tiny"}
    assert "tiny is a toy" in report.page(study, ARCHITECTURE, {}, {}, {}).decode().partition("<nav>")[0]
    assert "toy" not in page.partition("<nav>")[0].partition("<body>")[2]


def test_the_report_says_where_patching_works_and_what_controls_allow(given, stored):
    """Every place with its share of flips, every set with the quality of its controls, the empty circuit."""
    page = stored["report"].html.values.tobytes().decode()
    _, summary = given["interventions"].shown
    for place in ("contrast", "between", "last", "all but last"):
        assert f"<td>{place}</td><td>all</td>" in page
    rows = [row for row in summary["controls"] if row["prompts"]]
    assert rows and page.count("<td>chosen on train</td>") == sum(row["choice"] == "train" for row in rows)
    assert f"That leaves {summary['empty_share']['configured']['value']:.0%} of the margin" in page
    assert FILLS["mean"] in page and FILLS[summary["fill"]] == FILLS["mean"]
    assert f"intervals over {summary['groups']} minimal pairs" in page and "too narrow" in page
    ratios = [row["ratio"] for row in summary["controls"] if row["choice"] == "train"]
    null = [ratio for ratio in ratios if ratio["low"] is not None and ratio["low"] <= 1]
    assert bool(null) == ("show no larger effect than their controls" in page)
    assert "CPR" in page and "random, equal size" in page and "falls short" not in page
    assert "not drawn)" not in page


def test_what_patches_best_is_chosen_on_train(given):
    """The set, choice and regime of largest share on train; what is shown is their share on test."""
    table = given["interventions"]
    train = table.patched("train")
    most = max(row["flips"]["value"] for row in train)
    shown = table.chosen_patch("flips")
    same = [row for row in train if all(row[n] == shown[n] for n in ("choice", "asked", "regime"))]
    assert [row["flips"]["value"] for row in same] == [most]
    smaller = [row for row in train if row["flips"]["value"] == most and row["size"] < same[0]["size"]]
    assert not smaller and shown in table.patched("test")


def test_the_report_tells_the_story_in_order(stored):
    """Sections stand in order, and every figure is inside as data."""
    page = stored["report"].html.values.tobytes().decode()
    sections = "prompts baseline features interpretation graph interventions comparison references provenance"
    assert re.findall(r'<h2 id="(\w+)"', page) == sections.split()
    assert re.findall(r'<figure[^>]* id="([\w-]+)"><img src="data:image/svg', page) == [
        name for name in stored if name != "report"
    ]
    assert 'name="viewport"' in page and "prefers-color-scheme: dark" in page


def test_what_is_written_in_a_prompt_cannot_become_markup():
    """Texts are escaped in the report, and a dollar sign is no formula in a figure."""
    made = markup.table("a", "A <b>", ["<b>"], [["$x$ & </td>"]])
    assert made.count("<td>") == 1 and "&lt;/td&gt;" in made and "A &lt;b&gt;" in made
    look = Look()
    with look.applied():
        figure = look.figure(4, 2, layout="none")
        figure.text(0.1, 0.5, "$a_1$ \\frac")
        assert render(Plate("a", "b", "c", figure), "png", provenance("a", {}, {}), 72).startswith(b"\x89PNG")
