"""`gc` beside builds, and killed: a build loses nothing that it found, and the store verifies."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import pytest
from faults import DIE, changes
from plain_store import BATCH, COUNT, FIRST, NAME, OTHER, SECOND, Plain, assert_whole
from workspace import files

from bench.plain_phases import Selected, pipeline
from circuitstore.engine.planner import Planner
from circuitstore.engine.sharing import hold
from circuitstore.memo import Memo
from circuitstore.storage import trash
from circuitstore.storage.gc import collect
from circuitstore.storage.hold import hold as hold_path
from circuitstore.storage.layout import Store
from circuitstore.storage.lease import Lease
from circuitstore.storage.refs import named
from circuitstore.storage.verify import verify


def planner_of(plain: Plain) -> Planner:
    return Planner(pipeline(plain.root / "source", BATCH), plain.store, Memo(str(plain.root / "memo.json")))


def test_a_build_that_found_a_hit_does_not_lose_it(plain):
    """Old artifacts, and old cells of no artifact: what was planned is there after a collection of all."""
    planner = planner_of(plain)
    with Lease(plain.store):
        steps = planner.steps(Selected(FIRST), planner.pipeline.tasks)
        assert all(step.artifact for step in steps), "the artifacts of the first build, which have no name"
        assert hold(planner, steps)
        assert collect(plain.store, grace=0).files == 0
    plain.age()
    assert collect(plain.store, grace=0).files > 0


def test_cells_of_no_artifact_are_held(plain):
    """They are found by their keys, in journals."""
    shutil.rmtree(plain.store.path("artifacts"))
    shutil.rmtree(plain.store.path("refs"))
    planner = planner_of(plain)
    with Lease(plain.store):
        (first, _) = planner.steps(Selected(FIRST), planner.pipeline.tasks)
        assert first.artifact is None and first.todo == []
        assert hold(planner, [first])
        held = {cell.copy.object for cell in first.cells}
        report = collect(plain.store, grace=0)
        assert report.builds and report.files > 0 and plain.objects() == held
    assert plain.build(FIRST) == {"first": 0, "second": COUNT}


def test_a_build_that_comes_too_late_plans_again(plain):
    """What it found is gone when it wants to hold it."""
    planner = planner_of(plain)
    steps = planner.steps(Selected(FIRST), planner.pipeline.tasks)
    collect(plain.store, grace=0)
    assert not hold(planner, steps)
    assert not any(step.artifact for step in planner.steps(Selected(FIRST), planner.pipeline.tasks)[:1])


def test_what_is_collected_while_a_build_plans_is_planned_again(plain, monkeypatch):
    """An artifact was seen, and what it names is gone when it is read. Nothing was held yet."""
    original, collected = Planner.intact_artifact, []

    def intact_artifact(self, key):
        found = original(self, key)
        if found is not None and not collected:
            collected.append(collect(plain.store, grace=0))
        return found

    monkeypatch.setattr(Planner, "intact_artifact", intact_artifact)
    assert plain.build(FIRST) == {"first": 0, "second": 0}, "their cells are all in objects that others need"
    assert collected[0].files > 0
    assert_whole(plain, FIRST)


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_held_at_the_last_moment_is_put_back(plain, monkeypatch, when):
    """A build holds each thing after it was seen to be old: just before it is moved, or too late."""
    plain.build(OTHER, 50)
    plain.age()
    before = {
        path for path in files(Path(plain.store.root)) if path.startswith(("artifacts", "objects", "pieces"))
    }
    original, heard = trash.Trash.move, []

    def move(self, path):
        if when == "before":
            heard.append(hold_path(path))
        aside = original(self, path)
        if when == "after":
            heard.append(hold_path(path))
        return aside

    monkeypatch.setattr(trash.Trash, "move", move)
    report = collect(plain.store)
    after = set(files(Path(plain.store.root)))
    if when == "before":
        assert all(heard) and report.files == 0 and before <= after
        assert plain.build(SECOND) == {"first": 0, "second": 0}
    else:
        assert heard and not any(heard) and report.files > 0 and not before <= after


def collect_in_child(root: Path, moment: int) -> None:
    with changes(root / "store", fail_from=moment, errno=DIE):
        collect(Store(root / "store"), grace=0)


def test_killed_at_any_moment_it_leaves_a_store_that_verifies(plain, tmp_path):
    """What has a name is whole, and the next collection frees the rest."""
    plain.build(OTHER, 50)
    plain.age()
    kept = {*named(plain.store, NAME).objects, *named(plain.store, NAME._replace(phase="first")).objects}
    context = multiprocessing.get_context("fork")
    moment, died = 1, 0
    while True:
        work = Plain(Path(shutil.copytree(plain.root, tmp_path / f"at{moment}")))
        process = context.Process(target=collect_in_child, args=(work.root, moment))
        process.start()
        process.join()
        assert verify(work.store, deep=True).damaged == []
        if process.exitcode == 0:
            break
        died += 1
        collect(work.store, grace=0)
        assert work.objects() == kept
        assert_whole(work, OTHER)
        moment = 1 + moment * 2
    assert died >= 4
