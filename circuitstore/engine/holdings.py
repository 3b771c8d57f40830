"""Which cells the store holds: each object is looked at once, and the index of each phase is read once."""

from __future__ import annotations

from circuitstore.storage.actions import Copy, Entry
from circuitstore.storage.index import Index
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import intact, intact_cells


class Holdings:
    """What is known of the objects of a store.

    That is whether each is intact, and of those whose rows were asked for, the contents of their cells.
    """

    def __init__(self, store: Store):
        self.store = store
        self._intact: dict[str, bool] = {}
        self._contents: dict[str, list[str]] = {}
        self._indexes: dict[str, Index] = {}  # by phase

    def intact(self, name: str) -> bool:
        """Whether an object is there and of full size."""
        if name not in self._intact:
            self._intact[name] = name in self._contents or intact(self.store, name)
        return self._intact[name]

    def holds(self, copy: Copy) -> bool:
        """Whether a copy of a cell is where its journal says."""
        if copy.object not in self._contents:
            self._contents[copy.object] = intact_cells(self.store, copy.object) or []
            self._intact[copy.object] = bool(self._contents[copy.object])
        return self._contents[copy.object][copy.row : copy.row + 1] == [copy.content]

    def index(self, phase: str) -> Index:
        """Where the cells of a phase lie, by their keys."""
        if phase not in self._indexes:
            self._indexes[phase] = Index(self.store, phase)
        return self._indexes[phase]

    def refresh(self, phase: str) -> None:
        """Take note of what others committed since."""
        if phase in self._indexes:
            self._indexes[phase].refresh()
        missing = [name for name, there in self._intact.items() if not there]
        for name in missing:
            self._intact.pop(name)
            self._contents.pop(name, None)

    def learn(self, phase: str, name: str, entries: list[Entry]) -> None:
        """Take note of an object that was just committed."""
        self._contents[name] = [entry.content for entry in entries]
        self._intact[name] = True
        if phase in self._indexes:
            self._indexes[phase].learn(entries, name)
