"""A checker finds no serious fault on any page, in light and in dark (axe-core, WCAG 2.2 AA)."""

from __future__ import annotations

import json

import pytest
from workspace import BEHAVIOUR, PROFILE, ROOT

import circuitstore as cs

AXE = ROOT / "circuitstore" / "viewer" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = ("", f"#/behaviour/{BEHAVIOUR}", f"#/graph/{BEHAVIOUR}/p0a", f"#/circuit/{BEHAVIOUR}", "feature")
PAGES += (f"#/features/{BEHAVIOUR}", f"#/provenance/{BEHAVIOUR}/figures")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FAULTS = "r => JSON.stringify(r.violations.map(v => [v.impact, v.id, v.nodes[0].html]))"
ASK = f"axe.run(document, {{runOnly: {TAGS}}}).then({FAULTS})"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not AXE.is_file(), reason="run `npm ci` in circuitstore/viewer first"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("start", PAGES)
def test_no_serious_fault(serve, show, built, start, scheme):
    """With a node chosen and pinned on pages of graphs, and with a form on that of labels."""
    if start == "feature":
        cell = cs.open("interventions", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE).isel(
            prompt=0
        )
        start = f"#/feature/{BEHAVIOUR}/{int(cell.single_layer[0])}/{int(cell.single_feature[0])}"
    shown = show(serve("Ann").address(start), color_scheme=scheme)
    shown.page.wait_for_selector("h1")
    if "graph" in start or "circuit" in start:
        shown.drawn().page.locator(".ends button").first.click()
        shown.page.get_by_role("button", name="Pin", exact=True).click()
        shown.page.wait_for_selector(".boxes")
    session = shown.context.new_cdp_session(shown.page)
    session.send("Runtime.evaluate", {"expression": AXE.read_text()})
    asked = {"expression": ASK, "awaitPromise": True, "returnByValue": True}
    found = json.loads(session.send("Runtime.evaluate", asked)["result"]["value"])
    assert [fault for fault in found if fault[0] in ("serious", "critical")] == []
