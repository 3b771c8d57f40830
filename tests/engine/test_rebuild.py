"""`verify --rebuild`: cells are computed again, so that a wrong number under an honest hash is found."""

from __future__ import annotations

import shutil

import pytest
from resealed import a_lie, last_bits, numbers, plant
from workspace import PHASES, Workspace, files, one_line_error, run

from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader
from tasks import baseline as baseline_phase

EVERY = 1000  # more cells than there are


def rebuild(workspace: Workspace, *extra: object):
    """`verify --rebuild` of all cells."""
    return run("verify", "--rebuild", EVERY, *workspace.selection, "--json", *extra)


def test_what_is_stored_is_what_is_computed(workspace):
    """Every cell of every phase, to the bit; the store is not changed."""
    before = files(workspace.store)
    outcome = rebuild(workspace)
    assert outcome.code == 0, outcome.err
    found = outcome.json["rebuilt"]
    every = sum(len(workspace.artifact(phase).cells) for phase in PHASES)
    assert found["cells"] == found["drawn"] == found["equal"] == every
    assert (found["close"], found["differing"], found["skipped"]) == (0, [], [])
    assert files(workspace.store) == before


def test_so_many_cells_are_drawn(workspace):
    """Not more than were asked for."""
    found = run("verify", "--rebuild", 5, *workspace.selection, "--json").json["rebuilt"]
    assert found["drawn"] == found["equal"] == 5 < found["cells"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_lie_is_found(workspace, phase):
    """One number of one cell, changed and sealed again with honest hashes. Hashes alone do not tell."""
    plant(workspace, phase, a_lie, only=1, host="elsewhere")
    honest = workspace.verify("--deep")
    assert honest.code == 0 and honest.json["damaged"] == honest.json["two_contents"] == []
    outcome = rebuild(workspace)
    assert outcome.code == 1
    (wrong,) = outcome.json["rebuilt"]["differing"]
    assert (wrong["phase"], wrong["coords"]) == (phase, workspace.artifact(phase).cells[1].coords)
    (difference,) = wrong["differences"]
    assert not difference["within"] and "1 of" in difference["problem"]
    assert phase == "prompts" or 0.005 < difference["share"] < 0.02
    assert wrong["made"]["host"] == "elsewhere" and "host elsewhere → " in wrong["here"]


@pytest.mark.parametrize("phase", PHASES[1:])
def test_other_last_bits_are_no_lie(workspace, phase):
    """As another machine gives them, in every number of every cell; with no tolerance they are found."""
    plant(workspace, phase, last_bits)
    cells = len(workspace.artifact(phase).cells)
    outcome = rebuild(workspace)
    assert outcome.code == 0, outcome.out
    found = outcome.json["rebuilt"]
    assert found["close"] == cells and found["differing"] == [] and 1e-7 < found["share"] < 1e-5
    strict = rebuild(workspace, "--tolerance", 0)
    assert strict.code == 1 and len(strict.json["rebuilt"]["differing"]) == cells


def test_people_are_told_what_differs_by_how_much_and_where_it_was_made(workspace):
    """One line a cell, one a variable, one for the environments."""
    plant(workspace, "baseline", a_lie, only=0, host="elsewhere")
    outcome = run("verify", "--rebuild", EVERY, *workspace.selection)
    assert outcome.code == 1
    first, second, third, *skipped = outcome.out.splitlines()
    assert first == "differs: baseline of mine, prompt a"
    assert "1 of" in second and "values differ, by at most 9.9e-03 of the largest" in second
    assert third.strip().startswith("made on elsewhere, ") and "host elsewhere → " in third
    assert skipped == []
    assert "1 differ" in outcome.err


def test_a_cell_that_cannot_be_computed_again_is_named(workspace, monkeypatch):
    """With the reason; the others are compared all the same."""
    captured = baseline_phase.capture
    calls = []

    def capture(model, tokens, **how):
        calls.append(tokens)
        if len(calls) == 1:
            raise ValueError("a strange prompt")
        return captured(model, tokens, **how)

    monkeypatch.setattr(baseline_phase, "capture", capture)
    outcome = rebuild(workspace)
    assert outcome.code == 1
    (wrong,) = outcome.json["rebuilt"]["differing"]
    assert wrong["phase"] == "baseline" and "a strange prompt" in wrong["problem"]


def test_what_other_settings_made_is_not_taken_for_a_lie(workspace):
    """It cannot be computed again, and the report says why; when that is all there is, so does the error."""
    outcome = rebuild(workspace, "--set", "attribution.max_logits=3")
    assert outcome.code == 0, outcome.out
    (skipped,) = outcome.json["rebuilt"]["skipped"]
    assert skipped["phase"] == "attribution" and "max_logits 10 → 3" in skipped["why"][0]
    error = one_line_error(rebuild(workspace, "--set", "prompts.prepend=none"), code=1)
    assert "prepend" in error and "--set" in error


def test_a_damaged_cell_is_not_drawn(workspace):
    """It is damage, and named as such."""

    (name,) = workspace.artifact("attribution").objects
    shutil.rmtree(Store(workspace.store).object(name))
    outcome = rebuild(workspace)
    assert outcome.code == 1 and len(outcome.json["damaged"]) == 1
    assert outcome.json["rebuilt"]["differing"] == []
    assert [each["phase"] for each in outcome.json["rebuilt"]["skipped"]] == ["attribution"]


def test_every_phase_has_numbers_to_lie_about(workspace):
    """The lies above are told of numbers, but for `prompts`, which has none."""

    for phase in PHASES[1:]:
        cell = workspace.artifact(phase).cells[0]
        assert numbers(ObjectReader(Store(workspace.store), cell.object).cell(cell.row))
