"""The bits of a cell do not depend on which other cells are computed with it: every phase with cells.

The phases come from the pipeline, and so does what they read. A new phase with cells is tried without a line
being added here, unless it is about something new: then `STORES` must name a fixture with such a store.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from devices import DEVICES
from minimal_pairs import rows
from workspace import Workspace, run

from circuitstore.engine.inputs import Upstream
from circuitstore.engine.task import Task
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.content import content_hash
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Coords
from circuitstore.storage.refs import Name, named
from tasks import PIPELINE

WITH_CELLS = [task for task in PIPELINE.every if task.per]
STORES = {"": "six_prompts", "corpus": "corpus"}  # what a phase is about → the fixture of a store
QUICK = (
    "attribution.max_feature_nodes=60",
    "interventions.features=2",
    "interventions.sizes=[1,10]",
    "interventions.swap_sizes=[20]",
    "interventions.circuit_sizes=[10]",
    "interventions.strengths=[1]",
    "interventions.controls=2",
    "interventions.effect_sources=3",
    "interventions.effect_pairs=20",
    "corpus.context=16",
    "corpus.shard=200",
    "training.features=32",
    "training.steps=20",
    "training.batch=64",
    "training.l0_start=8.0",
    "training.l0=4.0",
)


@pytest.fixture(scope="module")
def six_prompts(tmp_path_factory) -> Workspace:
    """A workspace with a train pair of either template and a test pair."""
    made = Workspace.create(Path(tmp_path_factory.mktemp("six")))
    lines = [json.dumps(row) + "\n" for row in rows() if row["id"][:-1] in ("p0", "p2", "p6")]
    made.prompts.write_text("".join(lines))
    return made


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Workspace:
    """A workspace with texts to train on: those of the minimal pairs."""
    made = Workspace.create(Path(tmp_path_factory.mktemp("corpus")))
    texts = made.root / "texts.txt"
    texts.write_text("".join(f"{row['text']}{row['correct']} {row['text']}\n" for row in rows()))
    with made.profile.open("a") as profile:
        profile.write(f'[texts]\npath = "{texts}"\n')
    return made


@dataclass(frozen=True)
class Trial:
    """A phase with all that it is given, and some of its cells."""

    task: Task
    config: Any
    cells: list[Coords]
    inputs: Mapping[str, Any]

    def contents(self, cells: Iterable[Coords]) -> dict[tuple, str]:
        """Content hash of each of these cells, computed together in this order."""
        function = getattr(import_module(self.task.module(PIPELINE.package)), self.task.name)
        results: Iterator[tuple[Coords, xr.Dataset]] = function(list(cells), self.config, **self.inputs)
        return {tuple(sorted(coords.items())): content_hash(data) for coords, data in results}


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    """Where the model computes."""
    return str(request.param)


@pytest.fixture(params=WITH_CELLS, ids=lambda task: task.name)
def trial(request, device) -> Trial:
    """Each phase with cells. What it reads is built before."""
    task: Task = request.param
    assert task.about in STORES, f"name a fixture with a store about {task.about!r} in STORES"
    work: Workspace = request.getfixturevalue(STORES[task.about])
    about_corpus = task.about == "corpus"
    prompts = None if about_corpus else str(work.prompts)
    settings = (*QUICK, f"model.device={device}")
    (selection,) = PIPELINE.serves.settings.select(str(work.profile), (), prompts, settings, (task.name,))
    upstream = {name: built(work, name, selection, prompts) for name in PIPELINE.upstream(task)}
    store = Store(work.store)
    resources = PIPELINE.resources(selection, store)
    config = task.settings(selection)
    axes = [some(coordinates(task, axis, upstream, config, resources)) for axis in task.per]
    cells = [dict(zip(task.per, values, strict=True)) for values in itertools.product(*axes)]
    inputs = {name: resources[name].load() for name in PIPELINE.resources_of(task)}
    for name, artifact in upstream.items():
        reads = [(cell, [other for other in artifact.cells if agree(cell, other.coords)]) for cell in cells]
        inputs[name] = Upstream(store, name, reads)
    return Trial(task, config, cells, inputs)


def built(work: Workspace, phase: str, selection: Any, prompts: str | None) -> Artifact:
    """The output of a phase under these settings, built if it is not there."""
    words = ["--prompts", prompts] if prompts else []
    words += [word for setting in QUICK for word in ("--set", setting)]
    outcome = run("build", phase, "--store", work.store, "--profile", work.profile, *words)
    assert outcome.code == 0, outcome.err
    return named(Store(work.store), Name(selection.profile_name, selection.behaviour, phase))


def coordinates(
    task: Task, axis: str, upstream: Mapping[str, Artifact], config: Any, resources: Mapping[str, Any]
) -> list[str | int]:
    """The coordinates of a cell axis, as the engine finds them."""
    for artifact in upstream.values():
        if values := [cell.coords[axis] for cell in artifact.cells if axis in cell.coords]:
            return list(dict.fromkeys(values))
    return list(task.coordinates(axis, config, resources))


def some(values: list[str | int]) -> list[str | int]:
    """The first, the middle and the last: prompts of two templates, and of two lengths."""
    return list(dict.fromkeys([values[0], values[len(values) // 2], values[-1]]))


def agree(cell: Coords, other: Coords) -> bool:
    """Whether two cells have the same coordinates on all axes that both have."""
    return all(other[axis] == cell[axis] for axis in cell.keys() & other.keys())


def dependent(trial: Trial) -> list[tuple]:
    """The cells whose content is not the same alone, in reversed company and in halves."""
    cells = trial.cells
    together = trial.contents(cells)
    half = len(cells) // 2
    companies = [*([cell] for cell in cells), cells[::-1], cells[:half], cells[half:]]
    results = [trial.contents(company) for company in companies]
    return sorted({cell for result in results for cell in result if result[cell] != together[cell]})


def test_a_cell_does_not_depend_on_its_batch(trial):
    """To the bit, whatever is computed with it."""
    assert len(trial.cells) > 2
    assert dependent(trial) == []


def test_dependence_is_noticed(monkeypatch):
    """A phase whose numbers depend on the order of its cells."""

    def baseline(cells, config):
        for i, cell in enumerate(cells):
            yield cell, xr.Dataset({"rank": ((), np.int32(i))})

    task = PIPELINE.task("baseline")
    monkeypatch.setattr(import_module("tasks.baseline"), "baseline", baseline)
    trial = Trial(task, None, [{"prompt": name} for name in "abc"], {})
    assert dependent(trial) == [(("prompt", name),) for name in "abc"]
