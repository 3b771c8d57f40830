"""Scratch folders: where files are written before they are published.

A process that is killed leaves its scratch folder behind. The next build that has something to write removes
those that nobody can be using: what has not changed for a day, or for some minutes while the process that
made it, on this machine, is gone. Nothing published lies in them, so a mistake would cost a builder its batch
and no result.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable

UNUSED_SECONDS, LEFT_SECONDS = 86400.0, 600.0


class Scratch:
    """A folder of its own below `parent`, removed at the end of a `with` block."""

    def __init__(self, parent: str):
        self.folder = os.path.join(parent, f"{machine()}-{os.getpid()}-{os.urandom(8).hex()}")

    def __enter__(self) -> str:
        os.makedirs(self.folder)
        return self.folder

    def __exit__(self, *_: object) -> None:
        _remove(self.folder)


def sweep(folders: Iterable[os.DirEntry[str]]) -> list[str]:
    """Remove the scratch folders that nobody can be using; the names of those."""
    removed = []
    for entry in folders:
        if not entry.is_dir(follow_symlinks=False):
            continue
        maker, _, rest = entry.name.rpartition("-")[0].rpartition("-")
        gone = maker == machine() and rest.isdecimal() and not runs(int(rest))
        if time.time() - _changed(entry.path) > (LEFT_SECONDS if gone else UNUSED_SECONDS):
            _remove(entry.path)
            removed.append(entry.name)
    return removed


def _changed(folder: str) -> float:
    """When something in a folder was last changed, in seconds; now if that cannot be said."""
    newest = 0.0
    try:
        for at, _, files in os.walk(folder):
            newest = max(newest, *(os.lstat(os.path.join(at, name)).st_mtime for name in (".", *files)))
    except OSError:  # somebody is at work in it
        return time.time()
    return newest or time.time()


def runs(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is somebody else's
        return True
    return True


def machine() -> str:
    """What this machine is called, as a part of a file name."""
    return "".join(c for c in socket.gethostname() if c.isalnum())[:40] or "host"


def _remove(folder: str) -> None:
    import shutil  # here, since it costs 10 ms and reading a store has no scratch

    # What stays is scratch: safe to delete whenever nothing runs.
    shutil.rmtree(folder, ignore_errors=True)
