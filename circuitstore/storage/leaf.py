"""Leaves: the cells of an artifact in pieces of some hundred, as columns, and where one piece ends.

Where a leaf ends depends on the coordinates of its own cells and on nothing else. The same cells in the same
order are therefore always cut alike, and a change cuts anew only what lies near it: content-defined chunking,
as in Dolt's prolly trees.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

import msgspec

from circuitstore.storage.encoding import encode
from circuitstore.storage.files import damaged
from circuitstore.storage.layout import all_hashes
from circuitstore.storage.records import Coords

LEAST, MOST = 128, 512  # cells of a leaf but for the last
ENDS_LEAF = 2  # of 256 cells, so many end a leaf that is long enough
NODE_LEAST, NODE_MOST = 4096, 8192  # cells of a node from which it may, and must, end with a leaf
ENDS_NODE = 64  # of 256 cells that end a leaf, so many end a node that is long enough
Mark = bytes  # of a cell: what decides whether a leaf, or a node, ends with it


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """One cell of an artifact: coordinates on its axes, content hash, and the object row that holds it."""

    coords: Coords
    content: str
    object: str
    row: int


class Leaf(msgspec.Struct, frozen=True, tag_field="kind", tag="leaf"):
    """Consecutive cells of an artifact, as columns.

    coords: axis → where each cell lies on it. content: content hash of each. objects: the ids of the objects
    that hold them, in order of first use. object, row: where in `objects`, and in which row of it, each is.
    """

    coords: dict[str, list[str | int]]
    content: list[str]
    objects: list[str]
    object: list[int]
    row: list[int]

    def __len__(self) -> int:
        return len(self.content)

    @property
    def cells(self) -> list[Cell]:
        """The cells in order."""
        names = map(self.objects.__getitem__, self.object)
        return list(map(Cell, self.coordinates, self.content, names, self.row))

    @property
    def coordinates(self) -> list[Coords]:
        """The coordinates of each cell."""
        return [dict(zip(self.coords, values, strict=True)) for values in self.labels(tuple(self.coords))]

    def labels(self, axes: Sequence[str]) -> list[tuple[str | int, ...]]:
        """Where each cell lies on these axes."""
        if not axes:
            return [()] * len(self)
        return list(zip(*(self.coords[axis] for axis in axes), strict=True))

    @property
    def pairs(self) -> Iterator[tuple[Coords, str]]:
        """Coordinates and content hash of each cell."""
        return zip(self.coordinates, self.content, strict=True)

    def check(self, where: str) -> Leaf:
        """Itself, if its columns fit together. Raises DamageError."""
        lengths = {len(self.object), len(self.row), *map(len, self.coords.values())}
        if lengths != {len(self)}:
            raise damaged(where, f"columns of {len(self)} cells", f"lengths {sorted(lengths)}")
        used = list(dict.fromkeys(self.object))
        if used != list(range(len(self.objects))) or min(self.row, default=0) < 0:
            raise damaged(where, "rows from 0 of the objects that it lists", "others")
        if not all_hashes([*self.content, *self.objects]):
            raise damaged(where, "hashes of 64 hexadecimal digits", "other text")
        return self


def leaf_of(cells: Sequence[Cell], axes: Sequence[str]) -> Leaf:
    """The leaf that holds these cells."""
    objects = {name: at for at, name in enumerate(dict.fromkeys(cell.object for cell in cells))}
    return Leaf(
        {axis: [cell.coords[axis] for cell in cells] for axis in sorted(axes)},
        [cell.content for cell in cells],
        list(objects),
        [objects[cell.object] for cell in cells],
        [cell.row for cell in cells],
    )


def mark_of(coords: Coords) -> Mark:
    """The mark of a cell: the first two bytes of the sha256 of its coordinates as canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(coords, order="deterministic")).digest()[:2]


def ends_leaf(mark: Mark, count: int) -> bool:
    """Whether a leaf ends with the cell of this mark, which is its `count`-th."""
    return count >= MOST or (count >= LEAST and mark[0] < ENDS_LEAF)


def ends_node(mark: Mark, count: int) -> bool:
    """Whether a node ends with the leaf whose last cell has this mark, and with it has `count` cells."""
    return count >= NODE_MOST or (count >= NODE_LEAST and mark[1] < ENDS_NODE)


def content_of_run(pairs: Iterable[tuple[Coords, str]]) -> str:
    """Content hash of the cells of one node, given as coordinates and content hash of each, in order.

    It is `digest("content", [[coords, content], …])` of `circuitstore/storage/encoding.py` in half the time.
    """
    parts = list(_encoded(pairs))
    kind, size = encode("circuitstore content 1"), sum(map(len, parts))
    head = b"l" + _length(len(kind) + 9 + size) + kind + b"l" + _length(size)
    digest = hashlib.sha256(head)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _encoded(pairs: Iterable[tuple[Coords, str]]) -> Iterator[bytes]:
    """The canonical encoding of [coordinates, content hash] of each cell."""
    name: Callable[[str], bytes] = lru_cache(maxsize=64)(encode)
    for coords, content in pairs:
        inner = b"".join([name(axis) + _encoded_value(coords[axis]) for axis in sorted(coords)])
        text = _encoded_value(content)
        yield b"l%bd%b%b%b" % (_length(9 + len(inner) + len(text)), _length(len(inner)), inner, text)


def _encoded_value(value: str | int) -> bytes:
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        return b"s%b%b" % (_length(len(text)), text)
    return encode(value)


_length = struct.Struct("<Q").pack
