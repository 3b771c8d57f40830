"""What intervenes does not import what attributes, so an edit recomputes no more than it can change."""

from __future__ import annotations

import pytest

from circuitstore.engine.fingerprint import Code
from circuitstore.memo import Memo

ATTRIBUTION = {
    f"circuitstore.circuits.{name}"
    for name in (
        "edges",
        "effects",
        "flight",
        "pruning",
        "frozen_network",
        "margin",
        "graph",
        "gradient_graph",
    )
}


@pytest.mark.parametrize("name", ["gradients", "intervene", "feature_effects"])
def test_interventions_do_not_import_attribution(tmp_path, name):
    """Nor does anything that they import, at any depth."""
    modules = Code("tasks", Memo(str(tmp_path / "memo.json"))).closure(f"circuitstore.circuits.{name}")
    assert f"circuitstore.circuits.{name}" in modules and not ATTRIBUTION & modules.keys()


def test_every_module_of_attribution_exists(tmp_path):
    """The names above are those of modules that attribution imports."""
    modules = Code("tasks", Memo(str(tmp_path / "memo.json"))).closure("circuitstore.circuits.graph")
    assert modules.keys() >= ATTRIBUTION
