"""Holding what a build takes from the store: `gc` never deletes what was touched since the build began.

An artifact that is held is held with all that it names. Cells that no artifact names, pieces that are shared
and objects that are there already are held by themselves. To hold something is to set its time of change to
now, by the clock of the file system. `gc` looks at that time once more after it has moved something out of
the way, and puts it back (`circuitstore/storage/gc.py`). So whoever holds something that is still there has
it, and whoever comes too late learns that it is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable


def hold(path: str) -> bool:
    """Hold a record, or the folder of an object; whether it is there.

    Where somebody else owns it and shares it for reading only, only its age protects it.
    """
    try:
        os.utime(path)
    except PermissionError:
        return os.path.lexists(path)
    except OSError:
        return False
    return True


def hold_all(paths: Iterable[str]) -> bool:
    """Hold all of these, whatever is gone; whether all of them are there."""
    there = [hold(path) for path in paths]
    return all(there)
