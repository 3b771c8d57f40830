"""What named results consist of: the artifacts, pieces and objects that are reached from refs and tags."""

from __future__ import annotations

import os

import msgspec

from circuitstore.storage.artifact import read_artifact
from circuitstore.storage.files import damaged
from circuitstore.storage.layout import Store
from circuitstore.storage.records import record_paths
from circuitstore.storage.refs import DEPTH, name_of, read_ref
from circuitstore.storage.tags import tags
from circuitstore.storage.tree import PIECES, Node, Tree, read_piece


class Names(msgspec.Struct, frozen=True):
    """A piece, or an artifact, as far as it names others."""

    pieces: list[str]
    objects: list[str]
    upstream: list[str] = []
    phase: str = ""


class Reached(msgspec.Struct):
    """The keys of artifacts, names of pieces and ids of objects that something consists of."""

    artifacts: set[str] = msgspec.field(default_factory=set)
    pieces: set[str] = msgspec.field(default_factory=set)
    objects: set[str] = msgspec.field(default_factory=set)

    def add(self, other: Reached) -> None:
        """Add all of another."""
        self.artifacts |= other.artifacts
        self.pieces |= other.pieces
        self.objects |= other.objects


class Reach:
    """Follows what records name, and reads each record once. Raises DamageError for one that is not whole."""

    def __init__(self, store: Store):
        self.store = store
        self._artifacts: dict[str, Names | None] = {}
        self._pieces: dict[str, Names] = {}

    def artifact(self, key: str, found: Reached, *, ancestry: bool = True) -> bool:
        """Add an artifact with all that it names, and with `ancestry` those that it was made from.

        Gives whether it is there.
        """
        waiting, first = [key], self._artifact(key)
        while waiting:
            key = waiting.pop()
            names = self._artifact(key)
            if names is None or key in found.artifacts:
                continue
            found.artifacts.add(key)
            found.objects.update(names.objects)
            for piece in names.pieces:
                self.piece(piece, found)
            waiting += names.upstream if ancestry else []
        return first is not None

    def piece(self, name: str, found: Reached) -> None:
        """Add a node or a leaf with all that it names."""
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if name not in found.pieces:
                names = self._piece(name)
                found.pieces.add(name)
                found.objects.update(names.objects)
                waiting += names.pieces

    def phase(self, key: str) -> str:
        """The phase of an artifact, "" if it is not there."""
        names = self._artifact(key)
        return names.phase if names else ""

    def _artifact(self, key: str) -> Names | None:
        if key not in self._artifacts:
            found = read_artifact(self.store, key)
            if found is None:
                names = None
            elif isinstance(found.table, Tree):
                nodes = [node.name for node in found.table.nodes]
                names = Names(nodes, [], list(found.upstream.values()), found.phase)
            else:
                names = Names([], found.objects, list(found.upstream.values()), found.phase)
            self._artifacts[key] = names
        return self._artifacts[key]

    def _piece(self, name: str) -> Names:
        if name not in self._pieces:
            piece = read_piece(self.store, name, PIECES)
            leaves = [leaf.name for leaf in piece.leaves] if isinstance(piece, Node) else []
            self._pieces[name] = Names(leaves, [] if isinstance(piece, Node) else piece.objects)
        return self._pieces[name]


def roots(store: Store) -> dict[str, str]:
    """The key of the artifact that each ref and each tag names, by "PROFILE/BEHAVIOUR/PHASE" or "tag NAME".

    Raises DamageError for whatever lies in the place of one: what it named would be taken for unnamed.
    """
    found = {}
    for path in record_paths(store, "refs", depth=DEPTH, hashed=False):
        name = name_of(store, path)
        if name is None:
            raise damaged(path, "a folder of refs", "something else")
        ref = read_ref(store, name)
        if ref is not None:
            found[str(name)] = ref.artifact
    found |= {f"tag {tag.tag}": tag.artifact for tag in tags(store)}
    return dict(sorted(found.items()))


def size(path: str) -> tuple[int, int]:
    """Number of files and bytes of a file, or of all in a folder; links are not followed."""
    files = total = 0
    if os.path.isdir(path) and not os.path.islink(path):
        for folder, _, names in os.walk(path):
            for name in names:
                total += _bytes(os.path.join(folder, name))
                files += 1
        return files, total
    return 1, _bytes(path)


def _bytes(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:  # somebody has just removed it
        return 0
