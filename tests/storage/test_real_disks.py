"""Disks that fill up, and that go away, as the system makes them do; disks that cannot be read for a while.

For the first two, the store lies on a mount of its own.
"""

from __future__ import annotations

import errno
import os
import pickle
import random
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from faults import changes
from workspace import BEHAVIOUR, Workspace, files, one_line_error, run

from circuitstore.engine import work
from circuitstore.storage import objects
from circuitstore.storage.layout import Store

mounts = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


def call(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


@pytest.fixture
def mounted(new_workspace: Workspace) -> Iterator[Workspace]:
    """A workspace whose store is to be made in a file system that lies in memory."""
    disk = new_workspace.root / "disk"
    disk.mkdir()
    call("mount", "-t", "tmpfs", "tmpfs", disk)
    new_workspace.store = disk / "store"
    yield new_workspace
    while os.path.ismount(disk):
        call("umount", "-l", disk)


def resize(workspace: Workspace, **limits: int) -> None:
    options = ",".join(f"{name}={value}" for name, value in limits.items())
    call("mount", "-o", f"remount,{options}", workspace.store.parent)


@mounts
@pytest.mark.parametrize(("limit", "first"), [("size", 160 << 10), ("nr_inodes", 24)])
def test_a_disk_that_fills_up(built_once, mounted, limit, first):
    """Of bytes, or of files. Each time there is half as much again, and the build goes a little further."""
    room, refused, done = first, 0, 0
    while True:
        resize(mounted, **{limit: room})
        outcome = mounted.build()
        if outcome.code == 0:
            break
        error = one_line_error(outcome, code=1)
        assert "No space left on device" in error and "free some space" in error
        journals = len(list((mounted.store / "actions").rglob("*.json")))
        assert journals >= done
        room, refused, done = room * 3 // 2, refused + 1, journals
    assert refused >= 3 and done
    assert mounted.contents() == built_once.contents()
    assert mounted.verify("--deep").json["damaged"] == []


@mounts
@pytest.mark.parametrize("share", [0.05, 0.2, 0.3, 0.5, 0.9])
def test_a_disk_that_goes_away(mounted, share):
    """In the middle of a build. It ends in one line, and writes nothing where the disk was."""
    disk = mounted.store.parent
    with changes(mounted.store) as counted:
        assert mounted.build().code == 0
    call("umount", disk)
    call("mount", "-t", "tmpfs", "tmpfs", disk)
    with changes(mounted.store, fail_from=int(share * counted.seen), act=lambda: call("umount", "-l", disk)):
        error = one_line_error(mounted.build(), code=1)
    assert str(mounted.store) in error
    assert files(disk) == {}


@mounts
@pytest.mark.parametrize("built", [False, True], ids=["new", "built before"])
def test_a_disk_that_goes_away_while_cells_are_computed(mounted, monkeypatch, built):
    """What was computed is not written to where the disk was."""
    disk, commit = mounted.store.parent, work._commit
    if built:
        assert mounted.build(phase="prompts").code == 0

    def late(*arguments):
        if os.path.ismount(disk):
            call("umount", "-l", disk)
        return commit(*arguments)

    monkeypatch.setattr(work, "_commit", late)
    assert "no longer there" in one_line_error(mounted.build(), code=1)
    assert files(disk) == {}


def test_another_machine_has_other_numbers_for_its_disks(tmp_path):
    """A worker elsewhere is told that there is a store, and not on which device it lies here."""
    store = Store(tmp_path / "store").create()
    store._device += 1
    with pytest.raises(FileNotFoundError, match="no longer there"):
        store.make_folder(store.path("tmp"))
    elsewhere = pickle.loads(pickle.dumps(store))
    elsewhere.make_folder(store.path("tmp"))
    shutil.rmtree(store.root)
    with pytest.raises(FileNotFoundError, match="no longer there"):
        elsewhere.make_folder(store.path("tmp"))


READERS = (
    ("verify", "--deep", "--json"),
    ("show", "attribution", "-b", BEHAVIOUR, "--profile", "small.toml", "--json"),
    ("export", "arrays", "out", "--phase", "features", "-b", BEHAVIOUR, "--profile", "small.toml"),
    ("du",),
    ("gc", "--grace", "0s"),
    ("push", "there"),
)


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE], ids=errno.errorcode.get)
def test_a_disk_that_cannot_be_read_for_a_while(workspace, built_once, monkeypatch, words, code):
    """From some read on: a command ends with a result or names what failed, and then nothing is lost.

    What `verify` has moved aside, because the disk said that it cannot be read, a build computes again.
    """
    monkeypatch.chdir(workspace.root)
    objects._cached_reader.cache_clear()
    with changes(workspace.store, reading=True) as counted:
        assert run(*words, "--store", workspace.store).code == 0
    failed = 0
    for moment in sorted(random.Random(code).sample(range(2, counted.seen + 1), min(5, counted.seen - 1))):
        for made in ("out", "there"):
            shutil.rmtree(made, ignore_errors=True)
        objects._cached_reader.cache_clear()
        with changes(workspace.store, fail_from=moment, errno=code, reading=True):
            outcome = run(*words, "--store", workspace.store)
        failed += outcome.code != 0
        assert "Traceback" not in outcome.err
        if outcome.code and words[0] not in ("verify", "push"):  # these go on, and name all that failed
            one_line_error(outcome, code=1)
        if code != errno.EIO:
            assert not (workspace.store / "quarantine").exists()
            assert workspace.verify("--deep").json["damaged"] == []
    assert failed
    assert workspace.build().code == 0
    assert workspace.contents() == built_once.contents()
    assert workspace.verify("--deep").json["damaged"] == []
