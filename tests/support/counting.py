"""A pipeline of two phases that need no model, in a package of its own, and a program that builds it.

Its workers start in a second. `numbers` gives each item a number, `squares` its square. A resource says what
else happens: which item kills its worker, how long each item takes, and where workers leave a mark.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from workspace import ROOT, Outcome

ITEMS = 24
PACKAGE = '''
from functools import partial

import msgspec

from circuitstore.engine.loading import watch

watch("counting")

from circuitstore.engine.task import Pipeline, Resource, Task
from circuitstore.models.device import Machine
from counting.inputs import events, items


class Counted(msgspec.Struct, frozen=True):
    """No settings."""


class Selection(msgspec.Struct, frozen=True):
    events: dict
    profile_name: str = "none"
    behaviour: str = "any"

    def config(self, table):
        return Counted()


def resources(selection, store):
    tags = ("GPU",) if selection.events.get("gpu") else ()
    load = partial(events.load, selection.events)
    return {"events": Resource(events.identity, load, part=partial(dict, selection.events), tags=tags)}


TASKS = (
    Task("numbers", Counted, needs=("events",), per=("item",), coordinates=items.numbers, batch=3),
    Task("squares", Counted, needs=("numbers", "events"), per=("item",), summary=True, batch=2),
)
PIPELINE = Pipeline("counting", TASKS, resources, Machine())
'''
MODULES = {
    "__init__": PACKAGE,
    "inputs/__init__": "",
    "inputs/items": f"""
def numbers(axis, config, resources):
    return [f"i{{n:02}}" for n in range({ITEMS})]
""",
    "inputs/events": """
def identity():
    return {}


def load(events):
    return events
""",
    "happening": '''
import os
import signal
import time


def happen(events, phase, item):
    """What happens as an item is computed: a mark of this process, a pause, the end of this process."""
    if marks := events.get("marks"):
        os.makedirs(f"{marks}/{phase}-{os.getpid()}", exist_ok=True)
    time.sleep(events.get("pause", 0))
    if item == events.get("fatal"):
        try:
            os.mkdir(events["fuse"])
        except FileExistsError:
            if not events.get("again"):
                return
        os.kill(os.getpid(), signal.SIGKILL)
''',
    "numbers": """
import numpy as np
import xarray as xr

from counting.happening import happen


def numbers(cells, config, events):
    for cell in cells:
        happen(events, "numbers", cell["item"])
        yield cell, xr.Dataset({"value": ((), np.int64(int(cell["item"][1:])))})
""",
    "squares": """
import numpy as np
import xarray as xr

from counting.happening import happen


def squares(cells, config, numbers, events):
    for cell in cells:
        happen(events, "squares", cell["item"])
        yield cell, xr.Dataset({"square": ((), np.int64(numbers.one(cell).value) ** 2)})


def summary(cells, config):
    return {"sum": sum(int(dataset.square) for _, dataset in cells)}
""",
    "program": """
import json
import sys

import circuitstore
import counting
from circuitstore.engine.interruption import exit_code, interruptible
from circuitstore.engine.planner import Planner
from circuitstore.engine.runner import Options, build
from circuitstore.errors import CircuitstoreError
from circuitstore.storage.layout import Store


class Heard:
    def __init__(self):
        self.reports = []

    def begin(self, step): pass
    def progress(self, cells): print(f"{cells} cells", file=sys.stderr, flush=True)
    def end(self, report): self.reports.append(report)
    def warn(self, text): print(f"warning: {text}", file=sys.stderr, flush=True)
    def note(self, text): print(text, file=sys.stderr, flush=True)


def main(store, options, events):
    heard = Heard()
    planner = Planner(counting.PIPELINE, Store(store))
    try:
        with interruptible():
            build(planner, [counting.Selection(events)], (), heard, Options(**options))
    except CircuitstoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        return exit_code(error)
    finally:
        print(json.dumps({r.phase: [r.artifact, r.computed, r.hits] for r in heard.reports}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
""",
}


class Counting:
    """The package in a folder, with stores beside it."""

    def __init__(self, root: Path):
        self.root = root
        for name, source in MODULES.items():
            file = root / "code" / "counting" / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)

    @property
    def environment(self) -> dict[str, str]:
        """What every process needs that imports the package."""
        path = os.pathsep.join([str(self.root / "code"), str(ROOT)])
        return {**os.environ, "PYTHONPATH": path, "CIRCUITSTORE_CACHE": str(self.root / "cache")}

    def start(self, store: str, events: dict[str, Any] | None = None, **options: object) -> subprocess.Popen:
        """A build in a process of its own."""
        words = [str(self.root / store), json.dumps(options), json.dumps(events or {})]
        return subprocess.Popen(
            [sys.executable, "-m", "counting.program", *words],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def build(self, store: str, events: dict[str, Any] | None = None, **options: object) -> Outcome:
        """A build, and what it did: phase → key of the artifact, how many computed, how many hits."""
        process = self.start(store, events, **options)
        out, err = process.communicate(timeout=300)
        return Outcome(process.returncode, out, err)

    def contents(self, store: str) -> dict[str, object]:
        """Phase → content hash and summary of its output."""
        from circuitstore.storage.layout import Store
        from circuitstore.storage.refs import Name, named

        found = (
            named(Store(self.root / store), Name("none", "any", phase)) for phase in ("numbers", "squares")
        )
        return {artifact.phase: (artifact.content, artifact.summary) for artifact in found}


CLUSTER = """
import asyncio
import sys

from distributed import Nanny, Scheduler


async def main():
    plain = {"nthreads": 1, "memory_limit": 0, "dashboard_address": None}
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
        async with Nanny(scheduler.address, resources={"GPU": 1}, **plain), Nanny(scheduler.address, **plain):
            print(scheduler.address, flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
"""
FEWER = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}  # a batch may kill two workers, not four


class Cluster:
    """A scheduler of Dask with two workers that know the package; one has the resource GPU."""

    def __init__(self, counting: Counting):
        program = counting.root / "cluster.py"
        program.write_text(CLUSTER)
        self.process = subprocess.Popen(
            [sys.executable, str(program)],
            env=counting.environment | FEWER,
            cwd=counting.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
