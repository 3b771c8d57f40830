"""What is no store is refused before anything is written to it, and a store that cannot be written loses
nothing.
"""

from __future__ import annotations

import errno
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest
from faults import changes
from workspace import Workspace, files, one_line_error, run

from circuitstore.errors import StoreError
from circuitstore.storage.layout import Store

COMMANDS = ("build", "status", "explain", "dry run", "verify", "log", "show")


def use(workspace: Workspace, command: str):
    """One command on the workspace's store."""
    if command in ("verify", "log"):
        return run(command, "--store", workspace.store)
    if command == "show":
        return run(
            "show", "baseline", "-b", "mine", "--profile", workspace.profile, "--store", workspace.store
        )
    if command == "explain":
        return workspace.explain()
    if command == "status":
        return run("status", *workspace.selection)
    return workspace.build(*(["--dry-run"] if command == "dry run" else []))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("thesis.txt", "mine", ["other files (thesis.txt)", "another with --store"]),
        (
            "format.json",
            '{"format": "circuitstore", "version": 3}',
            ["format version 1 or 2", "got 3", "version of circuitstore"],
        ),
        ("format.json", '{"format": "other", "version": 1}', ["no circuitstore store", "--store"]),
        ("format.json", '{"version": 1}', ["no circuitstore store", "--store"]),
        ("format.json", "[1]", ["expected", "restore the file"]),
        ("format.json", "", ["expected", "restore the file"]),
    ],
    ids=["foreign", "other version", "other format", "no format", "no object", "empty"],
)
def test_directory_that_is_no_store_is_refused(new_workspace, command, name, content, words):
    """A folder with other files, or a format.json of another format or version: no command touches it."""
    new_workspace.store.mkdir()
    (new_workspace.store / name).write_text(content)
    before = files(new_workspace.root)
    error = one_line_error(use(new_workspace, command), code=1)
    assert all(word in error for word in [str(new_workspace.store), *words])
    assert files(new_workspace.root) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_file_instead_of_a_directory_is_refused(new_workspace, command):
    """As the store itself, or on the way to it."""
    new_workspace.store.write_text("a file")
    assert "a file" in one_line_error(use(new_workspace, command), code=1)
    new_workspace.store = new_workspace.store / "below"
    assert "--store" in one_line_error(use(new_workspace, command), code=1)
    assert (new_workspace.root / "store").read_text() == "a file"


@pytest.mark.parametrize("command", ["verify", "log", "show"])
def test_reading_what_is_not_there_creates_nothing(new_workspace, command):
    """A command that only reads says that nothing is there and which command builds it."""
    assert "circuitstore build" in one_line_error(use(new_workspace, command), code=1)
    assert not new_workspace.store.exists()


def test_place_that_cannot_be_written_is_refused(new_workspace):
    """A directory that nobody can make: an error in one line that names another way."""
    new_workspace.store = Path("/proc/circuitstore/store")
    assert "--store" in one_line_error(new_workspace.build(), code=1)


@pytest.mark.parametrize(
    "code", [errno.EROFS, errno.EACCES], ids=["read-only file system", "permission denied"]
)
def test_store_that_may_not_be_written_is_left_alone(workspace, code):
    """A build that has something to compute stops with one line; one that has nothing to compute succeeds
    without writing.
    """
    before = files(workspace.root)
    with changes(workspace.root, fail_from=1, errno=code):
        assert workspace.build().computed == {}
        error = one_line_error(workspace.build("--set", "attribution.max_logits=5"), code=1)
    assert os.strerror(code) in error and "--store" in error
    assert files(workspace.root) == before


@pytest.mark.parametrize("name", ["tmp", "objects", "actions", "artifacts", "refs"])
def test_file_in_the_way_is_refused_before_any_work(workspace, name):
    """Whichever folder of the store cannot be written, nothing is computed for it first."""
    folder = workspace.store / name
    if folder.exists():
        folder.rename(workspace.root / "aside")
    folder.write_text("mine")
    outcome = workspace.build("--set", "baseline.top_k=3", "--keep-going")
    assert str(folder) in one_line_error(outcome, code=1) and "move it away" in outcome.err
    assert outcome.json["phases"] == [] and folder.read_text() == "mine"


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_store_that_may_not_be_written_is_refused_before_any_work(workspace, code):
    """A read-only or full disk is noticed by a real write, which leaves nothing behind."""
    before = files(workspace.root)
    with changes(workspace.store, fail_from=1, errno=code):
        outcome = workspace.build("--set", "baseline.top_k=3")
    assert os.strerror(code) in one_line_error(outcome, code=1)
    assert outcome.json["phases"] == [] and files(workspace.root) == before


def test_store_whose_making_was_interrupted_can_be_made(tmp_path):
    """Whichever of its first changes fails, the directory is still one that becomes a store."""
    with changes(tmp_path / "whole") as counted:
        Store(tmp_path / "whole").create()
    for moment in range(1, counted.seen + 1):
        store = Store(tmp_path / f"store{moment}")
        with changes(Path(store.root), fail_from=moment, errno=errno.ENOSPC), suppress(StoreError):
            store.create()
        assert store.check_or_new().create().check() is store


def test_full_disk_loses_nothing(built_once, new_workspace):
    """The disk is full from some write on: one line says so, what was finished stays, and the next build goes
    on from there.
    """
    with changes(new_workspace.store) as counted:
        assert new_workspace.build().code == 0
    moments = sorted(random.Random(28).sample(range(1, counted.seen + 1), 4))
    for moment in [1, *moments]:
        made = Workspace.create(new_workspace.root / f"full{moment}")
        with changes(made.store, fail_from=moment, errno=errno.ENOSPC):
            error = one_line_error(made.build(), code=1)
        assert "No space left on device" in error and "free some space" in error
        finished = {journal.parent.name for journal in (made.store / "actions").rglob("*.json")}
        outcome = made.build()
        assert outcome.code == 0, outcome.err
        assert finished.isdisjoint(set(outcome.computed) - {"prompts"})
        assert made.contents() == built_once.contents()
        assert made.verify().json["damaged"] == []
