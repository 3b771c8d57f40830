"""Settings that only say how much may be used are in no key, and no result depends on them."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from workspace import one_line_error

from circuitstore.circuits import batching


@pytest.mark.parametrize("memory", ["1GB", "4000MB", "64GB"])
def test_another_bound_of_memory_computes_nothing(workspace, memory):
    """What is in the store is found, whatever the builder allows a graph to take."""
    outcome = workspace.build("--set", f"attribution.memory={memory}")
    assert outcome.code == 0, outcome.err
    assert outcome.computed == {}


@pytest.mark.parametrize("memory", ["1GB", "64GB"])
def test_another_bound_of_memory_gives_the_same_bytes(workspace, monkeypatch, memory):
    """Graphs that are computed anew have the content that they had under the default bound.

    Few bytes are in flight, so that rows go in batches: their number may not follow from the bound.
    """
    monkeypatch.setattr(batching, "CPU", replace(batching.CPU, flight_bytes=200_000))
    contents = []
    for bound in ("4GB", memory):
        shutil.rmtree(workspace.store)
        outcome = workspace.build("--set", f"attribution.memory={bound}")
        assert outcome.code == 0, outcome.err
        contents.append(workspace.contents())
    assert contents[0] == contents[1]


def test_a_bound_that_is_too_small_is_refused_with_what_a_graph_takes(workspace):
    """Nothing of the cell is stored, and a build with a larger bound computes it."""
    shutil.rmtree(workspace.store)
    outcome = workspace.build("--set", "attribution.memory=0.01MB")
    error = one_line_error(outcome, code=1)
    assert "at most 1e-05 GB (attribution.memory)" in error and "GB; ask for fewer nodes" in error
    assert workspace.build("--set", "attribution.memory=1GB").computed == {"attribution": 3}
