"""A store of two phases of plain cells, part of which has no name any more."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from bench.plain_phases import Items, build_plain
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name
from circuitstore.storage.verify import verify

DAYS = 86400
COUNT, BATCH = 200, 20
FIRST, SECOND, OTHER = Items(COUNT), Items(COUNT, (3, 150)), Items(COUNT, tuple(range(COUNT)))
NAME = Name("plain", "plain", "second")


class Plain:
    """A store of two phases of plain cells, built twice: two cells of each phase have no name any more."""

    def __init__(self, root: Path):
        self.root, self.store = root, Store(root / "store")

    def build(self, items: Items, batch: int = BATCH) -> dict[str, int]:
        """How many cells of each phase are computed."""
        reports = build_plain(self.root / "source", Path(self.store.root), items, batch)
        return {phase: report.computed for phase, report in reports.items()}

    def age(self, days: float = 100) -> None:
        """All that lies in the store becomes that old."""
        for path in Path(self.store.root).rglob("*"):
            os.utime(path, (time.time() - days * DAYS,) * 2)

    def objects(self) -> set[str]:
        return set(self.store.object_ids())


@pytest.fixture(scope="module")
def plain_once(tmp_path_factory) -> Path:
    made = Plain(tmp_path_factory.mktemp("plain"))
    assert made.build(FIRST) == {"first": COUNT, "second": COUNT}
    assert made.build(SECOND) == {"first": 2, "second": 2}
    return made.root


@pytest.fixture
def plain(plain_once, tmp_path) -> Plain:
    """Everything in it is old."""
    made = Plain(Path(shutil.copytree(plain_once, tmp_path / "plain")))
    made.age()
    return made


def assert_whole(plain: Plain, items: Items) -> None:
    """Nothing is damaged, and a build of these items finds all of it."""
    assert verify(plain.store, deep=True).damaged == []
    assert plain.build(items) == {"first": 0, "second": 0}
