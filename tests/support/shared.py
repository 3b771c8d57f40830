"""A workspace that one test process builds and every test process gets a copy of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TypeVar

import pytest
from filelock import FileLock
from workspace import Workspace

W = TypeVar("W", bound=Workspace)


def shared(factory: pytest.TempPathFactory, name: str, kind: type[W], fill: Callable[[W], None]) -> W:
    """A copy, of this process's own, of the workspace that `fill` makes in the first process to ask."""
    top = factory.getbasetemp()
    top = top.parent if "PYTEST_XDIST_WORKER" in os.environ else top
    first = top / f"shared-{name}"
    with FileLock(f"{first}.lock"):
        if not (first / "made").is_file():
            shutil.rmtree(first, ignore_errors=True)
            fill(kind.create(first))
            (first / "made").touch()
    private = factory.mktemp(name)
    shutil.copytree(first, private, dirs_exist_ok=True)
    return kind(private)
