"""`gc` deletes what no name needs and nobody uses, and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest
from plain_store import COUNT, DAYS, FIRST, NAME, OTHER, SECOND, assert_whole
from workspace import files, one_line_error, run

from circuitstore.storage.actions import journals
from circuitstore.storage.gc import collect
from circuitstore.storage.index import Index
from circuitstore.storage.refs import named
from circuitstore.storage.tags import write_tag
from circuitstore.storage.trash import Trash
from circuitstore.storage.usage import usage


def test_what_has_no_name_is_deleted(plain):
    """The artifacts of the first build and the pieces that only they have. Their objects are shared."""
    before, artifacts = plain.objects(), len(os.listdir(plain.store.path("artifacts")))
    report = collect(plain.store)
    assert artifacts == 4 and len(os.listdir(plain.store.path("artifacts"))) == 2
    assert report.files > 2 and report.bytes > 0 and report.young == 0
    assert {row.phase for row in report.freed} == {"first", "second"}
    assert {row.age for row in report.freed} == {"less than a year"}
    assert plain.objects() == before, "each holds a cell that has a name"
    assert_whole(plain, SECOND)


def test_objects_go_with_their_journals(plain):
    """Once every other cell is another one, too, most of the objects have no name any more."""
    before = plain.objects()
    assert plain.build(OTHER, 50) == {"first": COUNT - 2, "second": COUNT - 2}
    kept = {*named(plain.store, NAME).objects, *named(plain.store, NAME._replace(phase="first")).objects}
    plain.age()
    report = collect(plain.store)
    assert plain.objects() == kept and len(before - kept) > len(before) / 2
    assert {
        journal.object for phase in ("first", "second") for journal in journals(plain.store, phase)
    } == kept
    assert sum(row.files for row in report.freed) == report.files
    assert_whole(plain, OTHER)
    assert collect(plain.store, grace=0).files == 0, "the second time there is nothing left"
    assert plain.build(SECOND) == {"first": COUNT - 2, "second": COUNT - 2}


@pytest.mark.parametrize("days", [0, 13.9, -1000], ids=["now", "in the grace period", "in the future"])
def test_what_is_young_is_kept_with_all_that_it_names(plain, days):
    """Only the artifact is young; what it consists of and what it was made from is old."""
    plain.build(FIRST)
    plain.age()
    lost = set(os.listdir(plain.store.path("artifacts"))) - {
        os.path.basename(plain.store.artifact(named(plain.store, NAME._replace(phase=phase)).key))
        for phase in ("first", "second")
    }
    (second,) = (
        key for key in lost if b'"phase":"second"' in Path(plain.store.path("artifacts", key)).read_bytes()
    )
    os.utime(plain.store.path("artifacts", second), (time.time() - days * DAYS,) * 2)
    report = collect(plain.store)
    assert report.young >= 1 and report.files == 0
    assert plain.build(SECOND) == {"first": 0, "second": 0}


def test_a_tag_keeps_what_it_names_and_what_that_was_made_from(plain):
    """Until it is deleted; then for a grace period more."""
    write_tag(plain.store, "paper", NAME, named(plain.store, NAME))
    plain.build(FIRST)
    plain.age()
    report = collect(plain.store, grace=0)
    assert report.files == 0 and [row.name for row in report.kept][-1] == "tag paper"
    assert run("tag", "--delete", "paper", "--store", plain.store.root).code == 0
    assert collect(plain.store).files == 0
    plain.age()
    assert collect(plain.store).files > 0
    assert_whole(plain, FIRST)


def test_what_was_in_use_until_now_is_young(plain):
    """A build moves the names away from old artifacts. Somebody may be reading these."""
    assert plain.build(FIRST) == {"first": 0, "second": 0}
    report = collect(plain.store)
    assert report.files == 0 and report.young >= 1
    assert plain.build(SECOND) == {"first": 0, "second": 0}


def test_dry_run_says_what_would_go_and_writes_nothing(plain):
    """The same numbers as when it goes, by phase and by age, and `du` has them too."""
    before = files(Path(plain.store.root))
    would, unnamed = collect(plain.store, dry_run=True), usage(plain.store).unnamed
    assert files(Path(plain.store.root)) == before
    done = collect(plain.store)
    assert (would.files, would.bytes, would.freed) == (done.files, done.bytes, done.freed)
    assert (unnamed.files, unnamed.bytes) == (done.files, done.bytes)
    assert usage(plain.store).unnamed.files == 0
    assert would.kept == done.kept and {row.name for row in done.kept} == {
        "plain/plain/first",
        "plain/plain/second",
    }


def test_reviews_pins_answers_and_quarantine_stay(plain):
    """However old they are."""
    places = ("inputs/hub/x.json", "inputs/review/a/b/x.json", "inputs/answers/x.json", "quarantine/x-1")
    for place in places:
        path = Path(plain.store.path(place))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    plain.age()
    collect(plain.store, grace=0)
    assert all(os.path.exists(plain.store.path(place)) for place in places)


@pytest.mark.parametrize(
    "place", ["refs/plain/plain/first.json", "refs/plain", "refs", "tags/paper.json", "piece"]
)
def test_damage_stops_it_before_anything_is_deleted(plain, place):
    """What a damaged record needs is not known, so nothing counts as unneeded."""
    write_tag(plain.store, "paper", NAME, named(plain.store, NAME))
    plain.age()
    path = Path(plain.store.path(place))
    if place == "piece":
        path = Path(plain.store.piece(named(plain.store, NAME).table.nodes[0].name))
    if path.is_dir():
        shutil.rmtree(path)
    path.write_text("{}")
    before = files(Path(plain.store.root))
    one_line_error(run("gc", "--grace", "0", "--store", plain.store.root), code=1)
    after = files(Path(plain.store.root))
    assert {name for name in before if not name.startswith("tmp")} <= set(after)


def test_the_index_names_no_journal_that_is_gone(plain, monkeypatch):
    """Else it would grow for ever."""
    from circuitstore.storage import index

    monkeypatch.setattr(index, "LOOSE", 2)
    plain.build(OTHER)
    assert os.path.isfile(plain.store.index("first"))
    plain.age()
    collect(plain.store)
    names, _ = index._read(plain.store, "first")
    assert sorted(names) == sorted(index._present(plain.store, "first")) and names
    key = journals(plain.store, "first")[0].cells[0].key
    assert Index(plain.store, "first").copies(key)


@pytest.mark.parametrize("grace", ["14", "d", "-1d", "1.5h", "9999999d", "1y", ""])
def test_a_grace_period_that_is_none_is_refused(plain, grace):
    one_line_error(run("gc", "--grace", grace, "--store", plain.store.root), code=2)


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.ENOTSUP])
def test_what_is_used_again_is_put_back_where_there_are_no_links(tmp_path, monkeypatch, refusal):
    """Not every file system has links, and not to files of others. What was published since stays."""

    def link(source, target):
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "link", link)
    path, trash = tmp_path / "record.json", Trash(str(tmp_path / "trash"), since=0.0)
    (tmp_path / "trash").mkdir()
    path.write_text("used")
    assert not trash.delete(str(path), lambda gone: None) and path.read_text() == "used"
    aside = trash.move(str(path))
    path.write_text("published since")
    trash.put_back(aside, str(path))
    assert path.read_text() == "published since"
