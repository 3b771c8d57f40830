"""What worker processes gain: one phase built by this process alone, by --jobs and by --dask.

    python bench/parallel.py [--phase interventions] [--behaviour plural] [--runs 3] [--way "--jobs 2"]…

All that the phase reads is built once, on the profile `tiny`. Each run then builds the phase in a copy of
that store, in processes of their own, the ways in turn, because the load of a machine changes. The table
gives the least wall time of each way, CPU seconds (user + system) of all its processes in that run, the
gain over the first way, and whether the objects, whose names are hashes of what they hold, are the same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
WAYS = ("--jobs 1", "--jobs 2", "--dask local --jobs 2")


def build(store: Path, phases: list[str], behaviour: str, words: list[str]) -> tuple[float, float, float]:
    """Build phases: wall seconds of the command, its CPU seconds, and wall seconds of the phases alone."""
    command = [sys.executable, str(ROOT / "cli.py"), "build", *phases, "-b", behaviour, "--profile", "tiny"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*command, "--store", str(store), "--json", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, sum(row["seconds"] for row in json.loads(done.stdout)["phases"])


def objects(store: Path) -> set[str]:
    """The names of all objects."""
    return {path.name for path in (store / "objects").glob("*/*")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phase", default="interventions")
    parser.add_argument("--behaviour", default="plural")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--way", action="append", default=[])
    parser.add_argument("--base", help="a store that has all that the phase reads")
    options = parser.parse_args()
    ways = options.way or WAYS
    best: dict[str, tuple[float, float, float]] = {}
    made: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(options.base or Path(scratch, "base"))
        if not options.base:
            sys.path.insert(0, str(ROOT))
            from circuitstore import pipeline

            phases = pipeline.load()
            above = phases.closure((options.phase,))[:-1]
            build(base, [task.name for task in above], options.behaviour, [])
        for run in range(options.runs):
            for way in ways:
                store = Path(scratch, f"run-{run}")
                shutil.copytree(base, store)
                found = build(store, [options.phase], options.behaviour, way.split())
                made[way] = objects(store)
                best[way] = min(best.get(way, found), found)
                shutil.rmtree(store)
    print("| way | wall s | CPU s | phase s | gain | objects |\n|---|---|---|---|---|---|")
    for way in ways:
        wall, cpu, phase = best[way]
        same = "the same" if made[way] == made[ways[0]] else "OTHERS"
        gain = best[ways[0]][0] / wall
        print(f"| `{way}` | {wall:.1f} | {cpu:.1f} | {phase:.1f} | {gain:.2f} | {len(made[way])}, {same} |")


if __name__ == "__main__":
    main()
