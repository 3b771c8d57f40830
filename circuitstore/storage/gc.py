"""Collecting garbage: deleting what no ref and no tag needs, unless it is young or a build uses it.

**What is kept.** All that is reached from refs and tags: artifacts, those they were made from, their pieces
and objects, and the journals of these objects. Besides, whatever is younger than the grace period, with all
that it names. Age is counted from the last time that something was written or held
(`circuitstore/storage/hold.py`), by the clock of the file system. What is dated in the future is young.
Reviews, answers, pins and quarantine are never looked at.

**Beside builds.** While a build is at work nothing counts as old that was written or held since it began. A
build holds what it takes from the store. To delete something is to move it out of the way first, and to look
at its time once more: what was held meanwhile is put back.

**Order.** Artifacts, pieces, journals, objects: what names something goes before it. So whatever a reader
finds is whole, also after a crash. Damage stops it, for what a damaged record names is not known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from circuitstore.storage import lease
from circuitstore.storage.actions import phases
from circuitstore.storage.files import sync
from circuitstore.storage.index import renew
from circuitstore.storage.layout import Store, is_hash
from circuitstore.storage.reach import Reach, Reached, roots, size
from circuitstore.storage.records import ENDING, read_named, record_paths
from circuitstore.storage.trash import Trash

GRACE_SECONDS = 14 * 86400.0
AGES = ((7, "less than a week"), (30, "less than a month"), (365, "less than a year"))
OLDER = "a year or more"


class Freed(msgspec.Struct):
    """What is deleted of one phase and one age; the phase of a piece of no artifact is ""."""

    phase: str
    age: str
    files: int = 0
    bytes: int = 0


class Kept(msgspec.Struct, frozen=True):
    """What one ref or tag keeps, with what it was made from; others may keep the same."""

    name: str
    artifacts: int
    objects: int
    bytes: int


class Report(msgspec.Struct):
    """What was deleted, or would be; the keys of `gc --json`.

    `young` is how many artifacts, pieces, journals and objects only their age protects, or a build. `builds`
    are those at work.
    """

    dry_run: bool
    grace_seconds: float
    builds: list[str]
    files: int = 0
    bytes: int = 0
    freed: list[Freed] = []
    kept: list[Kept] = []
    young: int = 0
    scratch: list[str] = []


Known = list[tuple[str, str]]  # path and phase of each journal of an object


class JournalHead(msgspec.Struct, frozen=True):
    """The part of a journal that says what it is about."""

    phase: str
    object: str


def collect(
    store: Store,
    *,
    grace: float = GRACE_SECONDS,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Delete what no ref and no tag needs and is older than `grace` seconds; with `dry_run` only count it.

    `progress` hears of the objects that were looked at. Raises StoreError, and DamageError before anything
    that a damaged record may need is deleted.
    """
    store.check()
    if dry_run:
        return _Collector(store, grace, None, time.time()).run(progress)
    try:
        with store.scratch() as trash:
            clock = os.path.join(trash, "clock")
            with open(clock, "xb"):
                pass
            now = os.stat(clock).st_mtime
            report = _Collector(store, grace, trash, now).run(progress)
        report.scratch = store.sweep()
        lease.sweep(store, now)
    except OSError as error:
        raise store.unwritable(error) from error
    return report


class _Collector:
    """One collection. Nothing is deleted without a `folder` for what is moved out of the way."""

    def __init__(self, store: Store, grace: float, folder: str | None, now: float):
        self.store, self.now = store, now
        running = lease.builds(store, now)  # before refs are read: a build that ends meanwhile counts
        self.trash = Trash(folder, min([now - grace, *(began for _, began in running)]))
        self.report = Report(folder is None, grace, [str(holder) for holder, _ in running])
        self.reach, self.reached = Reach(store), Reached()
        self._freed: dict[tuple[str, str], Freed] = {}
        self._phases: dict[str, str] = {}  # piece → phase of an artifact that is deleted

    def run(self, progress: Callable[[int], None]) -> Report:
        """Mark, then delete."""
        for name, key in roots(self.store).items():
            found = Reached()
            self.reach.artifact(key, found)
            self.reached.add(found)
            self.report.kept.append(Kept(name, len(found.artifacts), len(found.objects), self._bytes(found)))
        self._artifacts()
        self._pieces()
        journals = self._journals()
        self._objects(journals, progress)
        self.report.freed = sorted(self._freed.values(), key=lambda freed: (freed.phase, freed.age))
        return self.report

    def _artifacts(self) -> None:
        """Delete artifacts. What a young one names is kept as if it had a name."""
        for path, key in self._condemned("artifacts", 0, self.reached.artifacts, self._keep_artifact):
            phase, found = self.reach.phase(key), Reached()
            self.reach.artifact(key, found, ancestry=False)
            self._phases.update(dict.fromkeys(found.pieces, phase))
            if not self._delete(path, phase):
                self._keep_artifact(key)
        self._flush("artifacts")

    def _keep_artifact(self, key: str) -> None:
        self.reach.artifact(key, self.reached)

    def _pieces(self) -> None:
        """Delete nodes and leaves."""
        folders = set()
        for path, name in self._condemned("pieces", 1, self.reached.pieces, self._keep_piece):
            folders.add(os.path.join("pieces", name[:2]))
            if not self._delete(path, self._phases.get(name, "")):
                self._keep_piece(name)
        self._flush(*folders)

    def _keep_piece(self, name: str) -> None:
        self.reach.piece(name, self.reached)

    def _condemned(
        self, folder: str, depth: int, kept: set[str], keep: Callable[[str], None]
    ) -> Iterator[tuple[str, str]]:
        """Path and name of each record that is not kept, after the young ones were."""
        old = []
        for path in record_paths(self.store, folder, depth=depth):
            name = os.path.basename(path).removesuffix(ENDING)
            if name in kept or not is_hash(name):
                continue
            if self.trash.young(path):
                self.report.young += 1
                keep(name)
            else:
                old.append((path, name))
        yield from (each for each in old if each[1] not in kept)

    def _journals(self) -> dict[str, Known]:
        """The journals of each object that is not kept, after the young ones kept theirs."""
        found: dict[str, Known] = {}
        for phase in phases(self.store):
            for path in record_paths(self.store, "actions", phase):
                try:
                    journal = read_named(self.store, path, JournalHead)
                except FileNotFoundError:
                    continue
                if journal.object not in self.reached.objects and self.trash.young(path):
                    self.report.young += 1
                    self.reached.objects.add(journal.object)
                found.setdefault(journal.object, []).append((path, phase))
        return {name: each for name, each in found.items() if name not in self.reached.objects}

    def _objects(self, journals: Mapping[str, Known], progress: Callable[[int], None]) -> None:
        """Delete objects, and journals of objects that are gone."""
        present = set(self.store.object_ids())
        changed = set()
        progress(len(present & self.reached.objects))
        for name in sorted({*present, *journals} - self.reached.objects):
            progress(int(name in present))
            known = journals.get(name, [])
            if name in present and self.trash.young(self.store.object(name)):
                self.report.young += 1
            else:
                self._object(name, known)
                changed |= {phase for _, phase in known}
        for phase in changed if self.trash.folder else ():
            renew(self.store, phase)

    def _object(self, name: str, known: Known) -> None:
        """Delete an object, after its journals, which come back if somebody holds it."""
        path, held = self.store.object(name), True
        moved = list[tuple[str, str, str]]()
        try:
            moved += ((self.trash.move(journal), journal, phase) for journal, phase in known)
            self._flush(*(os.path.join("actions", phase) for _, phase in known))
            held = os.path.lexists(path) and not self._delete(path, known[0][1] if known else "")
        finally:  # also when this is interrupted
            for aside, journal, phase in moved:
                if held:
                    self.trash.put_back(aside, journal)
                else:
                    self._count(aside or journal, phase)
                    self.trash.discard(aside)

    def _delete(self, path: str, phase: str) -> bool:
        """Delete a file or folder; False if somebody holds it."""
        deleted = self.trash.delete(path, lambda aside: self._count(aside, phase))
        self.report.young += not deleted
        return deleted

    def _age(self, path: str) -> str:
        try:
            days = (self.now - os.lstat(path).st_mtime) / 86400
        except OSError:
            days = 0
        return next((told for most, told in AGES if days < most), OLDER)

    def _count(self, path: str, phase: str) -> None:
        age = self._age(path)
        files, total = size(path)
        row = self._freed.setdefault((phase, age), Freed(phase, age))
        row.files += files
        row.bytes += total
        self.report.files += files
        self.report.bytes += total

    def _bytes(self, found: Reached) -> int:
        """Of the artifacts, pieces and objects."""
        paths = [
            *map(self.store.artifact, found.artifacts),
            *map(self.store.piece, found.pieces),
            *map(self.store.object, found.objects),
        ]
        return sum(size(path)[1] for path in paths if os.path.lexists(path))

    def _flush(self, *folders: str) -> None:
        """Have what was moved out of folders on the disk, before what it named goes."""
        for folder in dict.fromkeys(folders):
            if self.trash.folder and os.path.isdir(self.store.path(folder)):
                sync(self.store.path(folder))
