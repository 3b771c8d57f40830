"""Two machines computed one key, with other last bits: what a store keeps, and what its user sees."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from resealed import a_lie, last_bits, plant
from workspace import TEXTS, Workspace, run, run_process, small_batches

from circuitstore.storage.artifact import Artifact, Cell, content_of
from circuitstore.storage.lease import Lease
from tasks import activations as activations_phase
from tasks import baseline as baseline_phase

BITS = {"host": "elsewhere"}


@pytest.fixture
def other(workspace: Workspace, tmp_path: Path) -> Workspace:
    """The same results as another machine gives them; so far only `activations` were computed there."""
    made = workspace.copy(tmp_path / "other")
    plant(made, "activations", last_bits, **BITS)
    for phase in ("features", "attribution"):
        shutil.rmtree(made.store / "actions" / phase)
    return made


def put_into(workspace: Workspace, other: Workspace) -> None:
    """Copy what is missing from another store, and replace nothing, as `rsync --ignore-existing` does."""
    for path in sorted(other.store.rglob("*")):
        target = workspace.store / path.relative_to(other.store)
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


def test_what_stands_stays(workspace, other):
    """Results of another machine, copied beside one's own, change nothing: all hits, and the same bits."""
    before = workspace.contents()
    assert before["activations"] != other.contents(("activations",))["activations"]
    put_into(workspace, other)
    assert workspace.build().computed == {}
    assert workspace.contents() == before


@pytest.mark.parametrize("older", [False, True], ids=["younger", "older"])
def test_what_stands_stays_when_more_is_asked_for(workspace, other, older, monkeypatch):
    """One more prompt computes that prompt alone, whichever machine was first."""
    if older:
        monkeypatch.setattr("time.time_ns", lambda: 1)
        plant(other, "activations", lambda content: content, **BITS)
        monkeypatch.undo()
    put_into(workspace, other)
    kept = {cell.coords["prompt"]: cell.content for cell in workspace.artifact("activations").cells}
    workspace.write_prompts({**TEXTS, "d": "the dog is w17"})
    outcome = workspace.build()
    assert outcome.computed == {
        "prompts": 1,
        "baseline": 1,
        "activations": 4,
        "features": 4,
        "attribution": 1,
    }
    now = {cell.coords["prompt"]: cell.content for cell in workspace.artifact("activations").cells}
    assert {prompt: now[prompt] for prompt in kept} == kept


def test_the_oldest_counts_where_nothing_stands(workspace, other, monkeypatch):
    """A name that was never built takes the content that was published first, as every store would."""
    put_into(workspace, other)
    first = workspace.contents()
    shutil.rmtree(workspace.store / "refs")
    shutil.rmtree(workspace.store / "artifacts")
    assert workspace.build().computed == {"prompts": 1}
    assert workspace.contents() == first


def test_verify_names_two_contents_that_agree(workspace, other):
    """How many, how far apart, and what differs between the machines. Nothing is wrong."""
    put_into(workspace, other)
    outcome = workspace.verify()
    assert outcome.code == 0
    (two,) = outcome.json["two_contents"]
    assert (two["phase"], two["cells"], two["compared"], two["beyond"]) == ("activations", 12, 12, [])
    assert 1e-7 < two["share"] < 1e-5 and "→ elsewhere" in two["environments"]
    told = run("verify", "--store", workspace.store).out
    assert told.startswith(
        "two contents: activations of mine: 12 cells have two contents under one key; they agree"
    )
    assert "host " in told and "→ elsewhere" in told


def test_two_contents_that_do_not_agree_are_a_fault(workspace, tmp_path):
    """The key misses something, or one of the stores lies: verify names the cell and fails."""
    liar = workspace.copy(tmp_path / "liar")
    plant(liar, "attribution", a_lie, only=2, **BITS)
    put_into(workspace, liar)
    outcome = workspace.verify()
    assert outcome.code == 1 and outcome.json["damaged"] == []
    (two,) = outcome.json["two_contents"]
    assert [coords for coords, _ in two["beyond"]] == [{"prompt": "c"}]
    told = run("verify", "--store", workspace.store)
    assert told.code == 1 and "differs: attribution of mine" in told.out and "prompt c" in told.out
    assert run("verify", "--store", workspace.store, "--tolerance", 0.5).code == 0


def test_other_last_bits_of_a_lost_cell_go_on_downwards(workspace, monkeypatch):
    """Early cut-off compares bits. A lost cell that comes back with other ones recomputes what reads it, and
    no other cell; the build says so.
    """
    original = activations_phase.activations
    small_batches(monkeypatch)
    shutil.rmtree(workspace.store)
    assert workspace.build().code == 0

    def other_bits(cells, *inputs, **named):
        for coords, content in original(cells, *inputs, **named):
            yield coords, last_bits(content)

    cells = workspace.artifact("activations").cells
    lost = {cell.object for cell in cells if cell.coords["prompt"] == "c"}
    assert lost.isdisjoint({cell.object for cell in cells if cell.coords["prompt"] != "c"})
    for name in lost:
        shutil.rmtree(workspace.store / "objects" / name[:2] / name)
    monkeypatch.setattr(activations_phase, "activations", other_bits)
    outcome = workspace.build()
    assert outcome.code == 0, outcome.err
    assert outcome.computed == {"activations": 4, "features": 4, "attribution": 1}
    assert "4 cells have two contents under one key" in outcome.err and "is computed again" in outcome.err


def test_the_first_of_two_builds_at_once_is_kept(workspace, monkeypatch):
    """A build that finds its key published meanwhile keeps what is there, and says how far its own is off.

    The other build does not see the claims of this one, as over a network file system that lies.
    """
    shutil.rmtree(workspace.store)
    assert workspace.build(phase="prompts").code == 0
    monkeypatch.setattr(Lease, "_write", lambda *_: None)  # else the other build would wait for this one
    original = baseline_phase.baseline

    def overtaken(cells, *inputs, **named):
        monkeypatch.setattr(baseline_phase, "baseline", original)
        other = run_process("build", "baseline", *workspace.selection, "--json")
        assert other.computed == {"baseline": 3}, other.err
        for coords, content in original(cells, *inputs, **named):
            yield coords, last_bits(content)

    monkeypatch.setattr(baseline_phase, "baseline", overtaken)
    outcome = workspace.build(phase="baseline")
    assert outcome.code == 0, outcome.err
    assert "3 cells have two contents under one key; they agree" in outcome.err
    assert "another build published the first one; it is kept" in outcome.err
    artifact: Artifact = workspace.artifact("baseline")
    cells: list[Cell] = artifact.cells
    assert artifact.content == content_of(cells)
    assert run("verify", "--rebuild", 50, *workspace.selection, "--json").json["rebuilt"]["close"] == 0
