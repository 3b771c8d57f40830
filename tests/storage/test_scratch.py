"""What killed processes leave in `tmp/` is removed by the next build that writes; what is in use stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from circuitstore.storage.layout import Store

HOST = "".join(c for c in socket.gethostname() if c.isalnum())[:40] or "host"
MINUTES, HOURS, DAYS = 60, 3600, 86400


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(store: Path, name: str, age: float) -> Path:
    """Scratch with a half-written array, all of it that old in seconds."""
    folder = store / "tmp" / name
    (folder / "object" / "tokens").mkdir(parents=True)
    (folder / "object" / "tokens" / "zarr.json").write_text("{}")
    for path in (folder / "object" / "tokens" / "zarr.json", *folder.rglob("*"), folder):
        os.utime(path, (time.time() - age,) * 2)
    return folder


def test_what_nobody_uses_is_removed(built_once, tmp_path, gone):
    """By age alone after a day, whoever made it; after minutes if its process on this machine is gone."""
    workspace = built_once.copy(tmp_path / "work")
    mine, stranger = os.getpid(), "elsewhere"
    removed = [
        left(workspace.store, f"{HOST}-{gone}-a", 20 * MINUTES),
        left(workspace.store, f"{stranger}-{mine}-b", 2 * DAYS),
        left(workspace.store, "1234-c", 2 * DAYS),
    ]
    kept = [
        left(workspace.store, f"{HOST}-{gone}-d", 1 * MINUTES),
        left(workspace.store, f"{HOST}-{mine}-e", 20 * HOURS),
        left(workspace.store, f"{stranger}-{gone}-f", 20 * HOURS),
    ]
    growing = left(workspace.store, f"{HOST}-{gone}-g", 2 * DAYS)
    (growing / "object" / "new").write_text("")
    outside = tmp_path / "outside"
    outside.mkdir()
    (workspace.store / "tmp" / "h").symlink_to(outside)
    assert workspace.build().computed == {}
    assert all(path.exists() for path in removed), "a build with nothing to do changes nothing"
    assert workspace.build("--set", "baseline.top_k=3", phase="baseline").computed == {"baseline": 3}
    assert not any(path.exists() for path in removed)
    assert all(path.exists() for path in (*kept, growing, outside))


def test_scratch_is_named_by_its_maker(tmp_path):
    """So that another process can tell whether it is in use; at its end it is gone."""
    store = Store(tmp_path).create()
    with store.scratch() as scratch:
        assert os.path.basename(scratch).startswith(f"{HOST}-{os.getpid()}-")
        assert store.sweep() == [] and os.path.isdir(scratch)
    assert os.listdir(store.path("tmp")) == []
