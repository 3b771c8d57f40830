"""One more build on a store that has nearly everything: it does what changed, and what a whole build does."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from faults import DIE, changes
from forged import as_version_1
from workspace import files

from bench.plain_phases import Items, build_plain
from circuitstore.engine import lookup
from circuitstore.storage import index
from circuitstore.storage.actions import journals
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.records import seal
from circuitstore.storage.refs import Name, named, names
from circuitstore.storage.verify import verify

COUNT, BATCH, SEED = 600, 50, 42
PHASES = ("first", "second")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the source of the phases lies."""
    return tmp_path_factory.mktemp("plain")


@pytest.fixture(scope="module")
def whole(folder) -> Path:
    """A store with everything."""
    build_plain(folder, folder / "whole", Items(COUNT), BATCH)
    return folder / "whole"


@pytest.fixture
def store(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def computed(folder: Path, store: Path, items: Items) -> dict[str, int]:
    """Build; phase → how many cells were computed."""
    return {phase: done.computed for phase, done in build_plain(folder, store, items, BATCH).items()}


def artifact(store: Path, phase: str) -> Artifact:
    return named(Store(store), Name("plain", "plain", phase))


def contents(store: Path) -> dict[str, tuple]:
    """Phase → content hash of the whole, and coordinates and content of each cell."""
    every = {phase: artifact(store, phase) for phase in PHASES}
    return {
        phase: (each.content, [(cell.coords, cell.content) for cell in each.cells])
        for phase, each in every.items()
    }


def anew(folder: Path, tmp_path: Path, items: Items) -> dict[str, tuple]:
    """The same of a store that was built for these items alone."""
    store = tmp_path / "anew"
    shutil.rmtree(store, ignore_errors=True)
    build_plain(folder, store, items, BATCH)
    return contents(store)


def count_keys(monkeypatch) -> Counter:
    """How often keys of cells are made from now on."""
    made: Counter = Counter()
    original = lookup.CellKeys.of

    def of(self, coords, reads):
        made["keys"] += 1
        return original(self, coords, reads)

    monkeypatch.setattr(lookup.CellKeys, "of", of)
    return made


def test_an_edited_item_is_one_cell_of_each_phase(folder, store, tmp_path, monkeypatch):
    """Nothing else is computed, and no other key is made."""
    made = count_keys(monkeypatch)
    items = Items(COUNT, (200,))
    assert computed(folder, store, items) == {"first": 1, "second": 1}
    assert made["keys"] == 2
    assert contents(store) == anew(folder, tmp_path, items)
    assert computed(folder, store, items) == {"first": 0, "second": 0}


def test_any_edits_give_what_a_new_store_gives(folder, store, tmp_path):
    """Items that are added, taken away, edited and edited back, one build after the other."""
    source, seen = random.Random(SEED), set(range(COUNT))
    for _ in range(6):
        count = COUNT + source.choice([-300, -1, 0, 1, 200])
        edited = tuple(source.sample(range(COUNT - 300), source.randint(0, 5)))
        wanted = {-1 - at if at in edited else at for at in range(count)}
        items = Items(count, edited)
        assert computed(folder, store, items) == dict.fromkeys(PHASES, len(wanted - seen))
        seen |= wanted
        assert contents(store) == anew(folder, tmp_path, items)
    assert verify(Store(store), deep=True).damaged == []


@pytest.mark.parametrize("edited", [(), (3,)])
def test_lost_cells_are_computed_again_and_no_others(folder, store, tmp_path, edited):
    """Whether or not something else changed too."""
    lost = artifact(store, "second").objects[4]
    shutil.rmtree(Store(store).object(lost))
    items = Items(COUNT, edited)
    assert computed(folder, store, items) == {"first": len(edited), "second": BATCH + len(edited)}
    assert contents(store) == anew(folder, tmp_path, items)


@pytest.mark.parametrize("lost", ["index", "artifacts", "pieces", "refs"])
def test_what_can_be_worked_out_anew_costs_no_cell(folder, store, monkeypatch, lost):
    """Records that say where cells are: they are found by their keys."""
    monkeypatch.setattr(index, "LOOSE", 4)
    before = contents(store)
    for phase in PHASES:
        assert index.update(Store(store), phase)
    shutil.rmtree(store / lost)
    assert computed(folder, store, Items(COUNT)) == {"first": 0, "second": 0}
    assert contents(store) == before
    assert verify(Store(store)).damaged == []


def test_a_cell_that_comes_back_is_found_by_its_key(folder, store, tmp_path):
    """An item is edited and edited back in a store whose first artifact is gone."""
    key = artifact(store, "first").key
    build_plain(folder, store, Items(COUNT, (7,)), BATCH)
    Path(Store(store).artifact(key)).unlink()
    assert computed(folder, store, Items(COUNT)) == {"first": 0, "second": 0}
    assert contents(store) == anew(folder, tmp_path, Items(COUNT))


def to_version_1(store: Path) -> None:
    """Make of a store what version 1 would have written."""
    opened = Store(store)
    for name in names(opened):
        as_version_1(opened, named(opened, name).key)
        path = Path(opened.ref(*name))
        record = json.loads(path.read_bytes())["record"]
        kept = {field: record[field] for field in ("artifact", "content", "time_ns")}
        path.write_bytes(seal(kept))
    shutil.rmtree(store / "pieces")
    (store / "format.json").write_text('{"format": "circuitstore", "version": 1}\n')


def test_a_store_of_version_1_gives_all_its_hits(folder, store, tmp_path):
    """With nothing to do nothing is written. The first build that writes raises the version."""
    to_version_1(store)
    before, was = files(store), contents(store)
    assert computed(folder, store, Items(COUNT)) == {"first": 0, "second": 0}
    assert files(store) == before and contents(store) == was
    items = Items(COUNT, (9,))
    assert computed(folder, store, items) == {"first": 1, "second": 1}
    assert json.loads((store / "format.json").read_text()) == {"format": "circuitstore", "version": 2}
    assert contents(store) == anew(folder, tmp_path, items)
    assert computed(folder, store, Items(COUNT)) == {"first": 0, "second": 0}
    assert contents(store) == was and verify(Store(store), deep=True).damaged == []


def build_in_child(folder: Path, store: Path, moment: int) -> None:
    """Build after an edit, in a process that is killed at the `moment`-th change to the store."""
    with changes(store, fail_from=moment, errno=DIE) as counted:
        build_plain(folder, store, Items(COUNT, (300,)), BATCH)
    (store.parent / "changes").write_text(str(counted.seen))
    sys.exit(0)


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 16])
def test_a_kill_between_any_two_steps_of_publishing_loses_nothing(folder, whole, tmp_path, step):
    """At every change to the store: it verifies, keeps what was there, and the next build does only the rest.

    Objects, journals, pieces, artifact and ref are published one after the other. Every sixteenth change is
    quick, all of them are slow.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["torch", "xarray", "zarr"])
    expected = anew(folder, tmp_path, Items(COUNT, (300,)))
    done, moments = False, itertools.count(1, step)
    while not done:
        store = Path(shutil.copytree(whole, tmp_path / "killed" / "store"))
        child = processes.Process(target=build_in_child, args=(folder, store, moment := next(moments)))
        child.start()
        child.join()
        done = child.exitcode == 0
        assert done or child.exitcode == -9
        assert verify(Store(store)).damaged == []
        again = computed(folder, store, Items(COUNT, (300,)))
        assert set(again.values()) <= {0, 1}
        assert contents(store) == expected
        for phase in PHASES:
            keys = Counter(cell.key for each in journals(Store(store), phase) for cell in each.cells)
            assert len(keys) == COUNT + 1 and set(keys.values()) == {1}
        shutil.rmtree(store.parent)
    assert moment > 40
