"""Finding damage, naming it, and setting it aside so that a build recomputes exactly what was lost.

Every record's seal and whether it is the one that its name asks for, every manifest, every file's sha256, and
with `deep` every cell's content hash. Nothing is edited in place: the cells of a damaged object that still
have their content move to a new object with a journal of its own, and the damaged one goes to `quarantine/`.

Builds may run meanwhile. Records are read before objects, in the reverse of the order in which they are
published, so that what a record names was there before it. What somebody replaced since it was looked at is
looked at again, and never set aside.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from typing import TYPE_CHECKING

import msgspec

from circuitstore.errors import CircuitstoreError, DamageError, StoreError, UnreadableError
from circuitstore.storage.actions import Entry, Journal, write_journal
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.aside import set_aside, stamp_of
from circuitstore.storage.catalog import Kind, records
from circuitstore.storage.files import kind_of, listing
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import (
    Manifest,
    check_contents,
    check_files,
    present_files,
    quarantined,
    read_manifest,
)
from circuitstore.storage.records import Coords

if TYPE_CHECKING:
    import xarray as xr

LOOKS = 3  # at something that builders replace meanwhile


class LostCell(msgspec.Struct, frozen=True):
    """A cell whose content is gone, until the next build computes it again."""

    phase: str
    behaviour: str
    coords: Coords


class Damage(msgspec.Struct, frozen=True):
    """One thing that is not as it was written; the keys of `verify --json`."""

    path: str  # relative to the store
    problem: str
    cells: list[LostCell]
    kept: int  # cells of the same object that were intact and moved to a new one
    quarantined: bool
    remedy: str = "`circuitstore build` computes again what was lost"


class Report(msgspec.Struct):
    """What was looked at and what was found."""

    objects: int
    records: int
    damaged: list[Damage]


def verify(
    store: Store, *, deep: bool = False, progress: Callable[[int], None] = lambda done: None
) -> Report:
    """Check the whole store.

    Damage is set aside where the store can be written. Raises StoreError for what is no store.
    """
    store.check()
    found = _Found()
    problems: list[StoreError] = []
    for kind, path in records(store, problems):
        found.records += 1
        found.damages += _check_record(store, kind, path, found)
    names = _object_names(store, found.damages, problems)
    for name in names:
        found.damages += _check_object(store, name, deep, found)
        progress(1)
    found.damages += _missing_objects(store, set(names), found)
    for error in problems:
        found.damages.append(Damage(os.path.relpath(error.where, store.root), error.problem, [], 0, False))
    return Report(len(names), found.records, found.damages)


class _Found:
    """What the records of a store say, until objects are held against it."""

    def __init__(self) -> None:
        self.records, self.damages = 0, list[Damage]()
        self.journals: dict[str, list[Journal]] = {}  # by object
        self.needed: dict[str, None] = {}  # objects of named results
        self.claims: dict[str, list[tuple[str, int, str]]] = {}  # object → path of a record, row, content
        self.missing: set[str] = set()  # paths of pieces, and of artifacts that have tags

    def needed_record(self, store: Store, path: str) -> list[Damage]:
        """A record that another one needs. One that is there is named where it is looked at itself.

        The other one stays: it is whole again once a build, or a copy, has put there what it needs.
        """
        if path in self.missing or os.path.lexists(path):
            return []
        self.missing.add(path)
        return [Damage(os.path.relpath(path, store.root), "no such file", [], 0, False)]

    def add(self, path: str, kind: str, record: object) -> None:
        if isinstance(record, Artifact) and kind in ("ref", "tag"):
            self.needed.update(dict.fromkeys(record.objects))
        elif isinstance(record, Artifact):
            for cell in record.cells:
                self.claims.setdefault(cell.object, []).append((path, cell.row, cell.content))
        elif isinstance(record, Journal):
            self.journals.setdefault(record.object, []).append(record)
            claims = self.claims.setdefault(record.object, [])
            claims += [(path, cell.row, cell.content) for cell in record.cells]


def _check_record(store: Store, kind: Kind, path: str, found: _Found) -> list[Damage]:
    """Read one record, twice if it was replaced since."""
    for _ in range(LOOKS):
        stamp = stamp_of(path)
        try:
            found.add(path, kind.name, kind.read(store, path))
            return []
        except FileNotFoundError:
            return []
        except CircuitstoreError as error:
            problem = error
            elsewhere = error.where != path and error.where.startswith(store.path(""))
            if elsewhere and stamp == stamp_of(path):  # else it was collected meanwhile, with its pieces
                return found.needed_record(store, error.where)
        if stamp == stamp_of(path):
            break
    if isinstance(problem, UnreadableError):
        return [_unreadable(store, path, problem)]
    moved = set_aside(store, path, stamp)
    return [Damage(os.path.relpath(path, store.root), problem.problem, [], 0, moved is not None)]


def _unreadable(store: Store, path: str, error: UnreadableError) -> Damage:
    """What may be intact stays where it is, and its cells are not lost."""
    return Damage(os.path.relpath(path, store.root), error.problem, [], 0, False, error.remedy or "")


def _object_names(store: Store, damages: list[Damage], problems: list[StoreError]) -> list[str]:
    """The ids of all objects. What lies in the place of a folder of objects is set aside."""
    try:
        for entry in listing(store.root, store.path("objects")):
            if len(entry.name) == 2 and not entry.is_dir(follow_symlinks=False):
                got = kind_of(entry.stat(follow_symlinks=False).st_mode)
                moved = set_aside(store, entry.path, stamp_of(entry.path))
                path = os.path.relpath(entry.path, store.root)
                damages.append(Damage(path, f"expected a folder, got {got}", [], 0, moved is not None))
        return store.object_ids()
    except (DamageError, UnreadableError) as error:
        problems.append(error)
        return []


def _check_object(store: Store, name: str, deep: bool, found: _Found) -> list[Damage]:
    """What is wrong with one object, or with what records say of it."""
    path = store.object(name)
    for _ in range(LOOKS):
        stamp, problem = stamp_of(path), _problem(store, name, deep)
        if stamp == stamp_of(path):
            break
    if stamp is None:  # a builder is just putting a whole one in its place
        return []
    if isinstance(problem, UnreadableError):
        return [_unreadable(store, path, problem)]
    if problem is not None:
        told = problem.problem.replace(path + os.sep, "")
        return [_move_cells(store, name, told, found.journals.get(name, []), stamp)]
    cells = read_manifest(store, name).cells
    wrong = {
        path: f"row {row} of object {name[:12]}… does not hold {content[:12]}…"
        for path, row, content in found.claims.get(name, [])
        if cells[row : row + 1] != [content]
    }
    return [
        Damage(os.path.relpath(path, store.root), told, [], 0, bool(set_aside(store, path, stamp_of(path))))
        for path, told in wrong.items()
    ]


def _problem(store: Store, name: str, deep: bool) -> CircuitstoreError | None:
    """What is wrong with one object; None when nothing is."""
    try:
        manifest = read_manifest(store, name)
        check_files(store, manifest)
        check_contents(store, manifest)
        from circuitstore.storage.objects import ObjectReader

        opened = ObjectReader(store, name)
        if deep:
            opened.preload()
            for row in range(len(manifest.cells)):
                opened.check(row)
    except CircuitstoreError as error:
        return error
    return None


def _move_cells(
    store: Store, name: str, problem: str, known: list[Journal], stamp: tuple[int, ...] | None
) -> Damage:
    intact = _intact_rows(store, name, known)
    # First, for what is intact may belong under the same name.
    moved = set_aside(store, store.object(name), stamp)
    try:
        if moved is not None:
            _rescue(store, known, intact)
    except CircuitstoreError:
        os.rename(str(moved), store.object(name))
        moved = None
    path = os.path.relpath(store.object(name), store.root)
    return Damage(path, problem, _cells_of(known, intact), len(intact), moved is not None)


def _intact_rows(store: Store, name: str, known: list[Journal]) -> dict[int, xr.Dataset]:
    """Row → content of every cell that still hashes to what its journal says."""
    if not known:
        return {}
    from circuitstore.storage.listed import ListedFiles, cell_attributes
    from circuitstore.storage.objects import ObjectReader

    cells = {cell.row: cell for journal in known for cell in journal.cells}
    intact: dict[int, xr.Dataset] = {}
    try:
        files = present_files(store, store.object(name))
        rows = range(len(cell_attributes(ListedFiles(store.root, store.object(name), files))))
        contents = [cells[row].content if row in cells else "" for row in rows]
        coords = [cells[row].coords if row in cells else {} for row in rows]
        opened = ObjectReader(store, name, damaged_manifest=Manifest(name, contents, coords, files))
    except CircuitstoreError:
        return intact
    for row in (row for row in rows if row in cells):
        try:
            intact[row] = opened.cell(row)
        except CircuitstoreError:
            continue
    return intact


def _rescue(store: Store, known: list[Journal], intact: dict[int, xr.Dataset]) -> None:
    """Write the intact cells to a new object, with a journal for each old one."""
    from circuitstore.storage.objects import write_object

    for journal in known:
        cells = [cell for cell in journal.cells if cell.row in intact]
        if cells:
            rescued = write_object(store, [(cell.coords, intact[cell.row]) for cell in cells]).object
            entries = [Entry(c.key, c.coords, c.content, row, c.upstream) for row, c in enumerate(cells)]
            phase, behaviour = journal.phase, journal.behaviour
            write_journal(store, phase, behaviour, rescued, entries, journal.components, journal.provenance)


def _missing_objects(store: Store, present: set[str], found: _Found) -> list[Damage]:
    """Objects that a named result needs and that are gone. Those that were set aside were named then."""
    damages = []
    aside = {moved.rpartition("-")[0] for moved in quarantined(store)}
    for missing in (each for each in found.needed if each not in present and each not in aside):
        if os.path.lexists(store.object(missing)):  # a builder has put it there since
            continue
        lost = _cells_of(found.journals.get(missing, []))
        path = os.path.relpath(store.object(missing), store.root)
        damages.append(Damage(path, "no such object", lost, 0, False))
    return damages


def _cells_of(known: list[Journal], without: Container[int] = ()) -> list[LostCell]:
    """The cells that these journals say an object holds, but for these rows."""
    return [
        LostCell(journal.phase, journal.behaviour, cell.coords)
        for journal in known
        for cell in journal.cells
        if cell.row not in without
    ]
