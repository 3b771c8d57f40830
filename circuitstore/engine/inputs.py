"""What a phase sees of the phases above it: whole cells, each checked by its content hash as it is read."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator

import xarray as xr

from circuitstore.engine.limits import KEPT_BYTES, SMALL_BYTES
from circuitstore.errors import BuildError
from circuitstore.storage.artifact import Cell, content_of
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.records import Coords


class Upstream:
    """Read access to the upstream cells that the cells of a batch depend on, and to no others."""

    def __init__(self, store: Store, phase: str, reads: list[tuple[Coords, list[Cell]]]):
        self.store, self.phase = store, phase
        self._reads = {_hashable(coords): cells for coords, cells in reads}
        distinct = {(cell.object, cell.row): cell for _, cells in reads for cell in cells}
        self._wanted = Counter(cell.object for cell in distinct.values())
        self._readers: OrderedDict[str, ObjectReader] = OrderedDict()

    def one(self, cell: Coords) -> xr.Dataset:
        """The one upstream cell that `cell` depends on. Raises DamageError, BuildError."""
        return self._only(cell, self._reads[_hashable(cell)])

    def all(self, cell: Coords) -> list[tuple[Coords, xr.Dataset]]:
        """All upstream cells that `cell` depends on, with their coordinates, in order. Raises DamageError."""
        return list(self.each(cell))

    def each(self, cell: Coords) -> Iterator[tuple[Coords, xr.Dataset]]:
        """The same one at a time, for what does not fit in memory as a whole."""
        return ((upstream.coords, self._read(upstream)) for upstream in self._reads[_hashable(cell)])

    def pick(self, cell: Coords, **coords: str | int) -> xr.Dataset:
        """The one with these coordinates of the upstream cells that `cell` depends on.

        Raises BuildError, DamageError.
        """
        return self._only(coords, [each for each in self._reads[_hashable(cell)] if each.coords == coords])

    def content(self, cell: Coords) -> str:
        """Content hash of all upstream cells that `cell` depends on.

        It is the artifact's own when that is all of it.
        """
        return content_of(self._reads[_hashable(cell)])

    def _only(self, coords: Coords, cells: list[Cell]) -> xr.Dataset:
        if len(cells) != 1:
            raise BuildError(f"{self.phase} for {coords}", expected="one cell", got=len(cells))
        return self._read(cells[0])

    def _read(self, cell: Cell) -> xr.Dataset:
        if cell.object not in self._readers:
            reader = ObjectReader(self.store, cell.object)
            most = 2 * self._wanted[cell.object] >= len(reader.manifest.cells)
            self._readers[cell.object] = reader.preload() if most or reader.nbytes <= SMALL_BYTES else reader
            while len(self._readers) > 1 and self._kept() > KEPT_BYTES:
                self._readers.popitem(last=False)
        self._readers.move_to_end(cell.object)
        return self._readers[cell.object].holding(cell.content, cell.row).cell(cell.row)

    def _kept(self) -> int:
        return sum(reader.loaded_bytes for reader in self._readers.values())


class Cells:
    """All cells of a phase, with their coordinates.

    They are read anew each time they are gone through, so that never all are in memory.
    """

    def __init__(self, store: Store, phase: str, cells: list[Cell]):
        self._upstream = Upstream(store, phase, [({}, cells)])

    def __iter__(self) -> Iterator[tuple[Coords, xr.Dataset]]:
        return self._upstream.each({})


def _hashable(coords: Coords) -> tuple[tuple[str, str | int], ...]:
    return tuple(sorted(coords.items()))
