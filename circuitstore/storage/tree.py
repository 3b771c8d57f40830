"""Trees: the cells of an artifact as pieces that artifacts share.

An artifact names nodes, a node names leaves, and a leaf (`circuitstore/storage/leaf.py`) holds cells. Nodes
and leaves are *pieces*, sealed records that are named by their seal, so equal pieces are one file, and an
artifact in which one cell changed writes one leaf and one node anew. Git's trees and icechunk's manifests are
shared in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from circuitstore.errors import DamageError
from circuitstore.storage.encoding import digest
from circuitstore.storage.files import damaged, read_bytes
from circuitstore.storage.hold import hold
from circuitstore.storage.layout import Store, all_hashes
from circuitstore.storage.leaf import (
    Cell,
    Leaf,
    Mark,
    content_of_run,
    ends_leaf,
    ends_node,
    leaf_of,
    mark_of,
)
from circuitstore.storage.records import Coords, expect, publish_all, seal, seal_of, unseal

PIECE_BYTES = 1 << 24  # of a piece at most; one of usual coordinates has some ten thousand

P = TypeVar("P")
Leafy = TypeVar("Leafy")


class LeafRef(msgspec.Struct, frozen=True, array_like=True):
    """A leaf in a node: its name and how many cells it has."""

    name: str
    count: int


class NodeRef(msgspec.Struct, frozen=True, array_like=True):
    """A node in an artifact: its name, the content hash of its cells, and how many they are."""

    name: str
    content: str
    count: int


class Node(msgspec.Struct, frozen=True, tag_field="kind", tag="node"):
    """Consecutive leaves of an artifact, which hold some thousand cells."""

    leaves: list[LeafRef]


Piece = Node | Leaf
PIECES: Any = Piece


class Kept(NamedTuple):
    """A leaf of an artifact that stands in another one as it is: which it is, and the mark of its last cell.

    `tree` is the one to read it from.
    """

    ref: LeafRef
    last: Mark
    tree: Tree


class Tree:
    """The cells of an artifact in a store, read piece by piece. Every piece is checked as it is read."""

    def __init__(self, store: Store, nodes: Sequence[NodeRef], axes: Sequence[str], where: str = ""):
        """`where` is what says so: it is named when pieces that are whole are not those that it states."""
        self.store, self.nodes, self.axes, self.where = store, list(nodes), list(axes), where

    @property
    def count(self) -> int:
        return sum(node.count for node in self.nodes)

    @property
    def content(self) -> str:
        """Content hash of all cells."""
        return _combined([node.content for node in self.nodes])

    def refs(self, node: NodeRef) -> list[LeafRef]:
        """The leaves of a node. Raises DamageError."""
        found = read_piece(self.store, node.name, PIECES)
        if not isinstance(found, Node) or sum(leaf.count for leaf in found.leaves) != node.count:
            raise damaged(
                self.where, f"{node.name[:12]}… to be a node of {node.count} cells", "another piece"
            )
        return found.leaves

    def every_ref(self) -> list[LeafRef]:
        """All leaves in order, none of them twice: its cells would be. Raises DamageError."""
        refs = [leaf for node in self.nodes for leaf in self.refs(node)]
        if len({leaf.name for leaf in refs}) != len(refs):
            raise damaged(self.where, "leaves that differ", "one twice")
        return refs

    def leaf(self, ref: LeafRef) -> Leaf:
        """One leaf. Raises DamageError."""
        return self._checked(ref, _raw(self.store, ref.name))

    def leaves(self, wanted: Callable[[bytes], bool] = lambda raw: True) -> Iterator[tuple[LeafRef, Leaf]]:
        """The leaves in order, of those whose bytes are wanted. Raises DamageError."""
        for ref in self.every_ref():
            raw = _raw(self.store, ref.name)
            if wanted(raw):
                yield ref, self._checked(ref, raw)

    def objects(self) -> list[str]:
        """The ids of the objects that hold the cells, each once. Raises DamageError."""
        found: dict[str, None] = {}
        for ref in self.every_ref():
            found.update(dict.fromkeys(read_piece(self.store, ref.name, _Objects).objects))
        if not all_hashes(list(found)):
            raise damaged(self.where, "objects that are named by hashes", "other text")
        return list(found)

    def prove(self) -> list[Cell]:
        """All cells, checked against what is stated of their content. Raises DamageError."""
        self.every_ref()
        cells: list[Cell] = []
        for node in self.nodes:
            part = [cell for ref in self.refs(node) for cell in self.leaf(ref).cells]
            content = content_of_run((cell.coords, cell.content) for cell in part)
            expect(self.where, "content", node.content, content)
            cells += part
        return cells

    def check_cut(self, cells: Iterable[Cell]) -> None:
        """Check that these cells differ, and are cut into pieces where they must be. Raises DamageError."""
        cells = list(cells)
        if len({tuple(sorted(cell.coords.items())) for cell in cells}) != len(cells):
            raise damaged(self.where, "cells whose coordinates differ", "two that are equal")
        if cut(cell.coords for cell in cells) != [[leaf.count for leaf in self.refs(n)] for n in self.nodes]:
            raise damaged(self.where, "cells cut as the format has it", "other pieces")

    def _checked(self, ref: LeafRef, raw: bytes) -> Leaf:
        leaf = _decoded(self.store, ref.name, raw, PIECES)
        if not isinstance(leaf, Leaf) or (len(leaf), set(leaf.coords)) != (ref.count, set(self.axes)):
            expected = f"{ref.name[:12]}… to be a leaf of {ref.count} cells on the axes {self.axes}"
            raise damaged(self.where, expected, "another piece")
        return leaf.check(self.store.piece(ref.name))


class _Objects(msgspec.Struct, frozen=True, tag_field="kind", tag="leaf"):
    """The part of a leaf that a build with nothing to do looks at."""

    objects: list[str]


def read_piece(store: Store, name: str, kind: type[P]) -> P:
    """One piece. Raises DamageError."""
    return _decoded(store, name, _raw(store, name), kind)


def read_piece_file(store: Store, path: str) -> object:
    """The piece in a file, for whoever goes through all of them. Raises DamageError, FileNotFoundError."""
    raw = read_bytes(store.root, path, PIECE_BYTES)
    piece: Piece = unseal(raw, PIECES, path)
    expect(path, "name", store.piece(seal_of(raw)), path)
    if isinstance(piece, Leaf):
        return piece.check(path)
    return _sound(piece, path)


def _raw(store: Store, name: str) -> bytes:
    path = store.piece(name)
    try:
        return read_bytes(store.root, path, PIECE_BYTES)
    except FileNotFoundError:
        raise damaged(path, "a piece of an artifact", "no such file") from None


def _decoded(store: Store, name: str, raw: bytes, kind: type[P]) -> P:
    path = store.piece(name)
    piece = unseal(raw, kind, path)
    expect(path, "name", name, seal_of(raw))
    if isinstance(piece, Node):
        _sound(piece, path)
    return piece


def _sound(node: Node, path: str) -> Node:
    if not all_hashes([leaf.name for leaf in node.leaves]) or any(leaf.count < 1 for leaf in node.leaves):
        raise damaged(path, "names of leaves, and cells in each", "others")
    return node


class Writer:
    """Writes the tree of an artifact from its cells in order. What another tree has as it is, is kept."""

    def __init__(self, store: Store, axes: Sequence[str], where: str, base: Tree | None = None):
        """`where` is the file that will name the tree; `base` is the one that kept leaves come from."""
        self.store, self.axes, self.where = store, list(axes), where
        nodes = base.nodes if base else []
        self._known = {tuple(ref.name for ref in base.refs(node)): node for node in nodes if base}

    def write(self, parts: Iterable[Kept | Cell]) -> Tree:
        """Publish the pieces of a tree; returns it. Raises StoreError, DamageError."""
        nodes = [self._node(pieces) for pieces in in_nodes(self._in_leaves(parts))]
        return Tree(self.store, nodes, self.axes, self.where)

    def _in_leaves(self, parts: Iterable[Kept | Cell]) -> Iterator[tuple[Kept | Leaf, Mark, int]]:
        """The leaves of a tree, each with the mark of its last cell and its number of cells."""
        waiting: list[Cell] = []
        mark = b""
        for part in parts:
            if isinstance(part, Kept) and not waiting and ends_leaf(part.last, part.ref.count):
                yield part, part.last, part.ref.count
                continue
            for cell in part.tree.leaf(part.ref).cells if isinstance(part, Kept) else (part,):
                waiting.append(cell)
                mark = mark_of(cell.coords)
                if ends_leaf(mark, len(waiting)):
                    yield leaf_of(waiting, self.axes), mark, len(waiting)
                    waiting = []
        if waiting:
            yield leaf_of(waiting, self.axes), mark, len(waiting)

    def _node(self, pieces: Sequence[Kept | Leaf]) -> NodeRef:
        made: dict[str, bytes] = {}
        refs = [self._ref(piece, made) for piece in pieces]
        names = tuple(ref.name for ref in refs)
        if names not in self._known:
            every = (piece.tree.leaf(piece.ref) if isinstance(piece, Kept) else piece for piece in pieces)
            content = content_of_run(pair for leaf in every for pair in leaf.pairs)
            name = self._add(Node(refs), made)
            self._publish(made)
            self._known[names] = NodeRef(name, content, sum(ref.count for ref in refs))
        return self._known[names]

    def _ref(self, piece: Kept | Leaf, made: dict[str, bytes]) -> LeafRef:
        return piece.ref if isinstance(piece, Kept) else LeafRef(self._add(piece, made), len(piece))

    def _publish(self, made: Mapping[str, bytes]) -> None:
        """Publish pieces (name → bytes) that are not there, or are there damaged."""
        files = {self.store.piece(name): raw for name, raw in made.items()}
        publish_all(self.store, {path: raw for path, raw in files.items() if not self._has(path, raw)})

    def _has(self, path: str, raw: bytes) -> bool:
        try:
            return hold(path) and read_bytes(self.store.root, path, PIECE_BYTES) == raw
        except (FileNotFoundError, DamageError):
            return False

    def _add(self, piece: Piece, made: dict[str, bytes]) -> str:
        raw = seal(piece)
        made[seal_of(raw)] = raw
        return seal_of(raw)


def in_nodes(leaves: Iterable[tuple[Leafy, Mark, int]]) -> Iterator[list[Leafy]]:
    """The leaves of each node, from leaves with the mark of their last cell and their number of cells."""
    group: list[Leafy] = []
    count = 0
    for leaf, mark, cells in leaves:
        group.append(leaf)
        count += cells
        if ends_node(mark, count):
            yield group
            group, count = [], 0
    if group:
        yield group


def cut(cells: Iterable[Coords]) -> list[list[int]]:
    """How many cells each leaf of each node has, for cells with these coordinates in this order."""
    counts, count, mark = list[tuple[int, Mark, int]](), 0, b""
    for coords in cells:
        count, mark = count + 1, mark_of(coords)
        if ends_leaf(mark, count):
            counts.append((count, mark, count))
            count = 0
    return list(in_nodes([*counts, (count, mark, count)] if count else counts))


def content_of(cells: Sequence[Cell]) -> str:
    """Content hash of cells in order, as of an artifact that consists of them."""
    contents, at = [], 0
    for leaves in cut(cell.coords for cell in cells):
        part = cells[at : at + sum(leaves)]
        contents.append(content_of_run((cell.coords, cell.content) for cell in part))
        at += len(part)
    return _combined(contents)


def _combined(contents: list[str]) -> str:
    """Content hash of an artifact from those of its nodes: of one node it is its own, as in version 1."""
    if not contents:
        return content_of_run([])
    return contents[0] if len(contents) == 1 else digest("contents", contents)
