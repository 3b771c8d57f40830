"""Setting damaged files and folders aside, unless somebody replaced them since they were looked at."""

from __future__ import annotations

import os

from circuitstore.errors import StoreError
from circuitstore.storage.layout import Store, quarantine


def stamp_of(path: str) -> tuple[int, ...] | None:
    """What tells a file or folder from another one put in its place; None if there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def set_aside(store: Store, path: str, stamp: tuple[int, ...] | None) -> str | None:
    """Where a damaged file or folder was moved, if it is still the one with this stamp.

    None in a store that may not be written; the report names the damage all the same.
    """
    try:
        if stamp is None or stamp_of(path) != stamp:
            return None
        moved = quarantine(store, path)
        if stamp_of(moved) != stamp:  # replaced at this very moment
            if not os.path.lexists(path):  # it goes back, unless there is a newer one
                os.rename(moved, path)
            return None
        return moved
    except (OSError, StoreError):
        return None
