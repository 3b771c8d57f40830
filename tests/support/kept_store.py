"""The stores that are committed, one of each format version, and how they were made.

`python tests/support/kept_store.py ZIP`, with the code of that version, built two prompts of the test model
up to `attribution`, and 300 items of `bench/plain_phases.py`.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

KEPT = Path(__file__).parents[1] / "storage" / "stores"
VERSIONS = [1, 2]
ITEMS, BATCH = 300, 150


def kept(version: int, folder: Path) -> Path:
    """The store of a version, unpacked."""
    with zipfile.ZipFile(KEPT / f"version-{version}.zip") as packed:
        packed.extractall(folder / "store")
    return folder / "store"


def make(target: Path) -> None:
    """Build a store and pack it."""
    from workspace import Workspace

    from bench.plain_phases import Items, build_plain

    platform.node, platform.platform = lambda: "example", lambda *_: "Linux"
    with tempfile.TemporaryDirectory() as scratch:
        work = Workspace.create(Path(scratch))
        work.write_prompts({"a": "the keys", "b": "the cat"})
        work.profile.write_text(work.profile.read_text() + "\n[attribution]\nmax_feature_nodes = 8\n")
        outcome = work.build()
        assert outcome.code == 0, outcome.err
        build_plain(Path(scratch) / "source", work.store, Items(ITEMS), BATCH)
        shutil.make_archive(str(target.with_suffix("")), "zip", work.store)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
