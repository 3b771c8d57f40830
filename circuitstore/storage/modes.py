"""Folders and permissions: what is written takes the group and the mode of the store's own folder.

So several users share a store whatever their umasks are: the mode of its folder is set once
(`chmod 2775 store`), and says for all of it who may read and write, as `core.sharedRepository` of git does.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Iterable, Iterator

from circuitstore.errors import StoreError
from circuitstore.storage.files import check_folders, sync

OWNERS_FILE, OWNERS_FOLDER = 0o600, 0o700  # what the owner may do with a file or folder in any case
FINISHED = "objects", "pieces"  # what lies in their folders is never changed
SCRATCH = "tmp", "leases"


def share(root: str, paths: Iterable[str]) -> None:
    """Give new files and folders of the store at `root` its group and its mode. Raises OSError."""
    whole = os.stat(root)
    mode = stat.S_IMODE(whole.st_mode)
    for path in paths:
        made = os.lstat(path)
        if made.st_gid != whole.st_gid:
            with contextlib.suppress(PermissionError):  # whoever is not in the group cannot give it files
                os.chown(path, -1, whole.st_gid)
        is_folder = stat.S_ISDIR(made.st_mode)
        wanted = (mode & 0o2777) | OWNERS_FOLDER if is_folder else (mode & 0o666) | OWNERS_FILE
        if stat.S_IMODE(made.st_mode) != wanted:
            os.chmod(path, wanted)


def make_folder(root: str, folder: str) -> None:
    """Have a folder below `root`, which is there, whose way leads through no link.

    Raises DamageError, OSError.
    """
    if folder == root:
        return
    inside = os.path.join(folder, ".")
    try:
        check_folders(root, inside)
    except FileNotFoundError:
        above = os.path.dirname(folder)
        make_folder(root, above)
        with contextlib.suppress(FileExistsError):  # somebody else made it meanwhile
            os.mkdir(folder)
            share(root, [folder])
            sync(above)  # or a power failure could take the new folder, and all in it
        check_folders(root, inside)


def standing(path: str) -> str:
    """The path itself, or the nearest above it that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def refuse_closed(root: str, tops: Iterable[str]) -> None:
    """Raise StoreError for a folder of these, or below, that is closed to a user who may write in `root`.

    Whoever made it did so before the store's folder had its mode.
    """
    for folder in _folders(root, tops):
        if not os.access(folder, os.W_OK | os.X_OK) and os.access(root, os.W_OK):
            with contextlib.suppress(FileNotFoundError):  # it is gone by now
                raise _closed(root, folder, os.stat(folder))


def _closed(root: str, folder: str, status: os.stat_result) -> StoreError:
    return StoreError(
        folder,
        expected="a folder that this user may write into",
        got=f"one of user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):o}",
        remedy=f"its owner can run `chmod -R g+rwX {shlex.quote(root)}` (docs/sharing.md)",
    )


def _folders(root: str, tops: Iterable[str]) -> Iterator[str]:
    """The folders of these names that are there, and those below into which something is published."""
    waiting = [os.path.join(root, top) for top in tops]
    while waiting:
        folder = waiting.pop()
        if os.path.isdir(folder) and not os.path.islink(folder):
            yield folder
            above, name = folder.split(os.sep)[-2:]
            if above not in FINISHED and name not in SCRATCH:
                waiting += [each.path for each in _inside(folder) if each.is_dir(follow_symlinks=False)]


def _inside(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # it is gone by now, or cannot be read, and that is told where it matters
        return []
