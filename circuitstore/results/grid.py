"""The cells of artifacts, laid out on their axes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from circuitstore.storage.artifact import Artifact, Cell
from circuitstore.storage.group import SIZE
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader, reader

BEHAVIOUR, PROMPT = "behaviour", "prompt"
Label = str | int


class Grid:
    """The cells of one or more artifacts on their axes. Where there is no cell, it holds None."""

    def __init__(
        self,
        store: Store,
        axes: Sequence[str],
        labels: Sequence[Sequence[Label]],
        cells: Mapping[tuple[int, ...], Cell],
    ):
        """`labels` are the coordinates along each axis; `cells` are by their index on each axis."""
        self.store, self.axes, self.labels = store, list(axes), [list(values) for values in labels]
        self.shape = tuple(len(values) for values in labels)
        self.cells = [cells.get(index) for index in itertools.product(*(range(n) for n in self.shape))]
        self.present = [cell for cell in self.cells if cell is not None]
        self.first = self.reader(self.present[0])

    def reader(self, cell: Cell) -> ObjectReader:
        """The object that holds a cell. Raises DamageError if it holds another one there."""
        return reader(self.store, cell.object).holding(cell.content, cell.row)

    def sizes(self, dim: str) -> list[int]:
        """The different sizes that a dim has in cells, ascending; none when no variable has it."""
        sizes: set[int] = set()
        for name in {cell.object for cell in self.present}:
            opened = reader(self.store, name)
            if SIZE + dim in opened.names:
                sizes.update(opened.whole(SIZE + dim).tolist())
                continue
            for variable in (v for v in opened.variables if dim in opened.dims(v)):
                sizes.add(opened.shape(variable, 0)[opened.dims(variable).index(dim)])
        return sorted(sizes)


def grid_of(store: Store, artifact: Artifact) -> Grid:
    """The cells of one artifact."""
    labels = [artifact.coordinates(axis) for axis in artifact.axes]
    indices = [_positions(values) for values in labels]
    cells = {
        tuple(index[cell.coords[axis]] for index, axis in zip(indices, artifact.axes, strict=True)): cell
        for cell in artifact.cells
    }
    return Grid(store, artifact.axes, labels, cells)


def grid_of_all(store: Store, artifacts: Mapping[str, Artifact]) -> Grid:
    """The cells of the artifacts of several behaviours, with an axis `behaviour` in front.

    Prompts are only counted, because each behaviour has its own. Other axes have the coordinates of all
    behaviours.
    """
    axes = next(iter(artifacts.values())).axes
    shared: dict[str, list[Label]] = {}
    for axis in axes:
        values = {value for artifact in artifacts.values() for value in artifact.coordinates(axis)}
        shared[axis] = sorted(values, key=lambda value: (isinstance(value, str), value))
    most = max(len(a.coordinates(PROMPT)) for a in artifacts.values()) if PROMPT in axes else 0
    labels: list[Sequence[Label]] = [list(artifacts)]
    labels += [range(most) if axis == PROMPT else shared[axis] for axis in axes]
    cells: dict[tuple[int, ...], Cell] = {}
    for number, artifact in enumerate(artifacts.values()):
        by_axis = {axis: artifact.coordinates(axis) if axis == PROMPT else shared[axis] for axis in axes}
        indices = {axis: _positions(values) for axis, values in by_axis.items()}
        for cell in artifact.cells:
            cells[(number, *(indices[axis][cell.coords[axis]] for axis in axes))] = cell
    return Grid(store, [BEHAVIOUR, *axes], labels, cells)


def _positions(values: Sequence[Label]) -> dict[Label, int]:
    return {value: i for i, value in enumerate(values)}
