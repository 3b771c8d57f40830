"""The heads of an edge in the explorer: how to ask, and what the store knows."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from pages import Shown
from workspace import BEHAVIOUR, PROFILE, run

import circuitstore as cs
from circuitstore.storage.layout import Store
from circuitstore.viewer.bundle import pack
from circuitstore.viewer.page import page
from tasks.exploring.records import Records

KEY = f"graph/{BEHAVIOUR}/p0a"


@pytest.fixture
def work(built, tmp_path):
    """A copy of the store, in which questions are asked."""
    return built.copy(tmp_path / "copy")


@pytest.fixture
def opened(work, show, tmp_path):
    """A function that shows what the store holds of a graph now."""

    def opened(key: str = KEY) -> Shown:
        path = tmp_path / "page.html"
        record = Records(Store(str(work.store)).check(), PROFILE).get(key)
        path.write_bytes(page("t", {key: pack(record)}, f"#/{key}"))
        shown = show(path.as_uri()).drawn()
        shown.page.locator(".picture").focus()
        shown.page.keyboard.press("ArrowDown")
        shown.page.get_by_role("button", name="heads").first.click()
        return shown

    return opened


def copied(shown: Shown, button: str, label: str) -> str:
    """What a button copies out."""
    shown.page.get_by_role("button", name=button).first.click()
    return shown.page.locator(f"[aria-label='{label}']").input_value()


def where(work) -> dict:
    return {"model": work.profile, "store": work.store}


def asked(text: str, work):
    """What a copied call gives, asked of the store of this test."""

    class Here:
        @staticmethod
        def heads(*words, model):
            assert model == PROFILE
            return cs.heads(*words, **where(work))

        @staticmethod
        def attention(*words, model, **named):
            assert model == PROFILE
            return cs.attention(*words, **named, **where(work))

    return eval(text, {"cs": Here})


def test_an_edge_leads_to_its_heads(work, opened):
    """The copied call and the copied command give the weight of the edge, which the store then shows."""
    shown = opened()
    weight = float(shown.text("ul[aria-label=Inputs] .number").replace("−", "-"))
    assert "does not say" in shown.text(".heads")
    command = shlex.split(copied(shown, "Heads as command", "Command of heads"))
    assert command[0] == "circuitstore" and command[-2:] == ["--", "the keys to the w0"]
    place = command.index("--profile")
    assert command[place + 1] == PROFILE
    command[place + 1] = work.profile
    told = run(*command[1:-2], "--store", work.store, "--json", *command[-2:])
    assert told.code == 0, told.err
    assert told.json["edges"][0]["weight"] == pytest.approx(weight, rel=2e-2, abs=1e-3)
    heads = asked(copied(shown, "Heads as Python", "Python of heads"), work).load()
    assert heads.edge_name.values.tolist() == [told.json["edges"][0]["edge"]]

    shown = opened()
    numbers = shown.page.locator("table[aria-label='Heads of the edge'] .number").all_inner_texts()
    largest = np.sort(np.abs(heads.loading.values[0]).ravel())[::-1][: len(numbers) - 1]
    values = [float(number.replace("−", "-")) for number in numbers]
    assert np.abs(values[:-1]) == pytest.approx(largest, rel=0.06, abs=1e-3)
    assert values[-1] == pytest.approx(float(heads.direct[0]), rel=0.06, abs=1e-3)


def test_a_head_leads_to_its_score(work, opened):
    """The call names the positions of the edge's ends; its answer stands below the head."""
    asked(copied(opened(), "Heads as Python", "Python of heads"), work)
    why = asked(copied(opened(), "Why L", "Python of attention"), work)
    shown = opened()
    words = shown.text(".heads")
    assert f"{float(why.score):.3f} nats".replace("-", "−") in words
    assert f"attention {float(why.weight):.3f}" in words
    assert shown.page.locator(".pairs li").count() == 8


def test_answers_about_another_text_are_not_shown(work):
    """Nor those of other transcoders: an edge of the same name is another edge there."""
    records = Records(Store(str(work.store)).check(), PROFILE)
    cs.heads("the key to the w0", ["embedding/1>logit/5"], **where(work))
    assert records.get(KEY)["heads"] == []
    cs.heads("the keys to the w0", ["embedding/1>logit/5"], **where(work))
    assert [row["edge"] for row in records.get(KEY)["heads"]] == ["embedding/1>logit/5"]
    text = work.profile.read_text().replace("relu", "jumprelu")
    assert text != work.profile.read_text()
    work.profile.write_text(text)
    cs.heads("the keys to the w0", ["embedding/1>logit/6"], **where(work))
    assert records.get(KEY)["heads"] == []


def test_only_edges_that_have_heads_offer_them(opened, exported, show):
    """An edge into an error has none, and neither has one of the aggregated graph."""
    shown = opened()
    edges = shown.page.locator("ul[aria-label=Inputs] li").count()
    assert shown.page.locator("ul[aria-label=Inputs] li button.small").count() == edges > 0
    shown = show(f"{(exported / 'index.html').as_uri()}#/circuit/{BEHAVIOUR}").drawn()
    shown.page.locator(".picture").focus()
    shown.page.keyboard.press("ArrowDown")
    shown.page.wait_for_selector("ul[aria-label=Inputs] li")
    assert shown.page.get_by_role("button", name="heads").count() == 0
