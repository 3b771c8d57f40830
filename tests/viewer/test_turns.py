"""Conversations in the explorer: whose turn a token is, on the picture, in what is saved, and in words."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from conversation import TEXT, talked  # noqa: F401 (a fixture)
from matplotlib import image
from pages import Shown

import circuitstore as cs
from circuitstore.storage.layout import Store
from circuitstore.viewer.bundle import pack
from circuitstore.viewer.page import page
from tasks.exploring.records import Records

FOOT = 22  # pixels below the names of tokens, where turns are


@pytest.fixture
def records(talked) -> Records:  # noqa: F811
    return Records(Store(str(talked.store)).check(), talked.profile.stem)


@pytest.fixture
def text(records) -> dict:
    """What the store says of the one text."""
    (text,) = records.get("store")["texts"]
    return text


@pytest.fixture
def shown(records, text, show, tmp_path) -> Shown:
    """The page of the text of two turns."""
    key, path = f"text/{text['name']}", tmp_path / "page.html"
    path.write_bytes(page("t", {key: pack(records.get(key))}, f"#/{key}"))
    return show(path.as_uri()).drawn()


def test_records_say_whose_turn_a_token_is(records, text, talked):  # noqa: F811
    """Of a prompt as its row says it, of a text as its graph does; a text is named by what was said."""
    prompts = cs.open("prompts", behaviour="mine", profile="small", store=talked.store)
    graph = records.get("graph/mine/a")
    row = prompts.sel(prompt="a")
    assert graph["turns"] == row.token_role.values.tolist() and set(graph["turns"]) == {"", "user"}
    assert graph["asked"] == row.tokens.values.tolist() and graph["text"] == TEXT
    told = records.get(f"text/{text['name']}")
    said = [at for at, role in zip(told["tokens"], told["turns"], strict=True) if role == "user"]
    assert "".join(said) == TEXT and told["turns"].count("system") == 1
    assert text["text"] == told["text"] == f"system: be · user: {TEXT}"


def test_the_picture_has_a_bracket_for_each_turn(shown):
    """Its role is written whole, tokens of the template are in another colour, and the legend says so."""
    colours = dict(shown.written())
    assert len({colours[name] for name in ("system", "user", "be", "␣the")}) == 1
    assert colours["⏎"] != colours["be"] and "assistant" not in colours
    assert "whose turn" in shown.page.locator(".controls").inner_text()


def test_what_is_saved_has_the_turns(shown, tmp_path):
    """The SVG as words with brackets, cut where the picture cuts them, the PNG as pixels below the tokens."""
    for kind in ("SVG", "PNG"):
        with shown.page.expect_download() as download:
            shown.page.get_by_role("button", name=f"Save as {kind}").click()
        download.value.save_as(tmp_path / f"saved.{kind.lower()}")
    root = ElementTree.parse(tmp_path / "saved.svg").getroot()
    texts = [each.text for each in root if each.tag.endswith("}text")]
    assert texts.count("user") == texts.count("system") == 1 and "<|i…" in texts
    assert set(texts) == {text for text, _ in shown.written()}
    assert len([each for each in root if each.tag.endswith("}path")]) == 2
    pixels = image.imread(tmp_path / "saved.png")[-FOOT:-2, 70:, :3]
    assert (np.abs(pixels - pixels[0, 0]).max(2) > 0.5).sum() > 100


def test_the_chosen_node_says_whose_word_it_is_at(shown, text, records):
    """To a screen reader, in the panel and in the table."""
    told = records.get(f"text/{text['name']}")
    shown.page.get_by_text("Nodes as a table").click()
    for role, words in (("user", "said by user"), ("", "of the chat template")):
        at = next(
            at for at, turn in enumerate(told["turns"]) if turn == role and told["tokens"][at].strip("\n ")
        )
        rows = shown.page.locator("details.table tr").filter(has_text=words)
        rows.filter(has_text=told["tokens"][at].strip()).first.locator("button").click()
        assert words in shown.text(".panel h2")
        assert words in shown.page.locator(".announce").text_content()


def test_a_call_is_copied_with_the_tokens_of_the_conversation(shown, text, records):
    """What was said, without its template, would be another text with other positions."""
    told = records.get(f"text/{text['name']}")
    shown.page.locator(".ends button:has-text('#')").first.click()
    shown.page.get_by_role("button", name="Pin", exact=True).click()
    shown.page.get_by_role("button", name="Copy as Python").click()
    call = shown.page.locator("[aria-label=Python]").input_value()
    asked: list[tuple] = []

    class Recorder:
        intervene = staticmethod(lambda *words, **named: asked.append(words))

    exec(call, {"cs": Recorder})
    tokens, edits = asked[0]
    assert len(tokens) == len(told["tokens"]) and tokens == told["asked"] and len(edits) == 1


def test_a_graph_that_is_no_conversation_has_no_turns(built, show):
    """Neither in its record nor in words."""
    record = Records(Store(str(built.store)).check(), "small").get("graph/mine/p0a")
    assert record["turns"] == [] and record["asked"] == record["text"]
