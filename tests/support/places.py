"""Places of every kind to share results by, and one that fails at a call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from workspace import PHASES, Outcome, Workspace, run

KINDS = ("folder", "memory", "zip")


def address(kind: str, folder: Path) -> str:
    """The address of a new place."""
    own = os.urandom(8).hex()
    return {"folder": f"{folder / own}", "memory": f"memory://{own}", "zip": f"{folder / own}.zip"}[kind]


def push(workspace: Workspace, url: str, *words: object) -> Outcome:
    return run("push", url, *words, "--store", workspace.store, "--json")


def pull(workspace: Workspace, url: str, *words: object) -> Outcome:
    return run("pull", *words, url, "--store", workspace.store, "--json")


def empty(workspace: Workspace, folder: Path) -> Workspace:
    """The same profile and prompts, and no store."""
    other = workspace.copy(folder)
    shutil.rmtree(other.store)
    return other


def sound(workspace: Workspace, phases: tuple[str, ...] = PHASES) -> dict[str, str]:
    """The contents of the phases of a store in which nothing is damaged."""
    verified = workspace.verify("--deep")
    assert verified.code == 0 and verified.json["damaged"] == [], verified.out
    return workspace.contents(phases)


class Faulty:
    """The file system of a place whose calls are counted, and fail from one on."""

    METHODS = ("put_file", "pipe_file", "mv", "find", "open", "makedirs")

    def __init__(self, fs: object, fail_from: int):
        self._fs, self._fail_from, self.calls = fs, fail_from, 0

    def __getattr__(self, name: str) -> object:
        found = getattr(self._fs, name)
        if name not in self.METHODS:
            return found

        def counted(*arguments: object, **named: object) -> object:
            self.calls += 1
            if self._fail_from and self.calls >= self._fail_from:
                raise TimeoutError("the line is cut")
            return found(*arguments, **named)

        return counted


@contextmanager
def failing(fail_from: int = 0, host: str = "") -> Iterator[list[Faulty]]:
    """The calls of every place fail, from a number on.

    `host` is a folder that stands for another host: files are renamed there.
    """
    from fsspec.implementations.local import LocalFileSystem

    from circuitstore.storage import remote_fsspec

    connect, made = remote_fsspec._connect, list[Faulty]()

    def faulty(url: str) -> tuple[object, str]:
        fs, path = (LocalFileSystem(), host) if host else connect(url)
        made.append(Faulty(fs, fail_from))
        return made[-1], path

    with (
        mock.patch.object(remote_fsspec, "_connect", faulty),
        mock.patch.object(remote_fsspec, "THREADS", 1),
    ):
        yield made
