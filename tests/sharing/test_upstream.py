"""A store with an upstream has what the upstream has, and the upstream is never written to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from places import address, empty, push, sound
from workspace import BEHAVIOUR, PHASES, PROFILE, TEXTS, Workspace, files, one_line_error, run

import circuitstore as cs
from circuitstore.storage.layout import Store
from circuitstore.storage.pins import Pin, pins, write_pin


@pytest.fixture
def mine(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with the same prompts and no store yet."""
    return empty(workspace, tmp_path / "mine")


@pytest.fixture(params=["folder", "memory"])
def upstream(request, workspace: Workspace, tmp_path: Path) -> str:
    """A store that somebody else built, at a place of each kind."""
    url = address(request.param, tmp_path)
    assert push(workspace, url).code == 0
    return url


def test_a_build_computes_nothing_that_upstream_has(workspace, mine, upstream):
    """Everything comes from there, and is here afterwards."""
    assert mine.build("--upstream", upstream).computed == {}
    assert sound(mine) == workspace.contents()
    assert mine.build().computed == {}


def test_cells_come_one_by_one(workspace, mine, upstream):
    """With one prompt edited, the others' cells are found by their keys, in artifacts of another key."""
    mine.write_prompts({**TEXTS, "c": "the dogs"})
    computed = mine.build("--upstream", upstream).computed
    assert computed["baseline"] == computed["attribution"] == 1
    assert computed["features"] == workspace.artifact("features").count // len(TEXTS)
    sound(mine)


def test_upstream_is_never_written(workspace, mine):
    """Not even a time changes, while a build takes from it and computes more."""
    before = files(workspace.store)
    mine.write_prompts({**TEXTS, "d": "the dog is w17"})
    assert mine.build("--upstream", workspace.store, phase="features").code == 0
    assert files(workspace.store) == before


def test_the_first_that_has_it_is_taken(workspace, mine, tmp_path):
    """Several upstreams are asked in order; one that has nothing is passed over."""
    bare = Store(tmp_path / "bare").create()
    before = files(tmp_path / "bare")
    outcome = mine.build("--upstream", bare.root, "--upstream", workspace.store)
    assert outcome.computed == {}, outcome.err
    assert files(tmp_path / "bare") == before


def test_where_nothing_is_missing_no_upstream_is_asked(workspace, tmp_path, monkeypatch):
    """So a warm build works without the network."""
    monkeypatch.setenv("CIRCUITSTORE_UPSTREAM", f"{tmp_path / 'gone'} memory://gone")
    assert workspace.build().computed == {}
    workspace.write_prompts({**TEXTS, "c": "the dogs"})
    assert f"{tmp_path / 'gone'}" in one_line_error(workspace.build(), code=1)


def test_damage_upstream_is_told_and_computed_again(workspace, mine):
    """What can be taken is taken; a damaged object costs the cells that it held."""
    (name,) = workspace.artifact("features").objects
    shard = next(path for path in Path(Store(workspace.store).object(name)).rglob("c/*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    outcome = mine.build("--upstream", workspace.store)
    assert set(outcome.computed) == {"features"}
    assert "cannot be taken" in outcome.err and str(workspace.store) in outcome.err
    assert sound(mine) == workspace.contents()


def test_pins_of_upstream_count(workspace, mine):
    """What a revision was taken for there, it is taken for here, for the keys hang on it."""
    pin = Pin("model", "a/b", "main", "", "1" * 40, {})
    write_pin(Store(workspace.store), pin)
    mine.build("--upstream", workspace.store)
    assert pins(Store(mine.store)) == [pin]


def test_open_looks_upstream(workspace, mine, upstream, monkeypatch):
    """By argument and by the variable; what was opened is here, and the rest is not."""
    found = cs.open("features", behaviour=BEHAVIOUR, profile=PROFILE, store=mine.store, upstream=upstream)
    assert found.attrs["content"] == workspace.artifact("features").content
    assert cs.refs(store=mine.store, profile=PROFILE) == [(BEHAVIOUR, "features")]
    monkeypatch.setenv("CIRCUITSTORE_UPSTREAM", upstream)
    shown = run("show", "baseline", "-b", BEHAVIOUR, "--profile", PROFILE, "--store", mine.store)
    assert shown.code == 0, shown.err
    shutil.rmtree(mine.store)
    exported = run(
        "export", "graphs", mine.root / "out", "-b", BEHAVIOUR, "--profile", PROFILE, "--store", mine.store
    )
    assert exported.code == 0, exported.err


def test_what_nobody_has_is_missing(mine, upstream, monkeypatch):
    """The error is that of a store without an upstream."""
    monkeypatch.chdir(mine.root)
    words = ("--profile", mine.profile, "--store", mine.store, "--upstream", upstream)
    outcome = run("show", "circuit", "-b", BEHAVIOUR, *words)
    assert "to be built" in one_line_error(outcome, code=1)


def test_a_dry_run_writes_nothing(mine, upstream):
    """It looks at this store alone, and says so in its help."""
    outcome = mine.build("--dry-run", "--upstream", upstream)
    assert outcome.code == 0 and not mine.store.exists()
    assert {row["state"] for phase, row in outcome.phases.items() if phase in PHASES} == {"missing"}
