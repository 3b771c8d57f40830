"""Which cells the store holds, each object looked at once."""

from __future__ import annotations

from collections.abc import Iterable

from circuitstore.storage.actions import Copy
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import intact_cells


class Holdings:
    """What is known of the objects of a store: the contents of their cells, none of what is not intact."""

    def __init__(self, store: Store):
        self.store = store
        self._contents: dict[str, list[str]] = {}

    def intact(self, name: str) -> bool:
        """Whether an object is there and of full size."""
        return bool(self._cells(name))

    def holds(self, copy: Copy) -> bool:
        """Whether a copy of a cell is where its journal says."""
        return self._cells(copy.object)[copy.row : copy.row + 1] == [copy.content]

    def learn(self, name: str, contents: Iterable[str]) -> None:
        """Take note of an object that was just committed."""
        self._contents[name] = list(contents)

    def _cells(self, name: str) -> list[str]:
        if name not in self._contents:
            self._contents[name] = intact_cells(self.store, name) or []
        return self._contents[name]
