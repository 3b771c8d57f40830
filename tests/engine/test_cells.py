"""Cells: each stands for itself, to the bit, whatever it is computed with; one that fails costs no other."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import xarray as xr
from workspace import BEHAVIOUR, LAYERS, PHASES, PROFILE, TEXTS, Workspace, one_line_error, small_batches

import circuitstore as cs
from circuitstore.engine import work
from tasks import activations as activations_phase
from tasks import baseline as baseline_phase
from tasks import pairs as pairs_phase


def cells(workspace: Workspace, phase: str) -> dict[tuple, str]:
    """Coordinates of each cell of a phase → content hash."""
    return {tuple(sorted(cell.coords.items())): cell.content for cell in workspace.artifact(phase).cells}


def load_prompts(workspace: Workspace) -> xr.Dataset:
    return cs.open("prompts", behaviour=BEHAVIOUR, store=workspace.store, profile=PROFILE).load()


def fail_on_b(patch: pytest.MonkeyPatch, phase, workspace: Workspace) -> None:
    """From now on a phase raises when it is given the tokens of prompt b."""
    captured = phase.capture
    marked = [int(token) for token in load_prompts(workspace).tokens.sel(prompt="b").values if token >= 0]

    def capture(model, tokens, **how):
        if list(tokens) == marked:
            raise ValueError("a strange prompt")
        return captured(model, tokens, **how)

    patch.setattr(phase, "capture", capture)


@pytest.mark.parametrize(
    "texts",
    [
        {"b": TEXTS["b"]},
        {**{f"x{i}": "the dog sat on the w1" for i in range(1, 4)}, **dict(reversed(TEXTS.items()))},
    ],
    ids=["alone", "among others in another order"],
)
def test_a_result_does_not_depend_on_what_it_is_computed_with(built_once, new_workspace, texts):
    """A prompt built alone, or in a batch of others, gives the same content in every phase, to the bit."""
    new_workspace.write_prompts(texts)
    assert new_workspace.build().code == 0
    for phase in PHASES:
        ours, theirs = cells(new_workspace, phase), cells(built_once, phase)
        shared = {coords for coords in theirs if dict(coords)["prompt"] in texts}
        assert shared and {coords: ours[coords] for coords in shared} == {
            coords: theirs[coords] for coords in shared
        }


def test_the_size_of_batches_changes_nothing(built_once, new_workspace, monkeypatch):
    """Two prompts an object or all in one: the same content."""
    small_batches(monkeypatch)
    assert new_workspace.build().code == 0
    assert new_workspace.contents() == built_once.contents()
    assert new_workspace.artifact("attribution").objects != built_once.artifact("attribution").objects


def test_worker_processes_change_nothing(built_once, new_workspace, monkeypatch):
    """--jobs 2 gives the same content as --jobs 1, and computes each cell once."""
    small_batches(monkeypatch)
    outcome = new_workspace.build("--jobs", 2)
    assert outcome.code == 0, outcome.err
    assert outcome.computed == {
        "prompts": 1,
        "baseline": 3,
        "activations": 12,
        "features": 12,
        "attribution": 3,
    }
    assert new_workspace.contents() == built_once.contents()


def test_a_failing_cell_loses_no_other(new_workspace, monkeypatch):
    """The error names phase, behaviour, prompt and cause; the others are kept; the next build computes only
    what failed.
    """
    assert new_workspace.build(phase="baseline").code == 0
    with monkeypatch.context() as patch:
        fail_on_b(patch, activations_phase, new_workspace)
        outcome = new_workspace.build()
    error = one_line_error(outcome, code=1)
    assert all(
        word in error
        for word in (
            "activations",
            BEHAVIOUR,
            "prompt b",
            "layer 0",
            "ValueError: a strange prompt",
            "test_cells.py",
        )
    )
    assert f"{LAYERS} of {3 * LAYERS} cells failed" in error
    assert outcome.phases["activations"] | {"seconds": 0, "artifact": ""} == {
        "phase": "activations",
        "behaviour": BEHAVIOUR,
        "cells": 12,
        "hits": 0,
        "computed": 8,
        "failed": 4,
        "seconds": 0,
        "artifact": "",
    }
    assert "features" not in outcome.phases
    repaired = new_workspace.build()
    assert repaired.computed == {"activations": LAYERS, "features": 3 * LAYERS, "attribution": 3}


def test_keep_going_builds_all_that_does_not_need_what_failed(built_once, new_workspace, monkeypatch):
    """After a failed `baseline`, activations and features are built, attribution is not, and the exit code
    says that something failed.
    """
    assert new_workspace.build(phase="prompts").code == 0
    with monkeypatch.context() as patch:
        fail_on_b(patch, baseline_phase, new_workspace)
        outcome = new_workspace.build("--keep-going")
    assert "baseline" in one_line_error(outcome, code=1)
    assert {"activations", "features"} <= set(outcome.phases) and "attribution" not in outcome.phases
    assert new_workspace.contents(("activations", "features")) == built_once.contents(
        ("activations", "features")
    )
    assert new_workspace.build().computed == {"baseline": 1, "attribution": 3}


def test_a_prompt_too_long_for_the_model_fails_alone(new_workspace):
    """It is named, with what the model can take; the other prompts are kept."""
    new_workspace.write_prompts({**TEXTS, "long": "cat " * 2050})
    error = one_line_error(new_workspace.build(), code=1)
    assert "prompt long" in error and "2048" in error and "1 of 4 cells failed" in error
    new_workspace.write_prompts(TEXTS)
    assert new_workspace.build(phase="baseline").computed == {"prompts": 1}


@pytest.mark.parametrize(
    "wrong", [lambda cells: list(reversed(cells)), lambda cells: cells[:-1], lambda cells: [*cells, *cells]]
)
def test_a_phase_that_yields_other_cells_than_it_was_given_is_refused(new_workspace, monkeypatch, wrong):
    """In another order, too few or too many: its results would be filed under the wrong keys."""
    original = baseline_phase.baseline
    monkeypatch.setattr(
        baseline_phase, "baseline", lambda cells, *inputs, **named: original(wrong(cells), *inputs, **named)
    )
    assert "phase baseline" in one_line_error(new_workspace.build(), code=1)
    monkeypatch.undo()
    assert new_workspace.build(phase="baseline").code == 0


def test_input_that_changes_while_a_build_runs_is_refused(new_workspace, monkeypatch):
    """Prompts edited after the build was planned are not filed under the key of those before; the next build
    computes them.
    """
    new_workspace.write_prompts({"q": "the dog is w17"})
    load = work.load_module

    def edit_and_load(*arguments):
        new_workspace.write_prompts({"q": "the dog is w18"})
        return load(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(work, "load_module", edit_and_load)
        assert "build again" in one_line_error(new_workspace.build(phase="prompts"), code=1)
    assert not new_workspace.store.exists()
    assert new_workspace.build(phase="prompts").code == 0
    assert str(load_prompts(new_workspace).text.sel(prompt="q").values) == "the dog is w18"


def test_other_result_for_the_same_key_is_reported(workspace, monkeypatch):
    """The first result counts while it is there. Once it is lost, another one takes its place, and the build
    says so in one line.
    """
    key = workspace.artifact("baseline").key
    captured = baseline_phase.capture

    def perturbed(model, tokens, **how):
        found = captured(model, tokens, **how)
        found.logits[-1] += 1
        return found

    monkeypatch.setattr(baseline_phase, "capture", perturbed)
    (name,) = workspace.artifact("baseline").objects
    shutil.rmtree(workspace.store / "objects" / name[:2] / name)
    outcome = workspace.build()
    assert outcome.code == 0, outcome.err
    assert outcome.computed == {"baseline": 3}
    assert outcome.err.count("warning: ") == 1
    assert "3 cells have two contents under one key; the first one is lost" in outcome.err
    assert "equal environments" in outcome.err and "this one is used" in outcome.err
    assert workspace.artifact("baseline").key == key
    assert workspace.verify().json["damaged"] == []
    assert np.isfinite(float(workspace.artifact("baseline").summary["mean_logit_difference"]))


def test_a_row_may_not_come_twice(new_workspace, monkeypatch):
    """The later one would silently take the place of the other."""
    original = pairs_phase.pairs

    def twice(*given, **named):
        first, *others = original(*given, **named)
        yield from (first, first, *others)

    monkeypatch.setattr(pairs_phase, "pairs", twice)
    error = one_line_error(new_workspace.build(phase="pairs"), code=1)
    assert "phase pairs" in error and "1 of 4 twice" in error
    monkeypatch.undo()
    assert new_workspace.build(phase="pairs").code == 0
