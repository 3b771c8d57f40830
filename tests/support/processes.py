"""Processes below one, as Linux tells of them."""

from __future__ import annotations

from pathlib import Path


def children(process: int) -> list[int]:
    """All processes below one, at any depth."""
    below = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == process:
            below += [int(path.parent.name), *children(int(path.parent.name))]
    return below


def alive(process: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
