"""What a first build costs, phase by phase, beside other checkouts.

    python bench/cold.py [--goal attribution] [--runs 3] [--tree DIR]… [--behaviour plural]

Each build runs on the profile `tiny` in a process of its own, in this process alone (`--jobs 1`) and with one
thread of torch. The table gives CPU seconds (user + system, of the run with the least in all): of each phase,
which includes what it imports, and of the whole process. The last column says whether the objects, whose
names are hashes of what they hold, are those of the first checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ONE = """
import json, sys, time
from circuitstore.command import options
from circuitstore.engine.runner import Options, build

store, goal, behaviour = sys.argv[1:]
took = {}


class Heard:
    def begin(self, step): pass
    def progress(self, cells): pass
    def warn(self, text): print(text, file=sys.stderr)
    def end(self, report):
        took[report.phase] = time.process_time() - sum(took.values())


selections = options.selections("tiny", (behaviour,), None, (), (goal,))
planner = options.planner(store)
took["plan"] = time.process_time()
build(planner, selections, (goal,), Heard(), Options())
print(json.dumps({**took, "all": time.process_time()}))
"""


def one(tree: Path, store: Path, goal: str, behaviour: str) -> dict[str, float]:
    """CPU seconds of each phase of one build with the code of a tree."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(tree)}
    words = [sys.executable, "-c", ONE, str(store), goal, behaviour]
    done = subprocess.run(words, env=environment, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def objects(store: Path) -> set[str]:
    """The names of all objects."""
    return {path.name for path in (store / "objects").glob("*/*")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--goal", default="attribution")
    parser.add_argument("--behaviour", default="plural")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tree", action="append", default=[])
    options = parser.parse_args()
    trees = [*(Path(tree).resolve() for tree in options.tree), ROOT]
    best: dict[Path, dict[str, Any]] = {}
    made: dict[Path, set[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for run in range(options.runs):
            for number, tree in enumerate(trees):  # in turn, for the load of a machine changes
                store = Path(scratch, f"{run}-{number}")
                found = one(tree, store, options.goal, options.behaviour)
                made[tree] = objects(store)
                if tree not in best or found["all"] < best[tree]["all"]:
                    best[tree] = found
    phases = list(best[trees[0]])
    print("| code |", " | ".join(phases), "| objects |")
    print("|---|", "---|" * (len(phases) + 1), sep="")
    for tree in trees:
        numbers = " | ".join(f"{best[tree].get(phase, 0.0):.2f}" for phase in phases)
        same = "the same" if made[tree] == made[trees[0]] else "OTHERS"
        print(f"| {'this' if tree == ROOT else tree} | {numbers} | {len(made[tree])}, {same} |")


if __name__ == "__main__":
    main()
