"""The page of a graph, used as a person uses it: what it shows is what the store holds."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from pages import Shown, exported_pages
from workspace import BEHAVIOUR, PROFILE

import circuitstore as cs
from circuitstore.circuits.pruning import padded, prune

PROMPT, PARTNER = "p0a", "p0b"


def stored(built, prompt=PROMPT):
    tree = cs.open("attribution", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE)
    return tree[prompt].to_dataset().load()


@pytest.fixture(scope="module")
def whole(built, tmp_path_factory):
    """The folder with the page of one graph, all of it."""
    folder = tmp_path_factory.mktemp("whole")
    return exported_pages(built, folder, "-p", PROMPT, "--format", "full")


@pytest.fixture
def page(exported, show) -> Shown:
    """The page of a pruned graph."""
    return show((exported / f"{PROMPT}.html").as_uri()).drawn()


def test_a_file_asks_for_nothing(exported, show):
    """Without a network it shows everything, and makes no request but that for itself."""
    path = exported / f"{PROMPT}.html"
    shown = show(path.as_uri(), offline=True).drawn()
    shown.page.locator(".ends button:has-text('#')").first.click()
    shown.page.wait_for_selector(".summary")
    outside = [url for url in shown.requests if not url.startswith(("data:", "blob:"))]
    assert outside == [path.as_uri()] and path.stat().st_size < 2_000_000


def test_it_begins_with_what_pruning_kept(page, built):
    """As many nodes and edges as the store says."""
    graph = stored(built)
    assert page.counts() == (int(graph.prune_node_mask.sum()), int(graph.prune_edge_mask.sum()))


@pytest.mark.parametrize(("share", "edges"), [(0.5, 0.9), (0.7, 1.0), (0.95, 0.8)])
def test_pruning_in_the_page_is_pruning_in_python(whole, built, show, share, edges):
    """The same shares keep as many nodes and edges as `circuitstore.circuits.pruning.prune` keeps."""
    graph = stored(built)
    n, n_layers, n_tokens = graph.sizes["node"], int(graph.n_layers), graph.sizes["position"]
    adjacency = np.zeros((n, n), dtype=np.float32)
    adjacency[graph.edge_target.values, graph.edge_source.values] = graph.edge_weight.values
    kinds = (graph.sizes["feature_node"], n_layers * n_tokens, n_tokens, graph.sizes["logit"])
    layer = graph.active_features.values[graph.selected_features.values][:, 0]
    levels = np.concatenate([layer, np.full(kinds[1] + kinds[2], -1), np.full(kinds[3], n_layers)])
    expected = prune(
        torch.from_numpy(adjacency),
        padded(graph.logit_weights.values, n),
        levels,
        kinds,
        node_threshold=share,
        edge_threshold=edges,
    )
    shown = show((whole / f"{PROMPT}.html").as_uri()).drawn()
    shown.slide("share", share)
    shown.slide("edges", edges)
    assert shown.counts() == (int(expected.node_mask.sum()), int(expected.edge_mask.sum()))


def test_scores_follow_and_are_those_of_the_store_when_all_is_shown(whole, built, show):
    """Nothing hidden: the scores of the whole graph. Something hidden: less."""
    graph = stored(built)
    shown = show((whole / f"{PROMPT}.html").as_uri()).drawn()
    shown.slide("share", 1)
    shown.slide("edges", 1)
    for name in ("replacement", "completeness"):
        assert shown.score(name) == pytest.approx(float(graph[f"{name}_score"]), abs=6e-4)
    shown.slide("share", 0.5)
    assert shown.score("replacement") < float(graph.replacement_score) - 1e-3


def test_the_chosen_node_shows_its_strongest_inputs(page, built):
    """By keyboard: the node on top is the answer, whose inputs are those of largest weight in the store."""
    graph = stored(built)
    page.page.locator(".picture").focus()
    page.page.keyboard.press("ArrowDown")
    last = graph.sizes["node"] - graph.sizes["logit"]
    edges = (graph.edge_target.values == last) & graph.prune_edge_mask.values
    weights = graph.edge_weight.values[edges]
    weights = weights[np.argsort(-np.abs(weights))][:12]
    page.page.wait_for_selector("ul[aria-label=Inputs]")
    shown = [
        text.replace("−", "-")
        for text in page.page.locator("ul[aria-label=Inputs] .number").all_inner_texts()
    ]
    assert [float(text) for text in shown] == pytest.approx(weights.tolist(), rel=0.06, abs=1e-3)


def test_clicking_follows_a_path(page):
    """A click on the picture chooses a node, a click on an input chooses that one."""
    box = page.page.locator(".picture").bounding_box()
    for k in range(5, 100):
        page.page.mouse.move(box["x"] + box["width"] * k / 100, box["y"] + 75)
        if page.page.locator(".tip").count():
            break
    assert "output" in page.text(".tip")
    page.page.mouse.down()
    page.page.mouse.up()
    name = page.text("ul[aria-label=Inputs] .name")
    page.page.locator("ul[aria-label=Inputs] button").first.click()
    assert name.split(" at ")[0].startswith(page.text(".panel h2").split(" at ")[0])
    assert "sel=" in page.page.url


def pinned(page: Shown, count: int) -> Shown:
    """Pin the nodes of most influence, as the table of nodes has them."""
    page.page.get_by_text("Nodes as a table").click()
    for k in range(count):
        page.page.locator("details.table td button").nth(k).click()
        page.page.get_by_role("button", name="Pin", exact=True).click()
    return page


def test_pins_become_groups_and_the_address_keeps_them(page, show):
    """Grouped under a name, after a reload and in another window as well."""
    pinned(page, 3)
    boxes = page.page.locator(".pins input[type=checkbox]")
    assert boxes.count() == 3
    boxes.nth(1).check()
    boxes.nth(2).check()
    page.page.locator("input[placeholder='name of a group']").fill("say <b>are</b>")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("rect.group")
    page.page.reload()
    page.drawn()
    for window in (page, show(page.page.url).drawn()):
        assert "say <b>are</b>" in window.page.locator(".boxes .box:has(rect.group)").text_content()
        assert window.page.locator(".pins li").count() == 2


def test_the_edge_between_boxes_is_that_of_the_store(page, built):
    """The answer and its strongest input, pinned by keyboard."""
    page.page.locator(".picture").focus()
    for key in ("ArrowDown", "p", "i", "p"):
        page.page.keyboard.press(key)
    page.page.wait_for_selector(".boxes line", state="attached")
    graph = stored(built)
    numbers = re.search(r"pin=(\d+),(\d+)", page.page.url)
    target, source = int(numbers[1]), int(numbers[2])
    edge = (graph.edge_target.values == target) & (graph.edge_source.values == source)
    shown = float(page.page.locator(".boxes text").first.text_content().replace("−", "-"))
    assert shown == pytest.approx(float(graph.edge_weight.values[edge][0]), abs=6e-3)


def test_pins_can_be_copied_as_python(page, built):
    """The call names layer, position and feature of what is pinned, with the text and the profile."""
    page.page.locator(".ends button:has-text('#')").first.click()
    page.page.get_by_role("button", name="Pin", exact=True).click()
    page.page.get_by_role("button", name="Copy as Python").click()
    page.page.wait_for_selector("[aria-label=Python]")
    text = page.page.locator("[aria-label=Python]").input_value()
    graph = stored(built)
    active = {tuple(row) for row in graph.active_features.values.tolist()}
    layer, position, feature = map(int, re.search(r"\((\d+), (\d+), (\d+)\): 0\.0", text).groups())
    assert (layer, position, feature) in active
    asked: list[tuple] = []

    class Recorder:
        intervene = staticmethod(lambda *words, **named: asked.append((words, named)))

    exec(text, {"cs": Recorder})
    assert asked[0][0][0] == "the keys to the w0" and asked[0][1] == {"model": PROFILE}


def test_search_finds_by_layer_and_number(page):
    """What is found is listed, and Enter chooses the first."""
    page.page.locator(".ends button:has-text('#')").first.click()
    name = page.text(".panel h2").split(" at ")[0]
    page.page.locator("input[type=search]").fill(name)
    assert page.text(".found button").startswith(name)
    page.page.locator("input[type=search]").fill("no such label")
    page.page.get_by_text("0 found").wait_for()


def test_filters_leave_what_they_say(page):
    """Positive edges only: no negative input is listed, and fewer edges remain."""
    page.page.locator(".picture").focus()
    page.page.keyboard.press("ArrowDown")
    page.page.get_by_label("positive").check()
    numbers = page.page.locator("ul[aria-label=Inputs] .number").all_inner_texts()
    assert numbers and not [text for text in numbers if text.startswith("−")]
    page.slide("min", 0.4)
    assert page.page.locator("ul[aria-label=Inputs] .number").count() < len(numbers)


def test_two_graphs_mark_what_they_share(page, built):
    """The minimal pair beside it: shared are kept nodes of equal kind, layer, feature and role."""

    def identities(prompt):
        graph = stored(built, prompt)
        kept, n = graph.prune_node_mask.values, graph.sizes["position"]
        active = graph.active_features.values[graph.selected_features.values].tolist()
        layers = range(int(graph.n_layers))
        roles = cs.open("pairs", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE)[prompt].role.values
        rows = [("feature", layer, feature, roles[at]) for layer, at, feature in active]
        rows += [("error", layer, -1, roles[at]) for layer in layers for at in range(n)]
        rows += [("embedding", -1, graph.input_tokens.values[at], roles[at]) for at in range(n)]
        rows += [("logit", -1, token, "last") for token in graph.logit_token_ids.values]
        return {row for row, keep in zip(rows, kept, strict=True) if keep}

    page.page.get_by_role("button", name="its minimal pair").click()
    page.page.wait_for_selector(".beside")
    shared = len(identities(PROMPT) & identities(PARTNER))
    assert page.text(".beside .faint") == f"{shared} shared, ringed" and f"vs={PARTNER}" in page.page.url


def test_the_picture_is_saved_as_svg_and_png(page, tmp_path):
    """A well-formed SVG with a mark for each node and a ring for each pinned one, and a PNG."""
    pinned(page, 3)
    for kind in ("SVG", "PNG"):
        with page.page.expect_download() as download:
            page.page.get_by_role("button", name=f"Save as {kind}").click()
        download.value.save_as(tmp_path / f"saved.{kind.lower()}")
    assert (tmp_path / "saved.png").read_bytes().startswith(b"\x89PNG")
    root = ElementTree.parse(tmp_path / "saved.svg").getroot()
    marks = [each for each in root if each.tag.endswith("}g")]
    lines = [each for each in root if each.tag.endswith("}line")]
    assert (len(marks), len(lines)) == page.counts()
    assert len([each for each in root if each.tag.endswith("}circle")]) == 3


def test_the_aggregated_graph_opens(exported, show):
    """From the page of the behaviour, in the same page."""
    shown = show((exported / "index.html").as_uri())
    shown.page.get_by_role("link", name="Aggregated graph").click()
    assert "train prompts" in shown.drawn().text("h1")
