"""The bits of a cell do not depend on which other cells are computed with it: every phase with cells.

The phases come from the pipeline, and so does what they read. A new phase with cells is tried without a line
being added here, unless it is about something new: then `STORES` must name a function that makes a workspace.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xarray as xr
from company import STORES, WITH_CELLS, Trial, built, dependent, selected, trial_of
from devices import DEVICES
from workspace import ROOT, Workspace

from tasks import PIPELINE

# How products of Intel's library are made, and with how many threads. Without the variable a build sets it.
PROCESSES = [("COMPATIBLE", 1), ("", 2)]  # each takes half a minute
PROCESSES += [pytest.param(products, 2, marks=pytest.mark.slow) for products in ("COMPATIBLE", "AVX2,STRICT")]


@pytest.fixture(scope="module")
def works(tmp_path_factory) -> dict[str, Workspace]:
    """What a phase is about → a workspace for it."""
    return {about: make(Path(tmp_path_factory.mktemp("company"))) for about, make in STORES.items()}


def test_every_kind_of_phase_has_a_workspace():
    """A phase that is about something new needs a line in STORES."""
    assert {task.about for task in WITH_CELLS} <= set(STORES)


@pytest.mark.parametrize("task", WITH_CELLS, ids=lambda task: task.name)
@pytest.mark.parametrize("device", DEVICES)
def test_a_cell_does_not_depend_on_its_batch(works, task, device):
    """To the bit, whatever is computed with it, on a CPU and on a GPU."""
    trial = trial_of(task, works[task.about], f"model.device={device}")
    assert len(trial.cells) > 2
    assert dependent(trial) == []


@pytest.mark.parametrize(("products", "threads"), PROCESSES)
def test_a_cell_does_not_depend_on_its_batch_however_matrices_are_multiplied(works, products, threads):
    """To the bit within one process; and it agrees with what this process gives, but for last bits."""
    for task in WITH_CELLS:
        built(works[task.about], task.name, selected(task, works[task.about]))
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    if products:
        environment["MKL_CBWR"] = products
    support = ROOT / "tests" / "support"
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, support)))
    folders = [f"{about}={work.root}" for about, work in works.items()]
    command = [sys.executable, str(support / "company.py"), str(threads), *folders]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(done.stdout)
    assert set(report) == {task.name for task in WITH_CELLS}
    assert all(found["cells"] > 2 for found in report.values())
    assert {phase: found["dependent"] for phase, found in report.items() if found["dependent"]} == {}
    assert {phase: found["beyond"] for phase, found in report.items() if found["beyond"]} == {}


def test_dependence_is_noticed(monkeypatch):
    """A phase whose numbers depend on the order of its cells."""

    def baseline(cells, config):
        for i, cell in enumerate(cells):
            yield cell, xr.Dataset({"rank": ((), np.int32(i))})

    task = PIPELINE.task("baseline")
    monkeypatch.setattr(import_module("tasks.baseline"), "baseline", baseline)
    trial = Trial(task, None, [{"prompt": name} for name in "abc"], {})
    assert dependent(trial) == [(("prompt", name),) for name in "abc"]
