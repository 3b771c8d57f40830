"""The rows of `status --all`: names, settings, times and numbers of results that are seldom alike."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from workspace import BEHAVIOUR, PIPELINE, PROFILE, Workspace, run

from bench.plain_phases import Items, build_plain
from circuitstore.command.experiments import WIDTH
from circuitstore.results.experiments import Experiment, experiments
from circuitstore.storage.actions import journals, write_journal
from circuitstore.storage.layout import Store

PHASE = "baseline"


def listed(store: Path, *words: object) -> list[dict]:
    outcome = run("status", "--all", "--json", *words, "--store", store)
    assert outcome.code == 0, outcome.err
    rows: list[dict] = outcome.json["experiments"]
    return rows


def test_a_result_that_two_behaviours_share_is_found_by_both(workspace: Workspace):
    """It is there once, under the name that it was first built for, with both names."""
    workspace.prompts = Path(workspace.prompts).rename(workspace.root / "second.jsonl")
    assert workspace.build(phase=PHASE).code == 0
    rows = [row for row in listed(workspace.store, "-b", "second") if row["phase"] == PHASE]
    assert [(row["behaviour"], row["names"]) for row in rows] == [
        (BEHAVIOUR, [f"{PROFILE}/{BEHAVIOUR}/{PHASE}", f"{PROFILE}/second/{PHASE}"])
    ]


def test_a_time_is_that_of_computing(workspace: Workspace):
    """A later journal of the same cells, as `adopt` writes one, does not make a result younger."""
    store = Store(workspace.store)
    before = {row["key"]: row["time_ns"] for row in listed(workspace.store)}
    for each in journals(store, PHASE):
        write_journal(store, PHASE, each.behaviour, each.object, each.cells, each.components, {"adopted": {}})
    assert {row["key"]: row["time_ns"] for row in listed(workspace.store)} == before


def test_results_of_a_pipeline_with_other_phases_are_listed(tmp_path):
    """Without settings, for their defaults are not known."""
    build_plain(tmp_path / "source", tmp_path / "store", Items(4), 2)
    assert {(row["phase"], *row["settings"]) for row in listed(tmp_path / "store")} == {
        ("first",),
        ("second",),
    }


@pytest.mark.parametrize("phase", ["interventions", "figures", "attribution"])
def test_defaults_are_no_settings(workspace: Workspace, monkeypatch, phase):
    """Also lists, and those that are made anew each time. A setting that is no field any more is told."""
    task = PIPELINE.task(phase)
    default = msgspec.json.decode(msgspec.json.encode(task.config()))  # as a record has it
    artifact = workspace.artifact("prompts")
    components = msgspec.structs.replace(artifact.components, config={**default, "new": 1})
    made = msgspec.structs.replace(artifact, phase=phase, components=components, upstream={})
    monkeypatch.setattr("circuitstore.results.experiments.read_artifact", lambda store, key: made)
    found = experiments(Store(workspace.store))
    assert found and all(each.settings == {f"{task.table or phase}.new": 1} for each in found)


@pytest.mark.parametrize(
    ("summary", "headline"),
    [({"prompts": 3, "share": 0.5, "other": 0.1}, {"share": 0.5}), ({"n": 3, "m": 4}, {"n": 3}), ({}, {})],
)
def test_the_headline_is_a_share_before_a_count(workspace: Workspace, monkeypatch, summary, headline):
    """The first of them."""
    made = msgspec.structs.replace(workspace.artifact(PHASE), summary=summary)
    monkeypatch.setattr("circuitstore.results.experiments.read_artifact", lambda store, key: made)
    assert {tuple(each.headline.items()) for each in experiments(Store(workspace.store))} == {
        tuple(headline.items())
    }


def test_a_line_tells_the_newest_and_ends(workspace: Workspace, monkeypatch):
    """A result's own name is "newest"; another one is written out. Long settings are cut."""
    names = [f"{PROFILE}/{BEHAVIOUR}/{PHASE}", f"{PROFILE}/second/{PHASE}"]
    long = {f"baseline.setting_{number}": number for number in range(20)}
    row = Experiment(PROFILE, BEHAVIOUR, PHASE, "k" * 64, "c" * 64, 3, long, 0, names, ["paper"], {}, {})
    monkeypatch.setattr("circuitstore.results.experiments.experiments", lambda *asked: [row])
    (line,) = run("status", "--all", "--store", workspace.store).out.splitlines()[1:]
    assert f"newest, {PROFILE}/second/{PHASE}, tag paper" in line
    assert line.endswith("…") and "setting_0=0" in line and "setting_19" not in line
    assert len(line) < WIDTH + 120
