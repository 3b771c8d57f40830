"""Disks that fill up, and that go away, as the system makes them do: the store lies on a mount of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from faults import changes
from workspace import Workspace, files, one_line_error

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


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


@pytest.mark.parametrize(("limit", "first"), [("size", 64 << 10), ("nr_inodes", 24)])
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
