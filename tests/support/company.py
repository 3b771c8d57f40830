"""Cells of every phase, computed alone, in halves and in reverse order, and beside what a store has of them.

Run as a program it prints, for a setting of the process, which cells depend on their company and which do not
agree with the store: `python company.py THREADS ABOUT=FOLDER…`, where each folder has a workspace.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import xarray as xr
from minimal_pairs import rows
from workspace import Workspace, run

from circuitstore.engine.agreement import compare
from circuitstore.engine.inputs import Upstream
from circuitstore.engine.task import Task
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.content import content_hash
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.records import Coords
from circuitstore.storage.refs import Name, named
from tasks import PIPELINE

WITH_CELLS = [task for task in PIPELINE.every if task.per]
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


def six_prompts(folder: Path) -> Workspace:
    """A workspace with a train pair of either template and a test pair."""
    made = Workspace.create(folder)
    lines = [json.dumps(row) + "\n" for row in rows() if row["id"][:-1] in ("p0", "p2", "p6")]
    made.prompts.write_text("".join(lines))
    return made


def corpus(folder: Path) -> Workspace:
    """A workspace with texts to train on: those of the minimal pairs."""
    made = Workspace.create(folder)
    texts = made.root / "texts.txt"
    texts.write_text("".join(f"{row['text']}{row['correct']} {row['text']}\n" for row in rows()))
    with made.profile.open("a") as profile:
        profile.write(f'[texts]\npath = "{texts}"\n')
    return made


STORES = {"": six_prompts, "corpus": corpus}  # what a phase is about → a workspace for it


@dataclass(frozen=True)
class Trial:
    """A phase with all that it is given, and some of its cells."""

    task: Task
    config: Any
    cells: list[Coords]
    inputs: Mapping[str, Any]

    def results(self, cells: Iterable[Coords]) -> Iterator[tuple[Coords, xr.Dataset]]:
        """These cells, computed together in this order."""
        function = getattr(import_module(self.task.module(PIPELINE.package)), self.task.name)
        results: Iterator[tuple[Coords, xr.Dataset]] = function(list(cells), self.config, **self.inputs)
        return results

    def contents(self, cells: Iterable[Coords]) -> dict[tuple, str]:
        """Content hash of each of these cells, computed together in this order."""
        return {_at(coords): content_hash(data) for coords, data in self.results(cells)}


def trial_of(task: Task, work: Workspace, *settings: str) -> Trial:
    """A phase with cells and what it reads, which is built before."""
    selection = selected(task, work, *settings)
    upstream = {name: built(work, name, selection) for name in PIPELINE.upstream(task)}
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


def selected(task: Task, work: Workspace, *settings: str) -> Any:
    """What a build of a phase in a workspace is about."""
    prompts = None if task.about else str(work.prompts)
    select = PIPELINE.serves.settings.select
    (selection,) = select(str(work.profile), (), prompts, (*QUICK, *settings), (task.name,))
    return selection


def built(work: Workspace, phase: str, selection: Any) -> Artifact:
    """The output of a phase under these settings, built if it is not there."""
    words = ["--prompts", work.prompts] if selection.prompts_file else []
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


def beyond(trial: Trial, work: Workspace) -> list[tuple[tuple, list[Any]]]:
    """The cells that do not agree with what the store has of them, each with what differs."""
    stored = built(work, trial.task.name, selected(trial.task, work))
    cells = {_at(cell.coords): cell for cell in stored.cells}
    wrong = []
    for coords, made in trial.results(trial.cells):
        cell = cells[_at(coords)]
        content = ObjectReader(Store(work.store), cell.object).cell(cell.row)
        found = compare(content, made, trial.task)
        if differing := [each for each in found if not each.within]:
            wrong.append((_at(coords), differing))
    return wrong


def _at(coords: Coords) -> tuple:
    return tuple(sorted(coords.items()))


def main(threads: str, *folders: str) -> None:
    """Try every phase with cells with so many threads, and print what was found of each."""
    works = dict(folder.split("=", 1) for folder in folders)
    report = {}
    for task in WITH_CELLS:
        work = Workspace(Path(works[task.about]))
        trial = trial_of(task, work, f"model.threads={threads}")
        report[task.name] = {
            "cells": len(trial.cells),
            "dependent": dependent(trial),
            "beyond": beyond(trial, work),
        }
    print(msgspec.json.encode(report).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
