"""Artifacts: a phase's whole output, as ordered cells in a tree of shared pieces.

An artifact of version 1 of the format lists its cells itself. It is read like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from circuitstore.storage.files import damaged
from circuitstore.storage.key import gives_key
from circuitstore.storage.layout import Store, is_hash, is_name
from circuitstore.storage.leaf import Cell, Leaf, content_of_run, leaf_of
from circuitstore.storage.records import Components, decoded, expect, read_record, write_record
from circuitstore.storage.tree import LeafRef, NodeRef, Tree, content_of

__all__ = ["Artifact", "Cell", "ancestry", "apart", "as_plain", "content_of", "listed"]
__all__ += ["read_artifact", "write_artifact"]


class Table(Protocol):
    """The cells of an artifact, wherever they are."""

    def leaves(self, wanted: Callable[[bytes], bool] = ...) -> Iterator[tuple[LeafRef, Leaf]]:
        """Consecutive cells, of those whose bytes are wanted. Raises DamageError."""

    def every_ref(self) -> list[LeafRef]:
        """What `leaves` goes through. Raises DamageError."""

    def leaf(self, ref: LeafRef) -> Leaf:
        """One of them. Raises DamageError."""

    def objects(self) -> list[str]:
        """The ids of the objects that hold the cells, each once. Raises DamageError."""

    def prove(self) -> list[Cell]:
        """All cells, checked against the content that is stated of them. Raises DamageError."""

    def check_cut(self, cells: Sequence[Cell]) -> None:
        """Check that these, all of its cells, are in the pieces that they must be in. Raises DamageError."""


class Artifact(msgspec.Struct, frozen=True, dict=True):
    """A phase's whole output.

    `key` names it by its inputs and is its file name; `content` is the hash over its `count` cells in order.
    `axes` are the names of the cell axes, outermost first; `upstream` gives the artifact key of each phase it
    read; `summary` is what the phase says of the whole (a gate's numbers, for one). `profile` and `behaviour`
    are those that it was first built for; others with the same key share it.
    """

    phase: str
    behaviour: str
    key: str
    content: str
    axes: list[str]
    count: int
    components: Components
    table: Table
    upstream: dict[str, str] = {}
    summary: dict[str, Any] = {}
    profile: str = ""

    @property
    def cells(self) -> list[Cell]:
        """The cells in order. They are read only when asked for: a build with nothing to do needs none.

        Raises DamageError unless they are the cells that the artifact says it has.
        """
        return self.table.prove()

    @property
    def objects(self) -> list[str]:
        """The ids of the objects that hold the cells, each once. Raises DamageError."""
        return self.table.objects()

    def coordinates(self, axis: str) -> list[str | int]:
        """Values along one cell axis, each once, in order. Raises DamageError."""
        known: dict[str, list[str | int]] = self.__dict__.setdefault("labels", {})
        if axis not in known:
            values: dict[str | int, None] = {}
            for _, leaf in self.table.leaves():
                values.update(dict.fromkeys(leaf.coords[axis]))
            known[axis] = list(values)
        return known[axis]


class _Record(msgspec.Struct, frozen=True):
    """An artifact as version 2 writes it."""

    phase: str
    behaviour: str
    key: str
    content: str
    axes: list[str]
    count: int
    nodes: list[NodeRef]
    components: Components
    upstream: dict[str, str]
    summary: dict[str, Any]
    profile: str


class _AnyRecord(msgspec.Struct, frozen=True):
    """An artifact of either version; without `nodes` it is of version 1."""

    phase: str
    behaviour: str
    key: str
    content: str
    axes: list[str]
    count: int
    components: Components
    upstream: dict[str, str] = {}
    summary: dict[str, Any] = {}
    profile: str = ""
    nodes: list[NodeRef] | None = None
    objects: list[str] = []
    cells: msgspec.Raw = msgspec.Raw(b"[]")


class _Listed:
    """The cells of an artifact of version 1, which lists them."""

    def __init__(self, where: str, record: _AnyRecord):
        self.where, self.record = where, record

    def objects(self) -> list[str]:
        return self.record.objects

    def every_ref(self) -> list[LeafRef]:
        return [LeafRef(self.where, self.record.count)]

    def leaf(self, ref: LeafRef) -> Leaf:
        return leaf_of(self.prove(), self.record.axes)

    def leaves(self, wanted: Callable[[bytes], bool] = lambda raw: True) -> Iterator[tuple[LeafRef, Leaf]]:
        yield from ((ref, self.leaf(ref)) for ref in self.every_ref() if wanted(bytes(self.record.cells)))

    def prove(self) -> list[Cell]:
        record = self.record
        cells, objects = decoded(record.cells, list[Cell], self.where), set(record.objects)
        if any(cell.row < 0 or cell.object not in objects for cell in cells):
            raise damaged(self.where, "rows from 0 of the objects that it lists", "others")
        if any(set(cell.coords) != set(record.axes) for cell in cells):
            raise damaged(self.where, f"coordinates on {record.axes}", "others")
        found = len(cells), content_of_run((cell.coords, cell.content) for cell in cells)
        if found != (record.count, record.content):
            expected = f"{record.count} cells of content {record.content[:12]}…"
            raise damaged(self.where, expected, f"{found[0]} cells of {found[1][:12]}…")
        return cells

    def check_cut(self, cells: Sequence[Cell]) -> None:
        """Nothing is cut."""


def apart(old: Artifact, new: Artifact) -> tuple[list[Leaf], list[Leaf]]:
    """The leaves of each of two artifacts that the other has not. Raises DamageError."""
    before, after = (each.table.every_ref() for each in (old, new))
    only_old, only_new = (
        [ref for ref in refs if ref.name not in {other.name for other in others}]
        for refs, others in ((before, after), (after, before))
    )
    return [old.table.leaf(ref) for ref in only_old], [new.table.leaf(ref) for ref in only_new]


def listed(phase: str, behaviour: str, axes: Sequence[str], cells: Iterable[Cell]) -> Artifact:
    """An artifact in memory, as if a store of version 1 had it under a key of zeros."""
    cells = list(cells)
    record = _AnyRecord(
        phase,
        behaviour,
        "0" * 64,
        content_of_run((cell.coords, cell.content) for cell in cells),
        list(axes),
        len(cells),
        Components(),
        objects=list(dict.fromkeys(cell.object for cell in cells)),
        cells=msgspec.Raw(msgspec.json.encode(cells)),
    )
    return _artifact(record, _Listed("memory", record))


def read_artifact(store: Store, key: str) -> Artifact | None:
    """The artifact of this key, or None. Raises DamageError."""
    path = store.artifact(key)
    try:
        record = read_record(store, path, _AnyRecord)
    except FileNotFoundError:
        return None
    expect(path, "key", key, record.key)
    if not (is_name(record.phase) and all(map(is_hash, (*record.objects, *record.upstream.values())))):
        raise damaged(path, "names and hashes", "other text")
    made_from = record.components.upstream.keys() == record.upstream.keys()
    if not (made_from and gives_key(key, record.phase, record.axes, record.components)):
        raise damaged(path, "components that give its key", "others")
    if record.nodes is None:
        return _artifact(record, _Listed(path, record))
    tree = Tree(store, record.nodes, record.axes, path)
    if len({node.name for node in record.nodes}) != len(record.nodes):
        raise damaged(path, "nodes that differ", "one twice")
    hashes = [text for node in record.nodes for text in (node.name, node.content)]
    if not all(map(is_hash, hashes)) or any(node.count < 1 for node in record.nodes):
        raise damaged(path, "names, hashes and counts of nodes", "others")
    expect(path, "count", record.count, tree.count)
    expect(path, "content", record.content, tree.content)
    return _artifact(record, tree)


def _artifact(record: _AnyRecord, table: Table) -> Artifact:
    names = set(Artifact.__struct_fields__) - {"table"}
    return Artifact(table=table, **{name: getattr(record, name) for name in names})


def ancestry(store: Store, artifact: Artifact) -> Iterator[Artifact]:
    """An artifact and all that it was made from, as far as it is there, each once. Raises DamageError."""
    waiting, seen = [artifact], {artifact.key}
    while waiting:
        each = waiting.pop(0)
        yield each
        for key in each.upstream.values():
            if key not in seen and (upstream := read_artifact(store, key)) is not None:
                seen.add(key)
                waiting.append(upstream)


def as_plain(artifact: Artifact) -> dict[str, Any]:
    """An artifact as plain data, with all of its cells. Raises DamageError."""
    fields = {name: getattr(artifact, name) for name in Artifact.__struct_fields__ if name != "table"}
    return {**fields, "objects": artifact.objects, "cells": artifact.cells}


def write_artifact(store: Store, artifact: Artifact) -> None:
    """Publish an artifact, whose tree is there, under its key. Raises StoreError."""
    assert isinstance(artifact.table, Tree)
    names = set(_Record.__struct_fields__) - {"nodes"}
    fields = {name: getattr(artifact, name) for name in names}
    write_record(store, store.artifact(artifact.key), _Record(nodes=artifact.table.nodes, **fields))
