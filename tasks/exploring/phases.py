"""The newest results of one behaviour, opened once each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

import circuitstore.results.open as results
from circuitstore.errors import UsageError
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader, reader
from circuitstore.storage.refs import Name, named, names

PROMPTS, BASELINE, FEATURES, PAIRS = "prompts", "baseline", "features", "pairs"
INTERPRETATION, ATTRIBUTION, CIRCUIT = "interpretation", "attribution", "circuit"
INTERVENTIONS, FIGURES = "interventions", "figures"
ATTRIBUTE = "attribute"  # of one text, under a name of its own in the place of a behaviour


class Built:
    """What is built of one behaviour under one profile."""

    def __init__(self, store: Store, profile: str, behaviour: str):
        self.store, self.profile, self.behaviour = store, profile, behaviour
        self.phases = {
            name.phase for name in names(store) if (name.profile, name.behaviour) == (profile, behaviour)
        }
        if not self.phases:
            known = {name.behaviour for name in names(store) if name.profile == profile}
            expected = "one of " + ", ".join(sorted(known)) if known else f"something built for {profile}"
            raise UsageError(f"behaviour {behaviour!r}", expected=expected)

    def artifact(self, phase: str) -> Artifact:
        """The newest artifact of a phase. Raises MissingError, DamageError."""
        return named(self.store, Name(self.profile, self.behaviour, phase))

    def open(self, phase: str, **how: Any) -> Any:
        """What `circuitstore.open` gives of a phase."""
        where: dict[str, Any] = {
            "behaviour": self.behaviour,
            "store": self.store.root,
            "profile": self.profile,
        }
        return results.open(phase, **where, **how)

    def cells(self, phase: str, axis: str = "prompt") -> Iterator[tuple[str, xr.Dataset]]:
        """The cells of a phase one after the other, with their coordinate on an axis."""
        readers: dict[str, ObjectReader] = {}
        for cell in self.artifact(phase).cells:
            if cell.object not in readers:
                readers[cell.object] = ObjectReader(self.store, cell.object).preload()
            yield str(cell.coords[axis]), readers[cell.object].cell(cell.row)

    def cell(self, phase: str, name: str, axis: str = "prompt") -> xr.Dataset:
        """One cell of a phase. Raises UsageError for a name that it does not have."""
        cells = {str(cell.coords[axis]): cell for cell in self.artifact(phase).cells}
        if name not in cells:
            known = ", ".join(list(cells)[:3])
            raise UsageError(f"{axis} {name!r}", expected=f"one of {len(cells)} ({known}, …)")
        return reader(self.store, cells[name].object).cell(cells[name].row)

    def whole(self, phase: str) -> xr.Dataset:
        """The one cell of a phase without axes."""
        (cell,) = self.artifact(phase).cells
        return reader(self.store, cell.object).cell(cell.row)

    @cached_property
    def prompts(self) -> list[str]:
        """The ids of the prompts. Everywhere else in records, a prompt is its place in this list."""
        return [str(name) for name in self.artifact(PROMPTS).coordinates("prompt")]

    @cached_property
    def place(self) -> dict[str, int]:
        """Prompt id → its place."""
        return {name: i for i, name in enumerate(self.prompts)}

    @cached_property
    def rows(self) -> dict[str, xr.Dataset]:
        """Prompt id → its cell of phase `prompts`."""
        return dict(self.cells(PROMPTS))

    @cached_property
    def roles(self) -> dict[str, list[str]]:
        """Prompt id → the role of each of its positions; empty where they are not built."""
        if PAIRS not in self.phases:
            return {}
        return {name: list(map(str, cell.role.values)) for name, cell in self.cells(PAIRS)}

    @property
    def units(self) -> xr.Dataset:
        """Phase `interpretation` with the labels that count now."""
        dataset: xr.Dataset = self.open(INTERPRETATION)
        return dataset

    @cached_property
    def loaded(self) -> xr.Dataset:
        """Phase `interpretation` in memory."""
        return self.units.load()

    @cached_property
    def unit(self) -> dict[tuple[int, int], int]:
        """(layer, feature) → its row in `loaded`."""
        pairs = zip(self.loaded.layer.values.tolist(), self.loaded.feature.values.tolist(), strict=True)
        return {pair: i for i, pair in enumerate(pairs)}

    @cached_property
    def labels(self) -> dict[tuple[int, int], str]:
        """(layer, feature) → the reviewer's label, else the automatic one."""
        if INTERPRETATION not in self.phases:
            return {}
        units = self.units
        columns = [units[name].values.tolist() for name in ("layer", "feature", "reviewer_label", "label")]
        rows = zip(*columns, strict=True)
        return {(layer, feature): reviewed or label for layer, feature, reviewed, label in rows}


def column(values: Any) -> np.ndarray:
    """Values as float32; what is not finite stays so, and is null in a page."""
    return np.asarray(values, dtype=np.float32)
