"""Pushing: results of this store become results of another place.

A folder is pushed to by pulling there, so what arrives is checked and published as in any store. Any other
place gets files in the order of publishing: of objects their files and then their manifests, then journals,
leaves, nodes, artifacts, inputs, and names last. So a push that breaks off leaves nothing that is half there,
and the next one sends only what is missing. Everything is checked here before it is sent.

Several may push at once. Everything but names is named by what it holds, or kept as the first one sent it, so
nothing is lost. A name means what was pushed last, and what others pushed under it stays as an artifact.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping

from circuitstore.errors import DamageError, MissingError, StoreError, UnreadableError
from circuitstore.storage.actions import read_journal
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.files import damaged
from circuitstore.storage.format import VERSION, headless_store, stated
from circuitstore.storage.layout import BYSTANDERS, Store
from circuitstore.storage.manifest import MANIFEST, check_contents, check_files, read_manifest
from circuitstore.storage.records import record_paths
from circuitstore.storage.refs import Name, Ref, names, read_ref, referred
from circuitstore.storage.remote import (
    Folder,
    Group,
    fetch,
    folder_of,
    format_version,
    is_zip,
    place,
    refuse_other_file,
)
from circuitstore.storage.remote_fsspec import Remote
from circuitstore.storage.remote_kept import piece_path, ref_path, told_contents, told_newer, told_pins, whole
from circuitstore.storage.remote_pull import INPUTS, MOST_REF, pull
from circuitstore.storage.remote_work import Crew, Failed, Progress, Report, Wanted, told_version
from circuitstore.storage.scratch import Scratch
from circuitstore.storage.tree import Tree


def push(store: Store, url: str, wanted: Wanted, progress: Progress | None = None) -> Report:
    """Give results of a store to another place, where a store is made if there is none yet.

    Raises StoreError: something else lies there, or it cannot be written; MissingError: nothing of these
    names is here. What is damaged here, and stays here, is in the report.
    """
    store.check()
    refuse_other_file(url)
    if folder := folder_of(url):
        return pull(Store(folder).check_or_new(), Folder(store.root), wanted, progress)
    if is_zip(url):
        from circuitstore.storage.remote_zip import zipped

        with zipped(url) as file:
            return _push(store, file, wanted, progress)
    target = place(url)
    assert isinstance(target, Remote)
    return _push(store, target, wanted, progress)


def _push(store: Store, target: Remote, wanted: Wanted, progress: Progress | None) -> Report:
    chosen = wanted.of(names(store), store.root)
    there = target.sizes()
    raised = _check_store(target, there)
    # Not in the store, which may be one that can only be read.
    with Scratch(tempfile.gettempdir()) as scratch, Crew(target.threads, progress) as crew:
        report = _Push(store, target, there, scratch, crew).run(chosen, wanted)
    report.notes += [told_version(target.name)] if raised else []
    return report


def _check_store(target: Remote, there: Mapping[str, int]) -> bool:
    """Have a store of this version at a place; whether it was of an earlier one. Raises StoreError."""
    if "format.json" in there:
        if format_version(target) == VERSION:
            return False
    elif strangers := sorted({path.partition("/")[0] for path in there} - BYSTANDERS):
        raise headless_store({path.partition("/")[0] for path in there}, target.name) or StoreError(
            target.name,
            expected="an empty place or one with format.json",
            got=f"other files ({', '.join(strangers[:3])})",
            remedy="push to another one",
        )
    target.put({"format.json": f"{stated(VERSION)}\n".encode()})
    return "format.json" in there


class _Push:
    """One push under way."""

    def __init__(self, store: Store, target: Remote, there: Mapping[str, int], scratch: str, crew: Crew):
        self.store, self.target, self.there, self.crew = store, target, there, crew
        self.stage = Store(os.path.join(scratch, "stage"))  # records from there, to be compared
        self.report = Report()

    def run(self, chosen: Iterable[Name], wanted: Wanted) -> Report:
        """Send everything that is wanted, and all inputs that nobody can compute again."""
        refs = {name: ref for name in chosen if (ref := self._ref(name)) is not None}
        keys = dict.fromkeys(ref.artifact for ref in refs.values())
        artifacts = self._artifacts(keys, ancestry=wanted.with_inputs or not wanted.phases)
        objects = dict.fromkeys(name for artifact in artifacts.values() for name in artifact.objects)
        groups = [group for group in self.crew.files(self._object, objects) if group is not None]
        broken = {each.where for each in self.report.failed}
        sound = {
            key: artifact
            for key, artifact in artifacts.items()
            if not broken.intersection(map(_object_folder, artifact.objects))
        }
        self.crew.expect(sum(os.path.getsize(file) for group in groups for file in group.files.values()))
        self.target.send_all([group for group in groups if group.files], self.crew)
        self._records(sound, objects)
        self._inputs()
        self._names({name: ref for name, ref in refs.items() if ref.artifact in sound})
        return self.report

    def _ref(self, name: Name) -> Ref | None:
        """A ref here whose artifact is whole."""
        try:
            ref = read_ref(self.store, name)
            if ref is None:
                raise MissingError(str(name), got="nothing any more")
            if referred(self.store, name, ref) is None or whole(self.store, ref.artifact) is None:
                raise MissingError(
                    str(name), expected="all of its artifact", got="less", remedy="build again"
                )
            return ref
        except StoreError as error:
            self.report.failed.append(Failed(str(name), error.problem))
            return None

    def _artifacts(self, keys: Iterable[str], *, ancestry: bool) -> dict[str, Artifact]:
        """The artifacts of these keys, and with `ancestry` those that they were computed from, that may go.

        One under whose key there is another content already may not.
        """
        found: dict[str, Artifact] = {}
        waiting, known = list(keys), set(keys)
        while waiting:
            artifact = whole(self.store, waiting.pop())
            if artifact is None:  # of what was computed from it, only the ancestry is short
                continue
            found[artifact.key] = artifact
            above = [key for key in artifact.upstream.values() if ancestry and key not in known]
            known.update(above)
            waiting += above
        others = [key for key in found if f"artifacts/{key}.json" in self.there]
        for key, content in zip(others, self.crew.files(self._content_there, others), strict=True):
            if content not in ("", found[key].content):
                artifact = found.pop(key)
                name = f"{artifact.phase} of {artifact.behaviour}"
                self.report.notes.append(told_contents(name, self.target.name))
        return found

    def _content_there(self, key: str) -> str:
        """Content of the artifact of this key there; "" of one that is damaged, which is replaced."""
        try:
            self._stage(f"artifacts/{key}.json")
            artifact = read_artifact(self.stage, key)
            return artifact.content if artifact else ""
        except (DamageError, FileNotFoundError):
            return ""

    def _object(self, name: str) -> Group | None:
        """What is missing there of an object, checked here; None for one that is damaged here."""
        folder = _object_folder(name)
        try:
            manifest = read_manifest(self.store, name)
            files = {f"{folder}/{file}": size for file, (size, _) in manifest.files.items()}
            last = f"{folder}/{MANIFEST}"
            files[last] = os.path.getsize(self.store.path(*last.split("/")))
            missing = [path for path, size in files.items() if self.there.get(path) != size]
            if missing:
                check_files(self.store, manifest)
                check_contents(self.store, manifest)
        except (DamageError, UnreadableError) as error:
            with self.crew.lock:
                self.report.failed.append(Failed(folder, error.problem))
            return None
        if missing:
            with self.crew.lock:
                self.report.objects += 1
                self.report.bytes += sum(files[path] for path in missing)
        return Group(
            {path: self._here(path) for path in missing}, folder if len(missing) == len(files) else ""
        )

    def _records(self, artifacts: Mapping[str, Artifact], objects: Iterable[str]) -> None:
        """Send journals, leaves, nodes and artifacts, one kind after the other."""
        leaves: dict[str, None] = {}
        nodes: dict[str, None] = {}
        for artifact in artifacts.values():
            if isinstance(artifact.table, Tree):
                nodes.update(dict.fromkeys(node.name for node in artifact.table.nodes))
                leaves.update(dict.fromkeys(leaf.name for leaf in artifact.table.every_ref()))
        journals = self._journals({artifact.phase for artifact in artifacts.values()}, set(objects))
        tops = [f"artifacts/{key}.json" for key in artifacts]
        fresh = [path for path in tops if path not in self.there]
        damaged_there = [path for path in tops if path in self.there and not self._is_sound(path)]
        self.report.artifacts = len(fresh) + len(damaged_there)
        for wave in (journals, map(piece_path, leaves), map(piece_path, nodes)):
            self._send(path for path in wave if self.there.get(path) != self._size(path))
        self._send([*fresh, *damaged_there])

    def _is_sound(self, path: str) -> bool:
        return bool(self._content_there(os.path.basename(path).removesuffix(".json")))

    def _journals(self, phases: Iterable[str], objects: set[str]) -> list[str]:
        """Paths of the journals here that say what these objects hold."""
        found = []
        for phase in sorted(phases):
            for file in record_paths(self.store, "actions", phase):
                try:
                    if read_journal(self.store, file).object in objects:
                        found.append(f"actions/{phase}/{os.path.basename(file)}")
                except (DamageError, UnreadableError, FileNotFoundError):
                    continue  # `verify` names it
        return found

    def _inputs(self) -> None:
        """Send reviews, answers and pins that are not there."""
        for kind in INPUTS:
            files = record_paths(self.store, *kind.folder, depth=kind.depth, hashed=kind.hashed)
            fresh = []
            for file in files:
                path = os.path.relpath(file, self.store.root).replace(os.sep, "/")
                try:
                    own = kind.read(self.store, file)
                    if path not in self.there:
                        fresh.append(path)
                    elif kind.name == "pin":
                        self._stage(path)
                        if (other := kind.read(self.stage, self.stage.path(path))) != own:
                            note = told_pins(other, self.target.name, own, self.store.root)
                            self.report.notes.append(note)
                except (DamageError, UnreadableError, FileNotFoundError) as error:
                    self.report.failed.append(Failed(path, getattr(error, "problem", "gone meanwhile")))
            self._send(fresh)
            self.report.inputs += len(fresh)

    def _names(self, refs: Mapping[Name, Ref]) -> None:
        """Let names mean there what they mean here, unless they mean something newer."""
        moving = []
        for name, here in refs.items():
            path = ref_path(name)
            try:
                there = self._ref_there(name, path) if path in self.there else None
            except UnreadableError as error:
                self.report.failed.append(Failed(str(name), error.problem))
                continue
            if there is not None and (there.artifact, there.content) == (here.artifact, here.content):
                continue
            if there is not None and there.time_ns > here.time_ns:
                self.report.notes.append(told_newer(name, self.target.name))
                continue
            moving.append(path)
            self.report.refs.append(str(name))
        self._send(moving)

    def _ref_there(self, name: Name, path: str) -> Ref | None:
        try:
            self._stage(path, MOST_REF)
            return read_ref(self.stage, name)
        except (DamageError, FileNotFoundError):
            return None

    def _stage(self, path: str, most: int = 1 << 28) -> None:
        file = self.stage.path(*path.split("/"))
        os.makedirs(os.path.dirname(file), exist_ok=True)
        if not os.path.exists(file):
            fetch(self.target, path, file, most, self.crew.on_bytes)

    def _send(self, paths: Iterable[str]) -> None:
        self.target.send_all([Group({path: self._here(path)}) for path in paths], self.crew)

    def _here(self, path: str) -> str:
        return self.store.path(*path.split("/"))

    def _size(self, path: str) -> int:
        try:
            return os.path.getsize(self._here(path))
        except OSError:
            raise damaged(self._here(path), "a record", "no such file") from None


def _object_folder(name: str) -> str:
    return f"objects/{name[:2]}/{name}"
