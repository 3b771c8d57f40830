"""What a store costs whose results were built piece by piece: files, bytes, and CPU time to use them.

    python bench/fragments.py [--prompts 40] [--edits 0 10 20 40] [--runs 3]

The attribution of some prompts of the small model is built. Then one prompt after another is exchanged for a
new one, each with a build of its own, so that batches of many cells die cell by cell, and each new cell lies
in an object of its own. After so many edits the store is collected (`gc --grace 0`) and compared with a store
in which the same results were built at once, which is the best that packing could give. The last column is
what lies in kept objects and is of no named result.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import circuitstore as cs
from circuitstore.storage.actions import journals, phases
from circuitstore.storage.gc import collect
from circuitstore.storage.layout import Store
from circuitstore.storage.reach import Reach, Reached, roots
from circuitstore.storage.refs import named, names

ROOT = Path(__file__).parents[1]
PHASE, BEHAVIOUR = "attribution", "own"
WORDS = {
    "open and read": ("-c", "import circuitstore as cs, sys; cs.open('attribution', behaviour='own').load()"),
    "verify --deep": ("cli.py", "verify", "--deep"),
    "push": ("cli.py", "push", "{folder}/there"),
    "gc": ("cli.py", "gc"),
}


def rows(store: Path) -> list[dict[str, str]]:
    """The built-in prompts, without partners."""
    cs.build("prompts", behaviour="plural", store=store)
    words = ("show", "prompts", "-b", "plural", "--json", "--store", str(store))
    done = subprocess.run(
        [sys.executable, ROOT / "cli.py", *words], capture_output=True, text=True, check=True
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [{name: row[name] for name in ("text", "correct", "incorrect")} for row in found]


def build(store: Path, file: Path, prompts: list[dict[str, str]]) -> None:
    """Bring the graphs of these prompts up to date."""
    lines = (json.dumps({**row, "id": f"p{number:03}"}) for number, row in enumerate(prompts))
    file.write_text("\n".join(lines))
    cs.build(PHASE, prompts=file, store=store, ignore_gate=True)


def dead(store: Path) -> float:
    """The share of cells in kept objects that no named result has."""
    opened = Store(store)
    found = Reached()
    for key in roots(opened).values():
        Reach(opened).artifact(key, found)
    live = {cell.content for name in names(opened) for cell in named(opened, name).cells}
    held = [
        entry.content
        for phase in phases(opened)
        for journal in journals(opened, phase)
        if journal.object in found.objects
        for entry in journal.cells
    ]
    return 1 - sum(content in live for content in held) / len(held)


def measured(store: Path, runs: int) -> dict[str, float]:
    """Files, bytes, CPU seconds of each use, and the share of dead cells."""
    files = [path for path in store.rglob("*") if path.is_file()]
    told = {"files": float(len(files)), "MB": sum(path.stat().st_size for path in files) / 1e6}
    environment = {**os.environ, "CIRCUITSTORE_STORE": str(store), "PYTHONPATH": str(ROOT)}
    for name, words in WORDS.items():
        times = []
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, *(word.format(folder=folder) for word in words)]
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        told[name] = statistics.median(times)
    return {**told, "dead": dead(store)}


def main() -> None:
    """Build, edit, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--edits", type=int, nargs="+", default=[0, 10, 20, 40])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        grown, file = Path(folder, "grown"), Path(folder, f"{BEHAVIOUR}.jsonl")
        every = rows(Path(folder, "first"))
        prompts, spare = every[: options.prompts], every[options.prompts :]
        build(grown, file, prompts)
        done = 0
        for edits in sorted(options.edits):
            while done < edits:
                prompts[done % len(prompts)] = spare[done]
                build(grown, file, prompts)
                done += 1
            collect(Store(grown), grace=0)
            at_once = Path(folder, "at once")
            build(at_once, file, prompts)
            for name, store in (("grown", grown), ("at once", at_once)):
                told = measured(store, options.runs)
                print(
                    edits, name, *(f"{key} {value:.3g}" for key, value in told.items()), sep=", ", flush=True
                )
            shutil.rmtree(at_once)


if __name__ == "__main__":
    main()
