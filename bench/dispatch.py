"""What it costs to have a cell computed by another process: a phase that does nothing, here and by workers.

    python bench/dispatch.py [--cells 5000] [--runs 2]

Each way builds one number a cell, in batches of 50 cells, twice: few cells, and so many more. The table gives
the CPU seconds (user + system) of all processes of a build, divided by the cells that are more, so that what
starting takes falls out. The last column is what a way costs beyond this process alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FEW = 500
WAYS: dict[str, dict[str, object]] = {
    "this process": {},
    "--jobs 2": {"jobs": 2},
    "--dask local --jobs 2": {"dask": "local", "jobs": 2},
}
PACKAGE = '''
import msgspec
from circuitstore.engine.loading import watch

watch("counted")

from circuitstore.engine.task import Pipeline, Task
from circuitstore.models.device import Machine
from counted.inputs import items


class Counted(msgspec.Struct, frozen=True):
    """How many cells there are."""

    cells: int = 1


class Selection(msgspec.Struct, frozen=True):
    cells: int
    profile_name: str = "none"
    behaviour: str = "any"

    def config(self, table):
        return Counted(self.cells)


TASK = Task(
    "numbers", Counted, needs=(), per=("item",), coordinates=items.numbers, whole=("cells",), batch=50
)
PIPELINE = Pipeline("counted", (TASK,), lambda selection, store: {}, Machine())
'''
NUMBERS = """
import numpy as np
import xarray as xr


def numbers(cells, config):
    for cell in cells:
        yield cell, xr.Dataset({"value": ((), np.int64(cell["item"]))})
"""
ITEMS = """
def numbers(axis, config, resources):
    return range(config.cells)
"""
PROGRAM = """
import json
import sys

import circuitstore
import counted
from circuitstore.engine.planner import Planner
from circuitstore.engine.runner import Options, build
from circuitstore.storage.layout import Store


class Heard:
    def begin(self, step): pass
    def progress(self, cells): pass
    def end(self, report): pass
    def warn(self, text): print(text, file=sys.stderr)
    def note(self, text): print(text, file=sys.stderr)


if __name__ == "__main__":
    store, cells, options = sys.argv[1:]
    planner = Planner(counted.PIPELINE, Store(store))
    build(planner, [counted.Selection(int(cells))], (), Heard(), Options(**json.loads(options)))
"""
MODULES = {
    "__init__": PACKAGE,
    "numbers": NUMBERS,
    "inputs/__init__": "",
    "inputs/items": ITEMS,
    "program": PROGRAM,
}


def cpu_seconds(folder: Path, cells: int, way: str) -> float:
    """CPU seconds of one build of so many cells in a new store."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(dir=folder) as store:
        words = [f"{store}/store", str(cells), json.dumps(WAYS[way])]
        command = [sys.executable, "-m", "counted.program", *words]
        subprocess.run(command, cwd=folder, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--way", action="append", default=[], choices=WAYS)
    options = parser.parse_args()
    ways = ["this process", *(way for way in options.way or WAYS if way != "this process")]
    best: dict[tuple[str, int], float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, source in MODULES.items():
            file = folder / "counted" / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        for _ in range(options.runs):
            for way in ways:
                for cells in (FEW, FEW + options.cells):
                    took = cpu_seconds(folder, cells, way)
                    best[way, cells] = min(best.get((way, cells), took), took)
    each = {way: (best[way, FEW + options.cells] - best[way, FEW]) / options.cells * 1000 for way in ways}
    print("| way | CPU ms a cell | beyond this process |\n|---|---|---|")
    for way, cost in each.items():
        print(f"| {way} | {cost:.2f} | {cost - each['this process']:.2f} |")


if __name__ == "__main__":
    main()
