"""How much room a store takes, and what for."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from circuitstore.storage.actions import phases
from circuitstore.storage.files import listing
from circuitstore.storage.gc import JournalHead
from circuitstore.storage.layout import Store
from circuitstore.storage.reach import Reach, Reached, roots, size
from circuitstore.storage.records import read_named, record_paths


class Room(msgspec.Struct):
    """Files and bytes of something by its name; `own_bytes` are those that nothing else of its list needs."""

    name: str
    files: int = 0
    bytes: int = 0
    own_bytes: int = 0


class Usage(msgspec.Struct):
    """The keys of `du --json`.

    `parts` are the folders of a store, which add up to `files` and `bytes`. `names` are refs and tags with
    what their own artifacts consist of. `phases` and `behaviours` are sums over refs, in which what is shared
    is counted once. `ancestry` is what only the ancestors of named artifacts need, and `unnamed` what no name
    needs: what `gc` can free.
    """

    files: int
    bytes: int
    parts: list[Room]
    names: list[Room]
    phases: list[Room]
    behaviours: list[Room]
    ancestry: Room
    unnamed: Room


def usage(store: Store) -> Usage:
    """Measure a store. Raises StoreError, DamageError."""
    store.check()
    measure = _Measure(store)
    own, every = {}, set[str]()
    for name, key in roots(store).items():
        found = Reached()
        measure.reach.artifact(key, found, ancestry=False)
        own[name] = measure.paths(found)
        found = Reached()
        measure.reach.artifact(key, found)
        every |= measure.paths(found)
    refs = {name: paths for name, paths in own.items() if not name.startswith("tag ")}
    named = set[str]().union(*own.values())
    parts = [measure.part(entry) for entry in listing(store.root, store.root)]
    return Usage(
        files=sum(part.files for part in parts),
        bytes=sum(part.bytes for part in parts),
        parts=sorted(parts, key=lambda part: -part.bytes),
        names=measure.rooms(own),
        phases=measure.rooms(_grouped(refs, 2)),
        behaviours=measure.rooms(_grouped(refs, 1)),
        ancestry=measure.room("ancestry", every - named),
        unnamed=measure.room("unnamed", measure.collectable() - every),
    )


def _grouped(refs: dict[str, set[str]], part: int) -> dict[str, set[str]]:
    """The paths of refs by one part of their names."""
    found: dict[str, set[str]] = {}
    for name, paths in refs.items():
        found.setdefault(name.split("/")[part], set()).update(paths)
    return dict(sorted(found.items()))


class _Measure:
    """Sizes of what lies in a store; each path is looked at once."""

    def __init__(self, store: Store):
        self.store, self.reach = store, Reach(store)
        self._sizes: dict[str, tuple[int, int]] = {}
        self._journals: dict[str, set[str]] = {}  # object → paths of journals
        for phase in phases(store):
            for path in record_paths(store, "actions", phase):
                try:
                    journal = read_named(store, path, JournalHead)
                except FileNotFoundError:  # it was collected since
                    continue
                self._journals.setdefault(journal.object, set()).add(path)

    def paths(self, found: Reached) -> set[str]:
        """The files and folders of what was reached, journals with it."""
        journals = (self._journals.get(name, set()) for name in found.objects)
        return {
            *map(self.store.artifact, found.artifacts),
            *map(self.store.piece, found.pieces),
            *map(self.store.object, found.objects),
            *set[str]().union(*journals),
        }

    def collectable(self) -> set[str]:
        """All that `gc` looks at."""
        return {
            *record_paths(self.store, "artifacts"),
            *record_paths(self.store, "pieces", depth=1),
            *map(self.store.object, self.store.object_ids()),
            *set[str]().union(*self._journals.values()),
        }

    def part(self, entry: os.DirEntry[str]) -> Room:
        """What lies in one folder of the store."""
        return Room(entry.name, *size(entry.path))

    def room(self, name: str, paths: Iterable[str]) -> Room:
        """Files and bytes of some paths."""
        sizes = list(map(self._size, paths))
        return Room(name, sum(files for files, _ in sizes), sum(total for _, total in sizes))

    def rooms(self, groups: dict[str, set[str]]) -> list[Room]:
        """Those of each group, and how much of it is in no other."""
        uses: dict[str, int] = {}
        for paths in groups.values():
            for path in paths:
                uses[path] = uses.get(path, 0) + 1
        found = []
        for name, paths in groups.items():
            room = self.room(name, paths)
            room.own_bytes = self.room(name, (path for path in paths if uses[path] == 1)).bytes
            found.append(room)
        return found

    def _size(self, path: str) -> tuple[int, int]:
        if path not in self._sizes:
            self._sizes[path] = size(path) if os.path.lexists(path) else (0, 0)
        return self._sizes[path]
