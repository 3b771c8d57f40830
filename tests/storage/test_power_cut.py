"""What a power cut could take: a record is only published when all that it names is on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.plain_phases import Items, build_plain

ORDER = ("objects", "actions", "pieces", "artifacts", "refs")  # what names something comes after it


class Disk:
    """Which files were flushed, and in which folders something has a name that a power cut would take."""

    def __init__(self, store: Path):
        self.store, self.flushed, self.loose = str(store), set[str](), set[str]()
        self.published: list[str] = []
        self._renames, self._mkdir = {"rename": os.rename, "replace": os.replace}, os.mkdir

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Hear all that changes names or flushes."""
        patch.setattr(os, "fsync", self._fsync)
        patch.setattr(os, "mkdir", self._making)
        for name, rename in self._renames.items():
            patch.setattr(
                os, name, lambda source, target, rename=rename: self._moving(rename, source, target)
            )

    def kind(self, path: str) -> int:
        """The place in `ORDER` of what lies at a path, -1 for anything else."""
        inside = os.path.relpath(path, self.store).split(os.sep)[0]
        return ORDER.index(inside) if inside in ORDER else -1

    def _fsync(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.flushed.add(path)
        self.loose.discard(path)

    def _making(self, path: str, *mode: int) -> None:
        self._mkdir(path, *mode)
        if self.kind(path) >= 0:
            self.loose.add(os.path.dirname(os.path.abspath(path)))

    def _moving(self, rename, source: str, target: str) -> None:
        kind = self.kind(target)
        if kind >= 0:
            inside = [os.path.join(at, name) for at, _, names in os.walk(source) for name in names] or [
                source
            ]
            assert not {*inside} - self.flushed, "published before its files were flushed"
            # A folder at the top of the store is made with the store, and holds what is of its kind.
            before = {folder for folder in self.loose if -1 < self.kind(folder) < kind}
            assert not before, f"{target} is published, and what it names may be lost"
            self.published.append(ORDER[kind])
        rename(source, target)
        if kind >= 0:
            self.loose.add(os.path.dirname(target))


def test_nothing_is_named_that_a_power_cut_would_take(tmp_path, monkeypatch):
    """Of a first build and of one cell more. At the end nothing is left that is not on the disk."""
    disk = Disk(tmp_path / "store")
    disk.patch(monkeypatch)
    for items in (Items(20), Items(20, (3,))):
        build_plain(tmp_path / "source", tmp_path / "store", items, 5)
        assert {folder for folder in disk.loose if disk.kind(folder) >= 0} == set()
        assert {*disk.published} == {*ORDER}
        disk.published.clear()
