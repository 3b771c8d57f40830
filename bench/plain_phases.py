"""Two phases whose cells cost nothing, so that a build costs what the store and the engine cost.

`first` has one cell for each of `count` items. `second` reads the cell of the same item. An item of `edited`
has another id, as an edited prompt has. The phases are written to a folder, because the engine keys source
files. Two stores that tests keep were built from exactly these sources.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import msgspec

from circuitstore.engine.loading import watch
from circuitstore.engine.planner import Planner
from circuitstore.engine.runner import Options, PhaseReport, build
from circuitstore.engine.task import Pipeline, Task
from circuitstore.memo import Memo
from circuitstore.storage.layout import Store

PACKAGE = "plain_phases_package"
ITEMS = '''
def items(axis, config, resources):
    """The ids of the items."""
    edited = set(config.edited)
    return [f"item-{i:08d}" + ("-edited" if i in edited else "") for i in range(config.count)]
'''
FIRST = '''
import numpy as np
import xarray as xr


def first(cells, config):
    """Yield the number of each item, and whether it was edited."""
    for cell in cells:
        name = cell["item"]
        values = {"number": ((), np.int64(name[5:13])), "length": ((), np.int64(len(name)))}
        yield cell, xr.Dataset(values)
'''
SECOND = '''
import xarray as xr


def second(cells, config, first):
    """Yield twice the number of each item."""
    for cell in cells:
        yield cell, xr.Dataset({"double": 2 * first.one(cell).number})
'''


class Items(msgspec.Struct, frozen=True):
    """Which items there are."""

    count: int = 1
    edited: tuple[int, ...] = ()


class Nothing(msgspec.Struct, frozen=True):
    """No settings."""


class Selected(msgspec.Struct, frozen=True):
    """What one build is about."""

    items: Items
    profile_name: str = "plain"
    behaviour: str = "plain"

    def config(self, table: str) -> msgspec.Struct:
        """The settings of a phase."""
        return self.items if table == "first" else Nothing()


class Processor:
    """The machine of phases that need no library."""

    def out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)

    def free_memory(self) -> None:
        """Nothing is kept."""

    @contextmanager
    def fixed(self) -> Iterator:
        yield lambda: None

    def description(self) -> dict[str, object]:
        return {"threads": 1}


class Quiet:
    """Keeps what a build reports."""

    def __init__(self) -> None:
        self.reports: list[PhaseReport] = []
        self.warnings: list[str] = []

    def begin(self, step: object) -> None: ...

    def progress(self, cells: int) -> None: ...

    def end(self, report: PhaseReport) -> None:
        self.reports.append(report)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def note(self, text: str) -> None: ...


def pipeline(folder: Path, batch: int = 64, second: bool = True) -> Pipeline:
    """The phases, written to a package in a folder if they are not there."""
    package = folder / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    for name, source in (("__init__", ""), ("items", ITEMS), ("first", FIRST), ("second", SECOND)):
        path = package / f"{name}.py"
        if not path.exists() or path.read_text() != source:
            path.write_text(source)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    watch(PACKAGE)
    items = import_module(f"{PACKAGE}.items").items
    tasks = (
        Task("first", Items, (), per=("item",), coordinates=items, whole=("count", "edited"), batch=batch),
        Task("second", Nothing, ("first",), per=("item",), batch=batch),
    )
    return Pipeline(PACKAGE, tasks if second else tasks[:1], lambda selection, store: {}, Processor())


def build_plain(
    folder: Path, store: Path, items: Items, batch: int = 64, second: bool = True
) -> dict[str, PhaseReport]:
    """Build the phases; what was reported of each."""
    heard = Quiet()
    planner = Planner(pipeline(folder, batch, second), Store(store), Memo(str(folder / "memo.json")))
    build(planner, [Selected(items)], (), heard, Options())
    return {report.phase: report for report in heard.reports}
