"""Finding damage, naming it, and setting it aside so that a build recomputes exactly what was lost.

Every record's seal, every manifest, every file's sha256, and with `deep` every cell's content hash. Nothing
is edited in place: the cells of a damaged object that still have their content move to a new object with a
journal of its own, and the damaged one goes to `quarantine/`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import msgspec

from circuitstore.errors import CircuitstoreError, DamageError
from circuitstore.storage.actions import Entry, Journal, journal_paths, journals, phases, write_journal
from circuitstore.storage.artifact import Artifact, Ref, artifact_keys, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import (
    Manifest,
    check_files,
    file_sha256,
    has_links,
    quarantine,
    read_manifest,
)
from circuitstore.storage.pins import Pin, pin_paths
from circuitstore.storage.records import read_record
from circuitstore.storage.reviews import Review, review_paths

Coords = dict[str, str | int]


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
    """Check the whole store. Damage is set aside where the store can be written. Raises StoreError for what
    is no store.
    """
    store.check()
    records, damages = _check_records(store)
    index = _journals_by_object(store)
    names = store.object_ids()
    for name in names:
        problem = _problem(store, name, deep)
        if problem is not None:
            damages.append(_set_aside(store, name, problem, index.get(name, [])))
        progress(1)
    damages += _missing_objects(store, set(names), index)
    return Report(len(names), records, damages)


def _check_records(store: Store) -> tuple[int, list[Damage]]:
    count, damages = 0, []
    for path, kind in _records(store):
        count += 1
        try:
            read_record(path, kind)
        except FileNotFoundError:
            continue
        except DamageError as error:
            damages.append(
                Damage(
                    os.path.relpath(path, store.root), str(error), [], 0, _quarantine(store, path) is not None
                )
            )
    return count, damages


def _records(store: Store) -> Iterator[tuple[str, type]]:
    for phase in phases(store):
        yield from ((path, Journal) for path in journal_paths(store, phase))
    yield from ((store.artifact(key), Artifact) for key in artifact_keys(store))
    yield from ((store.ref(*names), Ref) for names in store.refs())
    yield from ((path, Review) for path in review_paths(store.path("inputs", "review")))
    yield from ((path, Pin) for path in pin_paths(store))


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
    path = os.path.relpath(store.object(name), store.root)
    intact = _intact_rows(store, name, known)
    lost = [
        LostCell(j.phase, j.behaviour, cell.coords)
        for j in known
        for cell in j.cells
        if cell.row not in intact
    ]
    place = _quarantine(store, store.object(name))  # first, for what is intact may belong under the same name
    try:
        if place is not None:
            _rescue(store, known, intact)
    except CircuitstoreError:
        os.rename(str(place), store.object(name))
        place = None
    return Damage(path, problem, lost, len(intact), place is not None)


def _intact_rows(store: Store, name: str, known: list[Journal]) -> dict[int, object]:
    """Row → content of every cell that still hashes to what its journal says."""
    if not known or has_links(store.object(name)):
        return {}
    from circuitstore.storage.objects import ObjectReader

    cells = {cell.row: cell for journal in known for cell in journal.cells}
    rows = range(max(cells) + 1)
    stated = Manifest(
        name,
        [cells[r].content if r in cells else "" for r in rows],
        [cells[r].coords if r in cells else {} for r in rows],
        {},
    )
    found: dict[int, object] = {}
    try:
        opened = ObjectReader(store, name, damaged_manifest=stated)
    except Exception:
        return found
    for row in cells:
        try:
            found[row] = opened.cell(row)
        except Exception:
            continue
    return found


def _rescue(store: Store, known: list[Journal], intact: dict) -> None:
    """Write the intact cells to a new object, with a journal for each old one."""
    from circuitstore.storage.objects import write_object

    for journal in known:
        cells = [cell for cell in journal.cells if cell.row in intact]
        if cells:
            manifest = write_object(store, [(cell.coords, intact[cell.row]) for cell in cells])
            entries = [Entry(c.key, c.coords, c.content, row, c.upstream) for row, c in enumerate(cells)]
            write_journal(
                store,
                journal.phase,
                journal.behaviour,
                manifest.object,
                entries,
                journal.components,
                journal.provenance,
            )


def _missing_objects(store: Store, present: set[str], index: dict[str, list[Journal]]) -> list[Damage]:
    """Objects that a named result needs and that are not there at all."""
    needed: dict[str, None] = {}
    for names in store.refs():
        try:
            ref = read_record(store.ref(*names), Ref)
            artifact = read_artifact(store, ref.artifact)
        except (DamageError, FileNotFoundError):
            continue
        for name in artifact.objects if artifact else ():
            needed[name] = None
    damages = []
    for name in needed:
        if name not in present:
            lost = [
                LostCell(j.phase, j.behaviour, cell.coords) for j in index.get(name, []) for cell in j.cells
            ]
            damages.append(
                Damage(os.path.relpath(store.object(name), store.root), "no such object", lost, 0, False)
            )
    return damages


def _quarantine(store: Store, path: str) -> str | None:
    try:
        return quarantine(store, path)
    except OSError:
        return None  # a store shared read-only: the report still names it
