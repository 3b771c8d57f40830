"""`circuitstore.view`: one graph in a notebook's cell, in the browser, or as a file."""

from __future__ import annotations

import pytest
from workspace import BEHAVIOUR, PROFILE

import circuitstore as cs
from circuitstore.errors import InputError, UsageError


@pytest.fixture
def graph(built):
    tree = cs.open("attribution", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE)
    return tree["p0a"].to_dataset()


def test_a_notebook_shows_the_graph_in_a_frame(graph, show, tmp_path):
    """In a frame that may run the page's script and nothing of the notebook's."""
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><title>n</title>{cs.view(graph, pruned=True)._repr_html_()}")
    shown = show(path.as_uri())
    frame = shown.page.frame_locator("iframe")
    frame.locator(".picture[data-drawn]").wait_for()
    frame.locator(".ends button").first.click()
    frame.get_by_role("button", name="Pin", exact=True).click()
    frame.locator(".pins li").wait_for()
    assert shown.page.frames[1].locator("h1").inner_text() == "".join(graph.token_text.values[1:])


def test_a_saved_view_is_the_whole_graph(graph, show, tmp_path):
    """With the labels that are given."""
    layer, _, feature = graph.active_features.values[int(graph.selected_features[0])].tolist()
    path = cs.view(graph, labels={(layer, feature): "my label"}).save(tmp_path / "graph.html")
    shown = show(f"file://{path}").drawn()
    shown.slide("share", 1)
    assert int(graph.prune_node_mask.sum()) < shown.counts()[0] <= graph.sizes["node"]
    shown.page.locator("input[type=search]").fill("my label")
    assert "my label" in shown.text(".found button")


def test_what_is_no_graph_is_told(graph, tmp_path):
    """Another dataset, and a place that is not writable."""
    with pytest.raises(UsageError, match=r"cs\.attribute"):
        cs.view(graph.drop_vars("edge_weight"))
    with pytest.raises(InputError):
        cs.view(graph).save(tmp_path / "missing" / "graph.html")
