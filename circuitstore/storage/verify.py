"""Finding damage, naming it, and setting it aside so that a build recomputes exactly what was lost.

Every record's seal, every manifest, every file's sha256, and with `deep` every cell's content hash. Nothing
is edited in place: the cells of a damaged object that still have their content move to a new object with a
journal of its own, and the damaged one goes to `quarantine/`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from typing import TYPE_CHECKING

import msgspec

from circuitstore.errors import CircuitstoreError, DamageError
from circuitstore.storage.actions import Entry, Journal, journals, phases, write_journal
from circuitstore.storage.artifact import read_artifact
from circuitstore.storage.catalog import records
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import (
    Manifest,
    check_files,
    file_sha256,
    has_links,
    quarantine,
    quarantined,
    read_manifest,
)
from circuitstore.storage.records import Coords, read_record
from circuitstore.storage.refs import Ref, names

if TYPE_CHECKING:
    import xarray as xr


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
    count, damages = _check_records(store)
    index = _journals_by_object(store)
    names = store.object_ids()
    for name in names:
        problem = _problem(store, name, deep)
        if problem is not None:
            damages.append(_set_aside(store, name, problem, index.get(name, [])))
        progress(1)
    damages += _missing_objects(store, set(names), index)
    return Report(len(names), count, damages)


def _check_records(store: Store) -> tuple[int, list[Damage]]:
    count = 0
    damages: list[Damage] = []
    for kind, path in records(store):
        count += 1
        try:
            read_record(path, kind.record)
        except FileNotFoundError:
            continue
        except DamageError as error:
            quarantined = _quarantine(store, path) is not None
            damages.append(Damage(os.path.relpath(path, store.root), str(error), [], 0, quarantined))
    return count, damages


def _journals_by_object(store: Store) -> dict[str, list[Journal]]:
    index: dict[str, list[Journal]] = {}
    for phase in phases(store):
        for journal in journals(store, phase):
            index.setdefault(journal.object, []).append(journal)
    return index


def _problem(store: Store, name: str, deep: bool) -> str | None:
    """What is wrong with one object; None when nothing is."""
    try:
        manifest = read_manifest(store, name)
        check_files(store, manifest)
        for file, (_, stated) in manifest.files.items():
            found = file_sha256(os.path.join(store.object(name), file))
            if found != stated:
                return f"{file}: expected sha256 {stated[:12]}…, got {found[:12]}…"
        if deep:
            from circuitstore.storage.objects import ObjectReader

            opened = ObjectReader(store, name).preload()
            for row in range(len(manifest.cells)):
                opened.cell(row)
    except (DamageError, OSError) as error:
        return str(error).replace(store.object(name) + os.sep, "")
    return None


def _set_aside(store: Store, name: str, problem: str, known: list[Journal]) -> Damage:
    intact = _intact_rows(store, name, known)
    moved = _quarantine(store, store.object(name))  # first, for what is intact may belong under the same name
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
    if not known or has_links(store.object(name)):
        return {}
    from circuitstore.storage.objects import ObjectReader

    cells = {cell.row: cell for journal in known for cell in journal.cells}
    rows = range(max(cells) + 1)
    contents = [cells[row].content if row in cells else "" for row in rows]
    coords = [cells[row].coords if row in cells else {} for row in rows]
    intact: dict[int, xr.Dataset] = {}
    try:
        opened = ObjectReader(store, name, damaged_manifest=Manifest(name, contents, coords, {}))
    except Exception:  # whatever zarr stumbles over in a damaged object
        return intact
    for row in cells:
        try:
            intact[row] = opened.cell(row)
        except Exception:
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


def _missing_objects(store: Store, present: set[str], index: dict[str, list[Journal]]) -> list[Damage]:
    """Objects that a named result needs and that are gone. Those that were set aside were named then."""
    needed: dict[str, None] = {}
    for name in names(store):
        try:
            ref = read_record(store.ref(*name), Ref)
            artifact = read_artifact(store, ref.artifact)
        except (DamageError, FileNotFoundError):
            continue
        needed.update(dict.fromkeys(artifact.objects if artifact else ()))
    damages = []
    aside = {moved.rpartition("-")[0] for moved in quarantined(store)}
    for missing in (each for each in needed if each not in present and each not in aside):
        lost = _cells_of(index.get(missing, []))
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


def _quarantine(store: Store, path: str) -> str | None:
    """Where a damaged file or folder was moved.

    None in a store that may not be written; the report names the damage all the same.
    """
    try:
        return quarantine(store, path)
    except OSError:
        return None
