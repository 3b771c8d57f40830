"""Deleting in two steps, so that what somebody began to use at this very moment can be put back."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable


class Trash:
    """A scratch folder that things are moved to before they are deleted, or none: then nothing is moved."""

    def __init__(self, folder: str | None, since: float):
        """What was changed since this time, in seconds by the clock of the file system, is young."""
        self.folder, self.since = folder, since
        self._moved = 0

    def young(self, path: str) -> bool:
        """Whether something was written or held lately, or is no file or folder that could be deleted."""
        try:
            status = os.lstat(path)
        except OSError:
            return True
        expected = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        return status.st_mtime >= self.since or not expected

    def move(self, path: str) -> str:
        """Move a file or folder here; where it lies now, "" if it is gone or there is no trash."""
        if self.folder is None:
            return ""
        self._moved += 1
        aside = os.path.join(self.folder, str(self._moved))
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return ""
        return aside

    def put_back(self, aside: str, path: str) -> None:
        """Put something back, unless somebody has published the same anew."""
        if aside and os.path.isdir(aside):
            with contextlib.suppress(OSError):  # a folder does not replace one that holds something
                os.rename(aside, path)
        elif aside:
            try:
                os.link(aside, path)
            except FileExistsError:
                return
            except OSError:  # no links here, or none to files of others: the next best, which may be late
                if not os.path.lexists(path):
                    os.rename(aside, path)

    def delete(self, path: str, count: Callable[[str], None]) -> bool:
        """Delete a file or folder, which is counted before; False if it was held, and is where it was."""
        aside = self.move(path)
        if aside and self.young(aside):
            self.put_back(aside, path)
            return False
        if aside or self.folder is None:
            count(aside or path)
        self.discard(aside)
        return True

    def discard(self, aside: str) -> None:
        """Delete what was moved here."""
        if aside and os.path.isdir(aside):
            shutil.rmtree(aside, ignore_errors=True)  # what stays is scratch
        elif aside:
            os.unlink(aside)
