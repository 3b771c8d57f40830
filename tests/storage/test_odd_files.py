"""Files that systems and synchronisers leave everywhere in a store: nothing stops, and nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import Workspace, run


def of_systems(folder: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", ".nfs0001", "._.DS_Store"):
        (folder / name).write_bytes(b"\0\1Bud1")


def copies(folder: Path) -> None:
    """What file managers and synchronisers make of every record."""
    for path in [each for each in folder.glob("*.json") if each.is_file()]:
        for name in (
            "{} (conflict).json",
            "{} copy.json",
            "{} (1).json",
            "._{}.json",
            "{}.json~",
            "{}.json.part",
        ):
            shutil.copy(path, folder / name.format(path.stem))


def copies_of_folders(folder: Path) -> None:
    """As they are made of a folder: everything in it is there twice."""
    for path in [each for each in folder.iterdir() if each.is_dir() and " " not in each.name]:
        shutil.copytree(path, folder / f"{path.name} (1)", ignore=shutil.ignore_patterns("* (1)"))


@pytest.mark.parametrize("leave", [of_systems, copies, copies_of_folders])
def test_odd_files_everywhere(workspace: Workspace, built_once: Workspace, leave: Callable[[Path], None]):
    """They are no damage, and no part of any result; a build, `gc` and `push` pass them over."""
    store = workspace.store
    for folder in [store, *(path for path in store.rglob("*") if path.is_dir() and path.name != "tmp")]:
        leave(folder)
    at, selection = ("--store", store), workspace.selection
    there = workspace.root / "there"
    for words in (
        ("verify", "--deep", *at),
        ("status", *selection),
        ("log", *at),
        ("du", *at),
        ("gc", "--grace", "0s", *at),
        ("push", there, *at),
    ):
        outcome = run(*words)
        assert outcome.code == 0, (words, outcome.err)
    assert workspace.verify("--deep").json["damaged"] == []
    assert workspace.build().computed == {}
    assert workspace.contents() == built_once.contents()
    assert run("verify", "--deep", "--store", there, "--json").json["damaged"] == []
