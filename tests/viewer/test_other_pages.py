"""Features, labels, behaviours and stores: what their pages show, and what a reviewer does there."""

from __future__ import annotations

import pytest
from workspace import BEHAVIOUR, PROFILE

import circuitstore as cs
from circuitstore.storage.layout import Store
from circuitstore.storage.reviews import labels_of
from circuitstore.viewer.bundle import pack
from circuitstore.viewer.page import page
from tasks.exploring.records import Records

pytestmark = pytest.mark.slow


def where(built) -> dict:
    return {"behaviour": BEHAVIOUR, "store": built.store, "profile": PROFILE}


@pytest.fixture
def edited(built) -> tuple[int, int]:
    """A feature that was edited alone in some prompt."""
    cell = cs.open("interventions", **where(built)).isel(prompt=0)
    return int(cell.single_layer[0]), int(cell.single_feature[0])


def test_a_feature_page_shows_all_that_is_known(serve, show, built, edited):
    """Label, top prompts, tests, tokens, interventions, activations and graphs."""
    layer, feature = edited
    shown = show(serve().address(f"#/feature/{BEHAVIOUR}/{layer}/{feature}"))
    shown.page.wait_for_selector("h1:has-text('Feature')")
    units = cs.open("interpretation", **where(built)).load()
    unit = units.isel(unit=((units.layer == layer) & (units.feature == feature)).values.argmax())
    assert shown.text(".label").startswith(str(unit.label.values))
    assert f"{int(unit.active_prompts)} of 12 prompts" in shown.text(".facts")
    top = shown.page.locator(".top .number").all_inner_texts()
    expected = [value for value in unit.top_activation.values.tolist() if value == value]
    assert [float(text) for text in top] == pytest.approx(expected, abs=6e-3)
    for title in ("Goes with", "Promotes", "Suppresses", "Interventions on it", "Graphs it is in"):
        assert shown.page.get_by_role("heading", name=title).count() == 1
    assert shown.page.locator("svg.heat rect").count() > 0


def test_the_darkest_token_is_where_the_feature_peaks(serve, show, edited):
    """In each top prompt one token is at least as dark as all others."""
    shown = show(serve().address("#/feature/{}/{}/{}".format(BEHAVIOUR, *edited)))
    first = shown.page.locator(".top li").first
    first.wait_for()
    assert first.locator(".heat9").count() == 1


def review(show, server, **window):
    shown = show(server.address(f"#/features/{BEHAVIOUR}"), **window)
    shown.page.wait_for_selector(".deciding")
    return shown


def labels(server, built) -> dict:
    identity = built.artifact("interpretation").components.resources["transcoders"]
    return labels_of(Store(str(server.store)), PROFILE, BEHAVIOUR, identity)


def current(shown) -> tuple[int, int]:
    layer, feature = shown.text(".deciding h2").split()[:2]
    return int(layer[1:]), int(feature[1:])


def test_labels_are_decided_by_keyboard(serve, show, built):
    """a accepts, e edits, r rejects; each is stored under the author, and the next feature follows."""
    server = serve("Ann")
    shown = review(show, server)
    decided = []
    for keys, label in (("a", None), ("e", "my own words"), ("r", "unlabelled")):
        decided.append((current(shown), label))
        shown.page.keyboard.press(keys)
        if keys == "e":
            shown.page.keyboard.type("my own words")
            shown.page.keyboard.press("Enter")
        name = "L{} #{}".format(*decided[-1][0])
        shown.page.locator(".list li:has-text('✓')", has_text=name).wait_for()
    stored = labels(server, built)
    assert [stored[unit].author for unit, _ in decided] == ["Ann"] * 3
    units = cs.open("interpretation", **where(built))
    automatic = dict(
        zip(zip(units.layer.values, units.feature.values, strict=True), units.label.values, strict=True)
    )
    assert [stored[unit].label for unit, _ in decided] == [
        label or str(automatic[unit]) for unit, label in decided
    ]
    shown.page.reload()
    shown.page.locator(".list li:has-text('✓')").nth(2).wait_for()


def test_a_draft_outlives_a_reload(serve, show):
    """What was typed and not saved is there again."""
    shown = review(show, serve("Ann"))
    shown.page.keyboard.press("e")
    shown.page.keyboard.type("half a thou")
    shown.page.reload()
    shown.page.wait_for_selector(".deciding")
    assert shown.page.get_by_label("Label", exact=True).input_value() == "half a thou"


def test_what_cannot_be_saved_is_kept(serve, show):
    """Without its server the page says so, and keeps what was decided."""
    server = serve("Ann")
    shown = review(show, server)
    unit = current(shown)
    shown.context.set_offline(True)
    shown.page.keyboard.press("r")
    shown.page.get_by_text("not saved, kept in this browser").wait_for()
    assert current(shown) == unit
    shown.context.set_offline(False)
    shown.problems.clear()  # the browser reports the request that failed
    shown.page.reload()
    shown.page.wait_for_selector(".deciding")
    assert shown.page.get_by_label("Label", exact=True).input_value() == "unlabelled"


def test_two_reviewers_see_each_other(serve, show, built):
    """Who saves second is shown what the first said, and chooses."""
    ann, bob = serve("Ann"), serve("Bob")
    first, second = review(show, ann), review(show, bob)
    unit = current(first)
    assert current(second) == unit
    for shown, text in ((first, "a number"), (second, "a noun")):
        shown.page.keyboard.press("e")
        shown.page.keyboard.type(text)
        shown.page.keyboard.press("Enter")
        if shown is first:
            name = "L{} #{}".format(*unit)  # the page has gone on to the next feature
            shown.page.get_by_text(f"{name} saved: a number").wait_for()
    second.page.get_by_role("alert").wait_for()
    assert "Ann" in second.text("[role=alert]") and "a number" in second.text("[role=alert]")
    assert labels(ann, built)[unit].label == "a number"
    second.problems.clear()  # the browser reports an answer of 409
    second.page.get_by_role("button", name="Save mine").click()
    second.page.get_by_text("saved: a noun").wait_for()
    assert labels(bob, built)[unit].label == "a noun"


def test_without_review_there_is_nothing_to_decide_with(serve, show):
    """No form, and keys do nothing."""
    shown = review(show, serve())
    assert shown.page.locator(".decide").count() == 0 and "Read only" in shown.text(".review")


def test_a_file_says_when_it_holds_no_more_of_a_feature(built, show, tmp_path):
    """The index of an exported behaviour lists all features, and holds those of the aggregated graph."""
    records = Records(Store(str(built.store)).check(), PROFILE)
    kinds = (f"features/{BEHAVIOUR}", f"behaviour/{BEHAVIOUR}")
    path = tmp_path / "page.html"
    path.write_bytes(page("t", {key: pack(records.get(key)) for key in kinds}, f"#/{kinds[0]}"))
    shown = show(path.as_uri())
    shown.page.wait_for_selector(".deciding")
    assert "holds no more of this feature" in shown.text(".deciding")


def test_the_store_page_leads_to_every_result(serve, show, built):
    """Phases by behaviours; a result leads to what it was made from, down to the weights."""
    shown = show(serve().address())
    shown.page.locator("td.state a").first.wait_for()
    assert shown.page.locator("tbody tr").count() == 1
    assert shown.page.locator("td.state a").count() == 10
    shown.page.locator("td.state a").last.click()
    shown.page.wait_for_selector(".provenance")
    text = shown.page.locator(".provenance").text_content()
    for phase in ("prompts", "attribution", "figures"):
        assert built.artifact(phase).content in text
    files = str(built.artifact("baseline").components.resources["model"])
    weights = [word for word in files.replace("'", " ").split() if len(word) == 64]
    assert weights and all(word in text for word in weights)


def test_the_behaviour_page_shows_baseline_prompts_and_figures(serve, show, built):
    """Every prompt leads to its graph; a figure is a picture with its caption."""
    shown = show(serve().address(f"#/behaviour/{BEHAVIOUR}"))
    shown.page.locator("table[aria-label=Prompts] a").first.wait_for()
    assert shown.page.locator("table[aria-label=Prompts] a").count() == 12
    assert "gate" in shown.text(".facts")
    image = shown.page.locator("figure img")
    image.wait_for()
    session = shown.context.new_cdp_session(shown.page)
    wide = session.send(
        "Runtime.evaluate", {"expression": "document.querySelector('figure img').naturalWidth"}
    )
    assert wide["result"]["value"] > 100
    shown.page.locator("table[aria-label=Prompts] a").first.click()
    shown.drawn()


def test_pages_of_a_folder_lead_to_each_other(exported, show):
    """The index leads to a prompt's page, and that back to the index."""
    assert {path.name for path in exported.glob("*.html")} == {"index.html"} | {
        f"p{i}{side}.html" for i in range(6) for side in "ab"
    }
    shown = show((exported / "index.html").as_uri())
    shown.page.locator("table[aria-label=Prompts] a").first.click()
    shown.drawn()
    assert "/p" in shown.page.url
    shown.page.get_by_role("link", name=BEHAVIOUR).click()
    shown.page.get_by_role("link", name="Features and their labels").click()
    shown.page.wait_for_selector(".review")
    assert "index.html" in shown.page.url
