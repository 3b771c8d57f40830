"""Make the n-th change or read below a folder fail, or let the process die there, wherever that is."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LISTS = {"os.listdir", "os.scandir"}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
DIE, INTERRUPT = -1, -2  # instead of an errno: the process is killed, or gets Ctrl-C, at that change


class _Faults:
    """The audit hook of this process: Python cannot remove one, so there is one, mostly idle."""

    def __init__(self) -> None:
        self.folder, self.at, self.errno, self.seen, self.installed = "", 0, 0, 0, False
        self.act: Callable[[], object] | None = None
        self.reading = False
        self.counting = (
            threading.Lock()
        )  # several threads write at once, and none of their numbers may be passed over

    def counts(self, event: str, arguments: tuple) -> bool:
        """Whether an event is a change, or where those are counted a read."""
        if event != "open":
            return event in (LISTS if self.reading else CHANGES)
        return isinstance(arguments[2], int) and bool(arguments[2] & WRITES) != self.reading

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.folder or not self.counts(event, arguments):
            return
        if not isinstance(arguments[0], (str, os.PathLike)) or not os.fspath(arguments[0]).startswith(
            self.folder
        ):
            return
        with self.counting:
            self.seen += 1
            seen = self.seen
        if self.act and seen == self.at:
            self.act()
        elif self.errno < 0 and seen == self.at:
            os.kill(os.getpid(), signal.SIGKILL if self.errno == DIE else signal.SIGINT)
        elif self.errno > 0 and seen >= self.at:
            raise OSError(self.errno, os.strerror(self.errno), os.fspath(arguments[0]))


_faults = _Faults()


@contextmanager
def changes(
    folder: Path,
    *,
    fail_from: int = 0,
    errno: int = 0,
    act: Callable[[], object] | None = None,
    reading: bool = False,
) -> Iterator[_Faults]:
    """Count the changes below a folder (`.seen`); from the `fail_from`-th on each fails with `errno`.

    With `act`, this is called before the `fail_from`-th instead, and none fails but by what it did. With
    `reading`, what is counted and fails are reads of files and folders.
    """
    if not _faults.installed:
        sys.addaudithook(_faults)
        _faults.installed = True
    _faults.folder, _faults.at, _faults.errno, _faults.seen = str(folder), fail_from, errno, 0
    _faults.act, _faults.reading = act, reading
    try:
        yield _faults
    finally:
        _faults.folder = ""
