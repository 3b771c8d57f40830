"""Prompts, labels and names are text, whatever they hold."""

from __future__ import annotations

import re

import pytest
from pages import unpacked
from workspace import BEHAVIOUR, PROFILE

from circuitstore.storage.layout import Store
from circuitstore.viewer.bundle import pack
from circuitstore.viewer.page import page
from tasks.exploring.records import Records

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
TEXTS = {
    "script": SCRIPT,
    "attribute": '" onmouseover="alert(3)" x=\'',
    "direction": "abc \u202egnp.exe\u202c \u2066x",
    "control": "bell \x07 null \x00 escape \x1b[31m line\nbreak",
    "long": "long " * 2000,
    "template": "${alert(4)} {{constructor.constructor('alert(5)')()}}",
    "address": "javascript:alert(6)",
}


@pytest.fixture
def records(built) -> Records:
    return Records(Store(str(built.store)).check(), PROFILE)


def hostile(records: Records, text: str) -> dict[str, bytes]:
    """The records of a graph's page with this text in every place that has text of a store."""
    graph = records.get(f"graph/{BEHAVIOUR}/p0a")
    about = records.get(f"behaviour/{BEHAVIOUR}")
    i = next(k for k, kind in enumerate(graph["nodes"]["kind"]) if kind == 0 and graph["nodes"]["kept"][k])
    layer, feature = int(graph["nodes"]["layer"][i]), int(graph["nodes"]["feature"][i])
    known = records.get(f"feature/{BEHAVIOUR}/{layer}/{feature}")
    graph |= {"text": text, "title": text, "answers": [text, text], "tokens": [text] * len(graph["tokens"])}
    graph["turns"] = ["", *[text] * (len(graph["tokens"]) - 1)]
    graph["roles"] = [f"{text} {k}" for k in range(len(graph["tokens"]))]
    graph["labels"] = dict.fromkeys(graph["labels"], text)
    graph["logits"]["text"] = [text] * len(graph["logits"]["text"])
    for row in about["prompts"]:
        row |= dict.fromkeys(("text", "correct", "incorrect", "split"), text)
        row |= {"tokens": [text] * len(row["tokens"]), "top": [[text, -1.0]]}
    about["phases"] = {text: {text: text}}
    known |= dict.fromkeys(("label", "reviewer_label", "reviewer", "reviewer_note"), text)
    known["promoted"] = known["suppressed"] = [[text, 1.0]]
    for row in known["associations"]:
        row["category"] = text
    made = {f"graph/{BEHAVIOUR}/p0a": graph, f"behaviour/{BEHAVIOUR}": about}
    made[f"feature/{BEHAVIOUR}/{layer}/{feature}"] = known
    return {key: pack(value) for key, value in made.items()}


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_is_shown_as_text(records, show, tmp_path, name):
    """On the pages of a graph, a feature and a behaviour no script runs, nothing is asked for or steered."""
    text = TEXTS[name]
    held = hostile(records, text)
    path = tmp_path / "page.html"
    path.write_bytes(page(text, held))
    for key in held:
        shown = show(f"{path.as_uri()}#/{key}")
        shown.page.wait_for_selector("h1")
        if key.startswith("graph"):
            shown.drawn().page.locator(".ends button").first.click()
            shown.page.keyboard.press("p")
        body = shown.page.locator("body").inner_text()
        assert not re.search(r"[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]", body)
        assert (
            shown.page.locator(
                "#app script, #app img[src=x], #app [onmouseover], #app a[href^=javascript]"
            ).count()
            == 0
        )
        if name == "script":
            assert "<script>alert(1)" in body
        assert [url for url in shown.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_foreign_script_in_the_page_does_not_run(records, show, tmp_path):
    """Even markup that somebody wrote into the file is stopped by the policy."""
    text = page("t", hostile(records, "x")).decode()
    path = tmp_path / "page.html"
    path.write_text(text.replace("<div id=", "<script>document.title = 'ran'</script><div id=", 1))
    shown = show(f"{path.as_uri()}#/graph/{BEHAVIOUR}/p0a").drawn()
    assert shown.page.title() == "t"
    assert any("Content Security Policy" in problem for problem in shown.problems)
    shown.problems.clear()


def test_texts_reach_the_page_unchanged(records):
    """They are made harmless where they are shown, and nowhere else."""
    held = hostile(records, TEXTS["direction"])
    assert unpacked(held[f"graph/{BEHAVIOUR}/p0a"])["text"] == TEXTS["direction"]
