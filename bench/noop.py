"""What a build with nothing to do costs, beside the least that it could cost.

    python bench/noop.py [--store DIR] [--runs 15] [-- BUILD ARGUMENTS]

The least is starting Python, importing click and reading the refs. The script builds once, then runs both in
turn. It prints the median CPU seconds (user + system) of both and the median of the ratio pair by pair. It is
CPU time, not wall time, because machines are shared.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT = """
import click, glob, sys
for name in glob.glob(sys.argv[1] + '/refs/*/*/*.json'):
    open(name).read()
"""


def cpu_seconds(command: list[str]) -> float:
    """CPU seconds of one process, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default=str(ROOT / "store"))
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("arguments", nargs="*", default=["attribution", "--behaviour", "plural"])
    options = parser.parse_args()
    # Users have bytecode; without it every start would compile the project.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    build = [sys.executable, str(ROOT / "cli.py"), "build", *options.arguments, "--store", options.store]
    limit = [sys.executable, "-c", LIMIT, options.store]
    subprocess.run(build, check=True)
    pairs = [(cpu_seconds(limit), cpu_seconds(build)) for _ in range(options.runs)]
    limits, builds = zip(*pairs, strict=True)
    ratio = statistics.median(b / a for a, b in pairs)
    limit_seconds, build_seconds = statistics.median(limits), statistics.median(builds)
    print(f"limit {limit_seconds:.3f} s, build {build_seconds:.3f} s, ratio {ratio:.2f} (aim: at most 1.5)")


if __name__ == "__main__":
    main()
