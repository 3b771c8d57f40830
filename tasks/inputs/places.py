"""Where a profile's model or transcoders are: a local folder or a repository of the Hugging Face hub, behind
one interface.

A place says what its files are (`identity`, cheap), whether they can be had (`check`), and where they lie
(`fetch`, which downloads). Of transcoders only those of some layers need be had; what they are is always told
of all. A repository's revision is taken for one commit by each store, see `circuitstore.storage.pins`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container
from functools import partial
from typing import TYPE_CHECKING, Any

from circuitstore.errors import UsageError
from circuitstore.memo import shared
from circuitstore.models import identity
from circuitstore.storage.layout import Store
from circuitstore.storage.pins import Pin, pins, unpin, write_pin

if TYPE_CHECKING:
    from circuitstore.hub.cache import Snapshot

FIELDS = ("path", "repo")
Layers = Container[int] | None  # those whose transcoders are needed; None for all
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PARTS = rf"{_PART}(/{_PART})*"
PATTERNS = {
    "repo": (rf"({_PART}/)?{_PART}", "OWNER/NAME"),
    "revision": (_PARTS, "a branch, tag or commit"),
    "subfolder": (_PARTS, "a folder inside"),
}
REFERENCE = rf"(?P<repo>{_PART}/{_PART})(/(?P<subfolder>{_PARTS}))?(@(?P<revision>{_PARTS}))?"


def place(text: str) -> dict[str, str]:
    """The table that names a folder or, where there is none, a repository: OWNER/NAME, with /SUBFOLDER and
    @REVISION if need be.
    """
    named = re.fullmatch(REFERENCE, text)
    if os.path.isdir(text) or named is None:
        return {"path": os.path.abspath(text)}
    return {field: value for field, value in named.groupdict().items() if value}


def check_place(table: Any, section: str, profile: str) -> None:
    """Raise UsageError unless a profile's table names one place, as it is written there."""
    where = f"({profile} or --set)"
    if bool(table.path) == bool(table.repo):
        raise UsageError(
            f"{section} {where}", expected="either path or repo", got="both" if table.path else "neither"
        )
    if table.path and table.revision != "main":
        raise UsageError(f"{section} {where}", expected="revision only beside repo", got=repr(table.revision))
    for field, (pattern, meaning) in PATTERNS.items():
        if (value := getattr(table, field, "")) and not re.fullmatch(pattern, value):
            raise UsageError(f"{section}.{field} {where}", expected=meaning, got=repr(value))


def place_of(table: Any, store: str) -> Folder | Repository:
    """The place that a table of a profile names."""
    subfolder = getattr(table, "subfolder", "")
    if table.repo:
        return Repository(table.repo, table.revision, subfolder, Store(store))
    return Folder(os.path.join(table.path, *subfolder.split("/")) if subfolder else table.path, Store(store))


class Folder:
    """A local folder. Only transcoders whose config.yaml lists addresses of the hub need anything else."""

    def __init__(self, path: str, store: Store):
        self.path, self.store = path, store

    def identity(self, kind: str) -> dict[str, Any]:
        """Digests of all files of a "model", "tokenizer" or "transcoders". Raises ModelError."""
        found = getattr(identity, f"{kind}_identity")(self.path, shared())
        if kind == "transcoders" and (away := self._away()):
            found["files"] |= {home.address(name): home.files[name].digest for home, name in away}
        return found

    def config(self) -> dict[str, Any]:
        """The model's config.json. Raises ModelError."""
        return identity.read_config(self.path)

    def transcoder_config(self) -> dict[str, Any]:
        """The transcoders' config.yaml, empty when there is none. Raises ModelError."""
        return _layout().read_config(self.path)

    def check(self, kind: str, layers: Layers = None) -> list[str]:
        """Whether all files can be had; what a user should know. Raises ModelError."""
        return _hub().check(self._away(layers)) if kind == "transcoders" else []

    def here(self, kind: str, layers: Layers = None) -> bool:
        """Whether nothing has to be downloaded."""
        return kind != "transcoders" or not any(home.missing([name]) for home, name in self._away(layers))

    def fetch(self, kind: str, layers: Layers = None) -> tuple[str, list[str]]:
        """The folder, and for transcoders the file of each layer, or none for those that `Transcoders.open`
        finds. Raises ModelError.
        """
        if kind != "transcoders" or not (linked := self._linked()):
            return self.path, []
        _hub().fetch(self._away(layers), shared())
        entries = _layout().listed(self.transcoder_config(), self.path) or []
        places = {index: home.path(name) for index, (home, name) in linked.items()}
        return self.path, [
            places.get(index, os.path.join(self.path, entry.path)) for index, entry in enumerate(entries)
        ]

    def pin(self, kind: str) -> None:
        """Make the store keep what revisions were taken for. Raises StoreError."""
        if kind == "transcoders":
            _pin_linked(self.store, [home for home, _ in self._linked().values()])

    def _away(self, layers: Layers = None) -> list[tuple[Snapshot, str]]:
        """The files of the hub that these layers, or all, have. Raises ModelError."""
        chosen = [layer for index, layer in self._linked().items() if layers is None or index in layers]
        return [part for layer in chosen for part in _hub().parts(layer)]

    def _linked(self) -> dict[int, tuple[Snapshot, str]]:
        """Layer → file of the hub, for those that config.yaml lists and that do not lie in the folder. Raises
        ModelError.
        """
        path = os.path.join(self.path, "config.yaml")
        if not os.path.isfile(path) or b"hf://" not in identity.read_bytes(path):
            return {}
        entries = _layout().listed(self.transcoder_config(), path) or []
        away = {
            i: e
            for i, e in enumerate(entries)
            if e.repo and not os.path.isfile(os.path.join(self.path, e.path))
        }
        sources = {(entry.repo, entry.revision) for entry in away.values()}
        homes = {
            (repo, revision): _hub().find(repo, revision or "main", partial(pinned, self.store))
            for repo, revision in sources
        }
        found = {i: (homes[entry.repo, entry.revision], entry.path) for i, entry in away.items()}
        for home, name in found.values():
            _hub().known(home, [name])
        return found


class Repository:
    """A repository of the hub at a revision."""

    def __init__(self, repo: str, revision: str, subfolder: str, store: Store):
        self.repo, self.revision, self.subfolder, self.store = repo, revision, subfolder, store

    def identity(self, kind: str) -> dict[str, Any]:
        """Repository, commit, and digests of all files, as this store took them before, else as they are now.
        Raises ModelError.
        """
        for pin in pins(self.store):
            if (pin.kind, pin.repo, pin.revision, pin.subfolder) == (
                kind,
                self.repo,
                self.revision,
                self.subfolder,
            ):
                return pin.identity
        return _hub().identity(self.snapshot(), kind, self.subfolder, partial(pinned, self.store))

    def config(self) -> dict[str, Any]:
        """The model's config.json. Raises ModelError."""
        return _hub().read_json(self.snapshot(), _hub().CONFIG)

    def transcoder_config(self) -> dict[str, Any]:
        """The transcoders' config.yaml, empty when there is none. Raises ModelError."""
        return _hub().transcoder_config(self.snapshot(), self.subfolder)

    def check(self, kind: str, layers: Layers = None) -> list[str]:
        """Whether all files can be had; what a user should know. Raises ModelError."""
        return _hub().check(self._files(kind, layers))

    def here(self, kind: str, layers: Layers = None) -> bool:
        """Whether nothing has to be downloaded."""
        return not any(home.missing([name]) for home, name in self._files(kind, layers))

    def fetch(self, kind: str, layers: Layers = None) -> tuple[str, list[str]]:
        """The folder of the downloaded files, and for transcoders the file of each layer, here or not. Raises
        ModelError.
        """
        _hub().fetch(self._files(kind, layers), shared())
        snapshot, known = self.snapshot(), partial(pinned, self.store)
        listed = _hub().transcoder_list(snapshot, self.subfolder, known) if kind == "transcoders" else []
        return os.path.join(snapshot.folder, *filter(None, self.subfolder.split("/"))), [
            home.path(name) for home, name in listed
        ]

    def pin(self, kind: str) -> None:
        """Make the store keep what the revision was taken for. Raises ModelError, StoreError."""
        snapshot, found = self.snapshot(), self.identity(kind)
        linked = [
            home for home, _ in self._files(kind) if (home.repo, home.commit) != (self.repo, snapshot.commit)
        ]
        _pin_linked(self.store, linked)
        write_pin(self.store, Pin(kind, self.repo, self.revision, self.subfolder, snapshot.commit, found))

    def follow(self) -> tuple[str, str]:
        """(commit so far, "" for none, commit on the hub now), which the store takes the revision for from
        now on. Raises ModelError.
        """
        from circuitstore.hub import cache as hub_cache

        if hub_cache.is_commit(self.revision):
            return self.revision, self.revision
        before = pinned(self.store, self.repo, self.revision) or hub_cache.commit_of(self.repo, self.revision)
        after = _hub().follow(self.repo, self.revision)
        if after != before:
            unpin(self.store, self.repo, self.revision)
        return before, after

    def snapshot(self) -> Snapshot:
        """The repository at the commit that its revision is taken for. Raises ModelError."""
        return _hub().find(self.repo, self.revision, partial(pinned, self.store))

    def _files(self, kind: str, layers: Layers = None) -> list[tuple[Snapshot, str]]:
        return _hub().files(self.snapshot(), kind, self.subfolder, partial(pinned, self.store), layers)


def pinned(store: Store, repo: str, revision: str) -> str:
    """The commit that this store takes a revision for; "" when it has none."""
    return next((pin.commit for pin in pins(store) if (pin.repo, pin.revision) == (repo, revision)), "")


def _pin_linked(store: Store, homes: list[Snapshot]) -> None:
    for home in {home.address(""): home for home in homes if home.revision != home.commit}.values():
        write_pin(store, Pin("linked", home.repo, home.revision, "", home.commit, {}))


def _hub() -> Any:
    """`circuitstore.hub.repository`, which a place in a folder and a build with nothing to do have no need
    of.
    """
    from circuitstore.hub import repository as hub

    return hub


def _layout() -> Any:
    from circuitstore.transcoders import formats as transcoder_files

    return transcoder_files
