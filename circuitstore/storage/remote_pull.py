"""Pulling: results of another place become results of this store.

What arrives lies in a store of its own below `tmp/` first. There the readers of the format check it as they
check any store: sizes, seals, hashes, names, and whether a record is the one that was asked for. What is in
order is published as a builder publishes, objects first and names last, so a pull that is killed leaves
nothing that is half there, and the next one takes only what is missing.

Nothing here is replaced by something else from there. An artifact under a key that is here stays; an input
that nobody can compute again is added to those that are here; a name that means something newer here keeps
its meaning.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

from circuitstore.errors import CircuitstoreError, DamageError, LimitError, MissingError, UnreadableError
from circuitstore.storage.actions import read_journal
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.catalog import KINDS, Kind, lies
from circuitstore.storage.files import MOST_BYTES, damaged, sync
from circuitstore.storage.format import VERSION
from circuitstore.storage.hold import hold_all
from circuitstore.storage.layout import Store
from circuitstore.storage.lease import Lease
from circuitstore.storage.manifest import (
    MANIFEST,
    check_contents,
    check_files,
    intact,
    intact_cells,
    read_manifest,
)
from circuitstore.storage.objects import publish_object
from circuitstore.storage.records import expect
from circuitstore.storage.refs import Name, read_ref
from circuitstore.storage.remote import Folder, fetch, format_version
from circuitstore.storage.remote_fsspec import Remote
from circuitstore.storage.remote_kept import (
    own_record,
    piece_path,
    ref_path,
    told_contents,
    told_newer,
    told_pins,
    whole,
)
from circuitstore.storage.remote_names import names_in
from circuitstore.storage.remote_work import Crew, Failed, Progress, Report, Wanted, told_version
from circuitstore.storage.tree import PIECE_BYTES, Tree

RECORDS = {kind.name: kind for kind in KINDS}
INPUTS = [kind for kind in KINDS if kind.folder[0] == "inputs"]
MOST_REF = 1 << 16
P = ParamSpec("P")
T = TypeVar("T")


def pull(store: Store, place: Folder | Remote, wanted: Wanted, progress: Progress | None = None) -> Report:
    """Take results from another place into a store, which is made if there is none yet.

    Raises StoreError: no store there, or this one cannot be written; MissingError: nothing of these names.
    What does not travel because it is damaged there is in the report.
    """
    format_version(place)
    chosen = wanted.of(names_in(place), place.name)
    raised = store.exists() and store.version() != VERSION
    store.create().sweep()
    try:
        with Lease(store), store.scratch() as scratch, Crew(place.threads, progress) as crew:
            report = Pull(store, place, scratch, crew).run(chosen, wanted)
    except OSError as error:
        raise store.unwritable(error) from error
    report.notes += [told_version(store.root)] if raised else []
    return report


class Pull:
    """One pull under way."""

    def __init__(self, store: Store, place: Folder | Remote, scratch: str, crew: Crew):
        self.store, self.place, self.crew = store, place, crew
        self.stage = Store(os.path.join(scratch, "stage"))  # what arrived, as a store, to be checked
        self.report = Report()
        self._drafts = os.path.join(scratch, "drafts")
        os.makedirs(self._drafts)
        self._here: set[str] = set()  # staged records that are here, and as they should be
        self._journals: dict[str, dict[str, list[str]]] = {}  # phase → object → paths

    def run(self, names: Sequence[Name], wanted: Wanted) -> Report:
        """Take the results of these names, and all inputs that nobody can compute again."""
        self.inputs()
        self.those_that_come([ref_path(name) for name in names], MOST_REF)
        refs = {name: ref for name in names if (ref := self._tried(str(name), read_ref, self.stage, name))}
        keys = list(dict.fromkeys(ref.artifact for ref in refs.values()))
        self.artifacts(keys, ancestry=wanted.with_inputs or not wanted.phases)
        for name in refs:
            self._tried(str(name), self._point, name)
        return self.report

    def artifacts(self, keys: Sequence[str], *, ancestry: bool) -> None:
        """Take artifacts, and with `ancestry` those that they were computed from."""
        known = set(keys)
        while keys:
            taken = self.crew.artifacts(
                lambda key: self._tried(f"artifact {key[:12]}…", self.take, key), keys
            )
            above = [key for each in taken if each is not None for key in each.upstream.values()]
            keys = [key for key in dict.fromkeys(above) if ancestry and key not in known]
            known.update(keys)

    def take(self, key: str) -> Artifact | None:
        """Have an artifact here, with all that reading it needs; None if it is not there either.

        Raises StoreError, DamageError.
        """
        here = whole(self.store, key)
        if here is not None and hold_all([self.store.artifact(key)]):
            return here
        path = f"artifacts/{key}.json"
        try:
            self._get(path, MOST_BYTES)
        except FileNotFoundError:
            return None
        artifact = read_artifact(self.stage, key)
        assert artifact is not None
        leaves, nodes = self._pieces(artifact)
        cells = artifact.cells  # which proves them
        artifact.table.check_cut(cells)
        if not cells:
            raise damaged(self.stage.path(path), "cells", "none")
        self.crew.files_once(self.object, artifact.objects)
        held = {name: intact_cells(self.store, name) or [] for name in artifact.objects}
        if any(held[cell.object][cell.row : cell.row + 1] != [cell.content] for cell in cells):
            raise damaged(self.stage.path(path), "rows that hold what it says", "others")
        self.publish(self.journals(artifact.phase, artifact.objects))
        for paths in (leaves, nodes, [path]):
            self.publish(paths)
        with self.crew.lock:
            self.report.artifacts += 1
        return artifact

    def journals(self, phase: str, objects: Iterable[str]) -> list[str]:
        """Paths of the journals there, but not here, that say what these objects hold; checked and staged."""
        with self.crew.lock:
            known = self._journals.get(phase)
        if known is None:
            kind, known = RECORDS["journal"], {}
            paths = [path for path in self.place.sizes(f"actions/{phase}") if lies(kind, path)]
            for path in self.those_that_come(paths):
                journal = self._tried(path, read_journal, self.stage, self.stage.path(path))
                if journal is not None:
                    known.setdefault(journal.object, []).append(path)
            with self.crew.lock:
                self._journals[phase] = known
        every = [path for name in objects for path in known.get(name, [])]
        return [path for path in every if not os.path.lexists(self.store.path(path))]

    def inputs(self) -> bool:
        """Take reviews, answers and pins that are not here; whether there were any."""
        sizes = self.place.sizes("inputs")
        for kind in INPUTS:
            for path in (path for path in sizes if lies(kind, path)):
                self._tried(path, self._input, kind, path)
        return self.report.inputs > 0

    def _input(self, kind: Kind, path: str) -> None:
        final = self.store.path(path)
        here = os.path.lexists(final)
        if here and kind.name != "pin":  # what lies under the same name is the same, or came first
            return
        self._get(path, MOST_BYTES)
        there = kind.read(self.stage, self.stage.path(path))
        if not here:
            self.publish([path])
            self.report.inputs += 1
        elif (own := kind.read(self.store, final)) != there:
            self.report.notes.append(told_pins(own, self.store.root, there, self.place.name))

    def _pieces(self, artifact: Artifact) -> tuple[list[str], list[str]]:
        """Paths of the leaves and nodes of an artifact, all of them staged."""
        if not isinstance(artifact.table, Tree):
            return [], []
        nodes = [piece_path(node.name) for node in artifact.table.nodes]
        self.ensure(nodes, PIECE_BYTES)
        leaves = [piece_path(leaf.name) for leaf in artifact.table.every_ref()]
        self.ensure(leaves, PIECE_BYTES)
        return leaves, nodes

    def object(self, name: str) -> None:
        """Have one object here."""
        if intact(self.store, name) and hold_all([self.store.object(name)]):
            return
        folder = f"objects/{name[:2]}/{name}"
        try:
            self._get(f"{folder}/{MANIFEST}", MOST_BYTES)
            manifest = read_manifest(self.stage, name)
            size = sum(size for size, _ in manifest.files.values())
            if size > (free := self.store.free_bytes()):
                raise LimitError(
                    f"object {name[:12]}… of {self.place.name}",
                    expected=f"at most the {free} bytes that are free here",
                    got=f"{size} bytes",
                )
            self.crew.expect(size)
            for file, (length, _) in manifest.files.items():
                target = self.stage.path(folder, *file.split("/"))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                fetch(self.place, f"{folder}/{file}", target, length, self.crew.on_bytes, exactly=True)
        except FileNotFoundError as error:
            raise damaged(self.stage.path(folder), "an object with all its files", "no such file") from error
        check_files(self.stage, manifest)
        check_contents(self.stage, manifest)
        for path in (*manifest.files, MANIFEST):
            sync(os.path.join(self.stage.object(name), *path.split("/")))
        publish_object(self.store, self.stage.object(name), name)
        with self.crew.lock:
            self.report.objects += 1
            self.report.bytes += size + os.path.getsize(os.path.join(self.store.object(name), MANIFEST))

    def _point(self, name: Name) -> None:
        """Let a name mean what it means there, unless it means something newer here."""
        there = read_ref(self.stage, name)
        assert there is not None
        try:
            here = read_ref(self.store, name)
        except DamageError:
            here = None
        if here is not None and (here.artifact, here.content) == (there.artifact, there.content):
            return
        artifact = read_artifact(self.store, there.artifact)
        if artifact is None:  # why, is told already, or:
            if not any(there.artifact[:12] in failed.where for failed in self.report.failed):
                raise MissingError(str(name), expected="its artifact", got="none")
            return
        if artifact.content != there.content:
            self.report.notes.append(told_contents(str(name), self.store.root))
        elif here is not None and here.time_ns >= there.time_ns:
            self.report.notes.append(told_newer(name, self.store.root))
        else:
            expect(self.stage.ref(*name), "phase", name.phase, artifact.phase)
            self.publish([ref_path(name)])
            self.report.refs.append(str(name))

    def ensure(self, paths: Iterable[str], most: int) -> None:
        """Have files of at most so many bytes in the stage."""
        self.crew.files(lambda path: self._get(path, most), paths)

    def those_that_come(self, paths: Sequence[str], most: int = MOST_BYTES) -> list[str]:
        """Have files in the stage; those that are there then. The report names the others."""
        try:
            self.ensure(paths, most)
        except (DamageError, UnreadableError, FileNotFoundError):
            for path in paths:
                self._tried(path, self._get, path, most)
        return [path for path in paths if os.path.lexists(self.stage.path(path))]

    def _get(self, path: str, most: int) -> None:
        """Have a file in the stage: from here, if its name says what it holds, else from there."""
        target = self.stage.path(*path.split("/"))
        if os.path.lexists(target):
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        draft = os.path.join(self._drafts, os.urandom(8).hex())
        if (own := own_record(self.store, path)) is not None:
            with open(draft, "xb") as file:
                file.write(own)
            self._here.add(path)
        else:
            fetch(self.place, path, draft, most, self.crew.on_bytes)
        os.replace(draft, target)

    def publish(self, paths: Iterable[str]) -> None:
        """Make staged records visible under the same paths here, those that are not."""
        drafts = {}
        for path in filter(lambda path: path not in self._here, paths):
            draft = os.path.join(self._drafts, os.urandom(8).hex())
            shutil.copyfile(self.stage.path(path), draft)  # a copy: others may still read the staged file
            drafts[self.store.path(path)] = draft
        self.store.publish_all(drafts)

    def fail(self, what: str, error: CircuitstoreError | FileNotFoundError) -> None:
        """Tell of something that is damaged there."""
        gone = f"gone from {self.place.name} meanwhile"
        problem = gone if isinstance(error, FileNotFoundError) else error.problem
        with self.crew.lock:
            self.report.failed.append(Failed(what, problem.replace(self.stage.root, self.place.name)))

    def _tried(self, what: str, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | None:
        """What a function returns; None, and a line in the report, if what it got from there is damaged."""
        try:
            return function(*arguments, **named)
        except (FileNotFoundError, DamageError, UnreadableError, MissingError, LimitError) as error:
            self.fail(what, error)
        return None
