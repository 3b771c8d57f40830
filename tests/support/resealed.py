"""Contents of a store that were changed and sealed again: every hash is honest, only the numbers are not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import xarray as xr
from workspace import BEHAVIOUR, PROFILE, Workspace

from circuitstore.storage.actions import Entry, Journal, journals, write_journal
from circuitstore.storage.artifact import Cell, write_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader, write_object
from circuitstore.storage.refs import Name, write_ref
from circuitstore.storage.tree import Writer

Change = Callable[[xr.Dataset], xr.Dataset]


def plant(workspace: Workspace, phase: str, change: Change, only: int | None = None, **facts: object) -> None:
    """Put changed contents in place of what a phase gave, of all its cells or of `only` one.

    The old ones are gone. `facts` replace some of what is recorded of the machine.
    """
    store, artifact = Store(workspace.store), workspace.artifact(phase)
    old = journals(store, phase)
    before = list(Path(store.actions(phase)).glob("*.json"))
    entries = {(journal.object, entry.row): (journal, entry) for journal in old for entry in journal.cells}
    cells: list[Cell] = []
    for at, cell in enumerate(artifact.cells):
        content = ObjectReader(store, cell.object).cell(cell.row)
        content = change(content) if only in (None, at) else content
        manifest = write_object(store, [(cell.coords, content)])
        journal, entry = entries[cell.object, cell.row]
        _seal(store, journal, entry, manifest.object, manifest.cells[0], facts)
        cells.append(Cell(cell.coords, manifest.cells[0], manifest.object, 0))
    for path in before:
        path.unlink()
    for name in set(artifact.objects) - {cell.object for cell in cells}:
        shutil.rmtree(store.object(name))
    tree = Writer(store, artifact.axes, store.artifact(artifact.key)).write(cells)
    changed = msgspec.structs.replace(artifact, content=tree.content, table=tree)
    write_artifact(store, changed)
    write_ref(store, Name(PROFILE, BEHAVIOUR, phase), changed, 0)


def _seal(
    store: Store, journal: Journal, entry: Entry, object_id: str, content: str, facts: dict[str, object]
) -> None:
    """A journal of one cell that gives its key another content."""
    cells = [msgspec.structs.replace(entry, content=content, row=0)]
    provenance = {**journal.provenance, **facts}
    phase, behaviour = journal.phase, journal.behaviour
    write_journal(store, phase, behaviour, object_id, cells, journal.components, provenance)


def numbers(content: xr.Dataset) -> list[str]:
    """The variables of a cell that hold floating-point numbers."""
    names = (str(name) for name, variable in content.variables.items() if variable.dtype.kind == "f")
    return sorted(name for name in names if np.abs(content[name].values).max(initial=0) > 0)


def last_bits(content: xr.Dataset) -> xr.Dataset:
    """All numbers of a cell by a millionth of each larger or smaller."""
    changed = content.copy(deep=True)
    for name in numbers(content):
        values = changed[name].values
        values *= np.where(np.arange(values.size).reshape(values.shape) % 2, 1 + 1e-6, 1 - 1e-6)
    return changed


def a_lie(content: xr.Dataset) -> xr.Dataset:
    """The largest number of a cell by a hundredth larger; of a cell without numbers, one whole number."""
    changed = content.copy(deep=True)
    name = (numbers(content) or ["correct_id"])[0]
    values = changed[name].values.reshape(-1)
    at = np.abs(values.astype(float)).argmax()
    values[at] = values[at] * 1.01 if values.dtype.kind == "f" else values[at] + 1
    changed[name].values[...] = values.reshape(changed[name].shape)
    return changed
