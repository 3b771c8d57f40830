"""The report as a page: numbers as printed, citations, texts of any kind, and kinds of prompts."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn import ARCHITECTURE
from matplotlib.figure import Figure

from tasks.drawing import markup, published, report, report_interventions
from tasks.drawing.numerals import bounds, number, printed, ranged
from tasks.drawing.plate import Plate
from tasks.drawing.tables_prompts import examples, resampled
from tasks.inputs.study import study

PAGE = {"behaviour": "plural", "profile": "mine"}


def interval(value, low, high) -> dict:
    return {"value": value, "low": low, "high": high}


def test_numbers_as_printed():
    """A minus sign, no zero below zero, and a word where a dash would stand beside a sign."""
    assert [printed(x) for x in (-1.234, -0.001, 0.0, 2.0)] == ["−1.23", "0.00", "0.00", "2.00"]
    assert [printed(x, ".0%") for x in (-0.8, -0.001, 0.5)] == ["−80%", "0%", "50%"]
    assert printed(-12345.6, ",.0f") == "−12,346" and printed(-0.2, "+.0f") == "0"
    assert bounds(interval(-14, -15.85, -13.38)) == "−15.85 to −13.38"
    assert bounds(interval(1, 0.5, 1.5)) == "0.50–1.50" and bounds(interval(0, -0.001, 0.2)) == "0.00–0.20"
    assert bounds(interval(1, None, 2.0)) == "−∞ to 2.00" and bounds(interval(1, 0.5, None)) == "0.50–∞"
    assert bounds(interval(1, None, None)) == "no interval"
    assert ranged(interval(None, None, None)) == "" and number(interval(None, None, None)) == "not measured"


def test_no_number_of_the_report_is_below_zero_and_zero(stored):
    """Nor has any a hyphen for a minus, an interval with a dash before a minus, or digits without a comma."""
    page = re.sub(r'base64,[^"]*', "", stored["report"].html.values.tobytes().decode())
    cells = re.findall(r"<td>([^<]*)</td>", re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL))
    assert len(cells) > 100
    assert not [cell for cell in cells if re.search(r"(?<![\w.])-\d|−0\.0+(?!\d)|–−", cell)]


def test_whatever_a_prompt_holds_is_shown_and_turns_nothing():
    """Controls have pictures, marks of direction their numbers, and right-to-left text is isolated."""
    assert markup.words("a\x00\x1b\x7f\u202e<b>") == "a␀␛␡⟨U+202E⟩&lt;b&gt;"
    assert markup.words("שלום") == "<bdi>שלום</bdi>" and markup.words("é 漢") == "é 漢"
    assert markup.quoting("a\x00 “\x1b”") == "a␀ “␛”"
    assert markup.quoting("of “שלום & a” <b> “c") == "of “<bdi>שלום &amp; a</bdi>” &lt;b&gt; “c"
    made = markup.table("a", "b", ["\x01"], [["\x0b\u200f"]])
    assert "<td>␋⟨U+200F⟩</td>" in made and "<th>␁</th>" in made


def test_the_page_is_well_formed_with_any_text_in_prompts(given):
    """Prompts and answers with controls and markup: no control is left, and tags nest as XML."""
    count = len(given["prompts"].ids)
    worst = np.array(["\x00\x1b[31m\u202e<b>&]]>\ufffe"] * count, dtype=object)
    rows = replace(given["prompts"], text=worst, correct=worst, incorrect=worst)
    parts = report.prompts(PAGE, rows, given["baseline"])
    about = PAGE | {"title": "\x00<i>", "behaviour": "\x1b<u>"}
    page = report.page(about, ARCHITECTURE, {"prompts": parts}, {}, {}).decode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069\ufffe]", page)
    assert "<title>·&lt;u&gt; ·" in page and "<h1>␛&lt;u&gt;</h1>" in page
    assert "␀␛[31m⟨U+202E⟩&lt;b&gt;&amp;]]&gt;⟨U+FFFE⟩" in page and "␀&lt;i&gt;" in page
    body = page.partition("<body>")[2].partition("</body>")[0]
    ElementTree.fromstring(f"<body>{body}</body>")


def test_what_is_said_of_a_figure_is_no_markup():
    """Title, caption and provenance, of which each may hold what somebody wrote."""
    plate = Plate("a", '\x00<b>"', "\x01“<i>”", Figure())
    made = report.figure(plate, b"<svg/>", "\x02<pre>", 3)
    assert "Figure 3. ␀&lt;b&gt;&quot;.</b> ␁“&lt;i&gt;”" in made and 'alt="␀&lt;b&gt;&quot;"' in made
    assert "<pre>␂&lt;pre&gt;</pre>" in made


def test_citations_have_the_numbers_of_what_they_cite(stored):
    """Every figure and table has a number, and every work that is listed is cited in the text."""
    page = stored["report"].html.values.tobytes().decode()
    tables = re.findall(r'<table id="([\w-]+)"><caption><b><a href="#\1">Table (\d+)</a>\.', page)
    assert [int(n) for _, n in tables] == list(range(1, page.count("<table") + 1))
    figures = re.findall(r'<figure[^>]*id="([\w-]+)".*?<b>Figure (\d+)\.', page)
    for name, n in figures:
        assert set(re.findall(rf'<a href="#{name}">Figure (\d+)</a>', page)) <= {n}
    assert re.search(r'<a href="#steering">Figure \d+</a>', page) and '"></a>' not in page
    body, _, listed = page.partition('<h2 id="references">')
    assert set(re.findall(r'<li id="(\w+)">', listed)) == set(published.REFERENCES)
    for name, work in published.REFERENCES.items():
        assert f'<a href="#{name}">{work.short}</a>' in body
    assert "(nothing: not drawn)" in markup.resolved(markup.cite("nothing"))


def test_the_report_says_what_the_behaviour_is():
    """In the words of its declaration, which are read and not run; prompts from a file have none."""
    declared = study("plural", "tiny", "")
    page = report.page(declared, ARCHITECTURE, {}, {}, {}).decode()
    assert declared["title"] in page.partition("<nav>")[0] and declared["description"] in page
    assert declared["title"].startswith("Subject–verb")
    for other in (study("plural", "tiny", "mine.jsonl"), study("mine", "tiny", "")):
        assert (other["title"], other["description"]) == ("", "")


def test_the_report_says_which_model_it_is_about(stored):
    """By its config.json; a model of the hub by repository and commit too, whatever they are called."""
    page = stored["report"].html.values.tobytes().decode()
    assert re.search(r"Profile small: Qwen3, \d+ layers, d_model \d+\. Made by", page)
    hub = ARCHITECTURE | {"d_model": 2560, "repo": "a/<b>", "commit": "0" * 40}
    page = report.page(PAGE, hub, {}, {}, {}).decode()
    assert f"Qwen3, 4 layers, d_model 2,560, a/&lt;b&gt; at {'0' * 40}. Made by" in page


def test_examples_are_of_the_usual_kind_of_prompts(given):
    """Most test prompts ask for one thing: the median is theirs. Without a majority it is of all."""
    prompts, baseline = given["prompts"], given["baseline"]
    test = np.flatnonzero(prompts.split == "test")
    pairs = {name: i // 2 for i, name in enumerate(prompts.ids)}
    kind = np.array(["many" if pairs[name] % 3 else "few" for name in prompts.ids], dtype=object)
    kind[test] = ["few", "few", "many", "many"]
    assert replace(prompts, labels={"asked": kind}).usual[0] == ""
    margin = np.arange(len(prompts.ids), dtype=float)
    kind = np.array(["many" if pairs[name] % 3 else "few" for name in prompts.ids], dtype=object)
    wide = replace(prompts, split=np.array(["test"] * len(prompts.ids)), labels={"asked": kind})
    share = {value: (kind == value).mean() for value in set(kind)}
    value = max(share, key=share.__getitem__)
    assert share[value] > 0.5 and wide.usual[0] == f"asked = {value}"
    first = examples(wide, replace(baseline, margin=margin), 1)[0]
    assert kind[prompts.ids.index(first)] == value
    chosen = margin[kind == value]
    assert (
        abs(margin[prompts.ids.index(first)] - np.median(chosen)) == np.abs(chosen - np.median(chosen)).min()
    )
    # A label that differs within pairs tells no kinds apart.
    sides = np.array(["a", "b"] * (len(prompts.ids) // 2))
    assert replace(prompts, labels={"number": sides}).kinds is None


def test_kinds_of_prompts_stand_side_by_side(given):
    """Each with its own numbers; one kind alone has no table."""
    table = deepcopy(given["interventions"])
    assert report_interventions.by_kind(table) == []
    _, summary = table.shown
    flips = {"capital": 0.75, "state": 0.0}
    for value, share in flips.items():
        own = deepcopy(summary)
        for row in own["places"]:
            row["flips"] = interval(share, 0.0, 1.0)
        table.by_kind[value] = own
    table.kinds = "asked <"
    page = "".join(report_interventions.by_kind(table))
    for value, share in flips.items():
        assert f"<td>{value}</td>" in page and f"<td>{share:.0%} (0%–100%)</td>" in page
    assert "<th>asked &lt;</th>" in page


@pytest.mark.parametrize(("low", "null"), [(-2.0, True), (0.5, False)])
def test_a_null_result_of_steering_is_said(given, low, null):
    """Where the interval of a set meets that of its controls."""
    table = deepcopy(given["interventions"])
    _, summary = table.shown
    for row in summary["steering"]:
        row["change"], row["control"] = interval(1.0, low, 2.0), interval(-0.5, -1.0, 0.0)
    page = "".join(report_interventions.steered(table))
    assert ("it is not shown" in page) == null and ("no interval of a set meets" in page) != null


def test_what_is_resampled_is_called_what_it_is():
    assert resampled(["a", "b"], ["", ""]) == "lexical groups"
    assert resampled(["", ""], ["q", "p"]) == "minimal pairs" and resampled(["", ""], ["", ""]) == "prompts"
    assert resampled(["a", ""], ["", ""]) == "lexical groups and prompts without one"
