"""Where the files of a profile's model and transcoders are: a local folder, or a repository of the hub.

Both are a `Place` (`circuitstore.hub.place`). A repository is taken at the commit that the store has pinned
its revision to (`circuitstore.storage.pins`), so that a branch that moves changes nothing by itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from circuitstore.errors import ModelError
from circuitstore.hub.place import Place
from circuitstore.memo import file_hash
from circuitstore.models.config import names_below
from circuitstore.storage.layout import Store
from circuitstore.storage.pins import Pin, pins, unpin, write_pin
from tasks.settings.model import Model, Transcoders

if TYPE_CHECKING:
    from circuitstore.hub.cache import Snapshot


def place_of(table: Model | Transcoders, store: Store) -> Folder | Repository:
    """The place that a table of a profile names."""
    subfolder = getattr(table, "subfolder", "")
    if table.repo:
        return Repository(table.repo, table.revision, subfolder, store)
    return Folder(os.path.join(table.path, *subfolder.split("/")) if subfolder else table.path, store)


@dataclass(frozen=True)
class Folder:
    """A local folder. Links are followed."""

    folder: str
    store: Store = field(compare=False)  # which has pinned the repositories that lists in here name

    def __str__(self) -> str:
        return self.folder

    @property
    def origin(self) -> dict[str, Any]:
        """Nothing: where a folder lies does not matter."""
        return {}

    def names(self, most: int = 0) -> list[str]:
        """The names of the files in the folder, up to ``most`` folders deep, sorted. Raises ModelError."""
        self._check_exists()
        try:
            return names_below(self.folder, most)
        except OSError as error:
            raise ModelError(self.folder, expected="a readable folder", got=error.strerror) from error

    def has(self, name: str) -> bool:
        """Whether there is such a file. Raises ModelError if there is no such folder."""
        self._check_exists()
        return os.path.isfile(self.path(name))

    def read(self, name: str) -> bytes:
        """The content of a file. Raises ModelError."""
        try:
            with open(self.path(name), "rb") as file:
                return file.read()
        except OSError as error:
            raise self._unreadable(name, error) from error

    def digest(self, name: str) -> str:
        """The sha256 of a file. Raises ModelError."""
        try:
            return file_hash(self.path(name))
        except OSError as error:
            raise self._unreadable(name, error) from error

    def path(self, name: str) -> str:
        """Where a file lies; for "", the folder. Raises ModelError for a name that leads out of it."""
        return os.path.join(self.folder, *_parts(name, self.folder))

    def address(self, name: str) -> str:
        """The path of a file."""
        return self.path(name)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Nothing: a folder has nothing to download."""
        return []

    def check(self, names: Sequence[str]) -> list[str]:
        """Raise ModelError unless all these files are there."""
        if absent := [name for name in names if not self.has(name)]:
            raise ModelError(self.folder, expected=absent[0], got="no such file")
        return []

    def fetch(self, names: Sequence[str]) -> None:
        """Raise ModelError unless all these files are there."""
        self.check(names)

    def linked(self, repo: str, revision: str, name: str) -> tuple[Place, str]:
        """The file of this name in here, if the repository was downloaded to here, else one of the hub."""
        place = self if self.has(name) else Repository(repo, revision or "main", "", self.store)
        return place, name

    def pinned(self, kind: str) -> dict[str, Any] | None:
        """None: a folder is looked at afresh each time."""
        return None

    def pin(self, kind: str, identity: dict[str, Any]) -> None:
        """Do nothing, for the same reason."""

    def _check_exists(self) -> None:
        if not os.path.isdir(self.folder):
            remedy = "correct the profile's path or download the files"
            raise ModelError(self.folder, expected="a folder", got="no such folder", remedy=remedy)

    def _unreadable(self, name: str, error: OSError) -> ModelError:
        return ModelError(self.path(name), expected="a readable file", got=error.strerror or error)


@dataclass(frozen=True)
class Repository:
    """A repository of the hub, or a subfolder of it, at the commit that its revision is taken for."""

    repo: str
    revision: str
    subfolder: str
    store: Store = field(compare=False)

    def __str__(self) -> str:
        return (
            "/".join(filter(None, (self.repo, self.subfolder)))
            + f" at {self.snapshot.commit[:12]} on the hub"
        )

    @property
    def origin(self) -> dict[str, Any]:
        """Repository and commit."""
        return {"repo": self.repo, "commit": self.snapshot.commit}

    @cached_property
    def snapshot(self) -> Snapshot:
        """The repository at its commit. Raises ModelError."""
        from circuitstore.hub.repository import find

        return find(self.repo, self.revision, self._pinned_commit(), file_hash)

    def names(self, most: int = 0) -> list[str]:
        """The names of the files in the subfolder, up to ``most`` folders deep, sorted. Raises ModelError."""
        start = self._full("")
        inside = (name[len(start) :] for name in self.snapshot.files if name.startswith(start))
        return sorted(name for name in inside if name.count("/") <= most)

    def has(self, name: str) -> bool:
        """Whether the hub lists such a file. Raises ModelError."""
        return self._full(name) in self.snapshot.files

    def read(self, name: str) -> bytes:
        """The content of a small file, downloaded when it is not here. Raises ModelError."""
        from circuitstore.hub.repository import read

        return read(self.snapshot, self._full(name))

    def digest(self, name: str) -> str:
        """The sha256 of a large file, the git blob id of a small one, as the hub lists them."""
        from circuitstore.hub.repository import known

        known(self.snapshot, [self._full(name)])
        return self.snapshot.files[self._full(name)].digest

    def path(self, name: str) -> str:
        """Where a file lies in the cache once it is downloaded; for "", the subfolder. Raises ModelError."""
        return self.snapshot.path(self._full(name).rstrip("/"))

    def address(self, name: str) -> str:
        """The address of a file, with the commit."""
        return f"hf://{self.repo}/{self._full(name)}?revision={self.snapshot.commit}"

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of these files that are not in the cache in full length. Raises ModelError."""
        return [name for name in names if self.snapshot.missing([self._full(name)])]

    def check(self, names: Sequence[str]) -> list[str]:
        """Raise ModelError for files that cannot be had; a note if the branch is another commit by now."""
        from circuitstore.hub.repository import check

        return check(self.snapshot, [self._full(name) for name in names])

    def fetch(self, names: Sequence[str]) -> None:
        """Have these files in the cache, verified. Raises ModelError."""
        from circuitstore.hub.repository import fetch

        fetch(self.snapshot, [self._full(name) for name in names], file_hash)

    def linked(self, repo: str, revision: str, name: str) -> tuple[Place, str]:
        """A file of this repository at this commit, or one of another."""
        snapshot = self.snapshot
        own = repo == self.repo and revision in ("", self.revision, snapshot.commit)
        if own and name.startswith(start := self._full("")):
            return self, name[len(start) :]
        return Repository(repo, self.revision if own else revision or "main", "", self.store), name

    def pinned(self, kind: str) -> dict[str, Any] | None:
        """The identity that this store has kept for a kind of input, if it has."""
        question = (kind, self.repo, self.revision, self.subfolder)
        for pin in pins(self.store):
            if (pin.kind, pin.repo, pin.revision, pin.subfolder) == question:
                return pin.identity
        return None

    def pin(self, kind: str, identity: dict[str, Any]) -> None:
        """Let the store keep what the revision was taken for. Raises StoreError."""
        commit = self.snapshot.commit
        if kind != "linked" or commit != self.revision:  # a linked file at a commit has nothing to keep
            write_pin(self.store, Pin(kind, self.repo, self.revision, self.subfolder, commit, identity))

    def follow(self) -> tuple[str, str]:
        """(commit so far, "" for none; commit on the hub now), which the store uses from now on.

        Raises ModelError.
        """
        from circuitstore.hub import cache
        from circuitstore.hub.repository import follow

        if cache.is_commit(self.revision):
            return self.revision, self.revision
        before = self._pinned_commit() or cache.commit_of(self.repo, self.revision)
        after = follow(self.repo, self.revision)
        if after != before:
            unpin(self.store, self.repo, self.revision)
        return before, after

    def _full(self, name: str) -> str:
        """A name as the repository has it."""
        return "/".join((*filter(None, [self.subfolder]), *(_parts(name, self.repo) or [""]))).lstrip("/")

    def _pinned_commit(self) -> str:
        known = ((pin.repo, pin.revision, pin.commit) for pin in pins(self.store))
        return next((commit for *question, commit in known if question == [self.repo, self.revision]), "")


def _parts(name: str, where: str) -> list[str]:
    """The folders and the file in a name; none in "". Raises ModelError for a name that leads elsewhere."""
    parts = name.split("/") if name else []
    if any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise ModelError(where, expected="names of files inside it", got=repr(name))
    return parts
