"""Which files this process reads: Python's own readers by audit events, mapped files by the kernel's list.

Readers written in Rust (safetensors, tokenizers) raise no event. Weights that they map are in the kernel's
list. For the rest, the links that are made for them say what they can reach.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Seen:
    """Files below a folder, by name: read, and linked to from elsewhere."""

    read: set[str] = field(default_factory=set)
    linked: set[str] = field(default_factory=set)


_watching: list[tuple[str, Seen]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watching and event in ("open", "os.symlink") and isinstance(arguments[0], (str, bytes)):
        top, seen = _watching[-1]
        _add(top, os.path.realpath(os.fsdecode(arguments[0])), seen.read if event == "open" else seen.linked)


def _add(top: str, path: str, names: set[str]) -> None:
    if path.startswith(top):
        names.add(path.removeprefix(top))


sys.addaudithook(_hook)  # it cannot be taken away again, so it lies idle between watches


@contextmanager
def opened_below(folder: Path) -> Iterator[Seen]:
    """What happens to files below this folder inside the block, mapped files as they are at its end."""
    top, seen, before = os.path.realpath(folder) + os.sep, Seen(), _mapped()
    _watching.append((top, seen))
    try:
        yield seen
    finally:
        _watching.pop()
    for path in _mapped() - before:
        _add(top, path, seen.read)


def _mapped() -> set[str]:
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return {line[line.index("/") :] for line in lines if "/" in line}
