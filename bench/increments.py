"""What one more build costs in a store that has nearly everything: nothing to do, one edited, one added cell.

    python bench/increments.py [--cells 2800 100000] [--runs 3] [--tree DIR]… [--batch 256] [--phases 1]

Phases whose cells cost nothing (`bench/plain_phases.py`) are built in a scratch store. Then each kind of
build runs in a process of its own, on a copy of the store of its own where it writes. The table gives CPU
seconds (user + system, median), peak memory of the process, files and bytes that are new among the records
(all of the store but arrays). `--tree` measures other checkouts too, in turn with this one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
ONE = """
import gc, json, resource, sys
gc.disable()
from pathlib import Path
from plain_phases import Items, build_plain
folder, store, count, edited, batch, phases = sys.argv[1:]
done = build_plain(Path(folder), Path(store), Items(int(count), tuple(json.loads(edited))), int(batch),
                   phases == "2")
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"computed": sum(each.computed for each in done.values()),
                  "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss * 1024}))
"""


def one(tree: Path, folder: Path, store: Path, count: int, edited: list[int], options) -> dict:
    """One build in a process of its own, with the code of a tree."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(HERE)])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # users have bytecode
    words = [folder, store, count, json.dumps(edited), options.batch, options.phases]
    command = [sys.executable, "-c", ONE, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict = json.loads(done.stdout)
    return found


def records(store: Path) -> dict[Path, tuple[int, int]]:
    """Inode and size of each file but arrays."""
    found = {}
    for top, _, names in os.walk(store):
        inside = Path(top).relative_to(store).parts
        arrays = inside[:1] == ("objects",)
        for name in names:
            if not arrays or name == "MANIFEST.json":
                status = os.lstat(os.path.join(top, name))
                found[Path(top, name)] = (status.st_ino, status.st_size)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[2800, 100000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tree", action="append", default=[])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--phases", choices=["1", "2"], default="1")
    parser.add_argument("--folder", help="where stores are made, and kept for the next time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(options.folder or scratch)
        for count in options.cells:
            measure(top, count, options)


def measure(top: Path, count: int, options) -> None:
    """The rows of the table for one number of cells."""
    trees = [*map(Path, options.tree), ROOT]
    for number, tree in enumerate(trees):
        folder = top / f"{number}-{count}-{options.batch}-{options.phases}"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "built").exists():
            found = one(tree, folder, folder / "store", count, [], options)
            (folder / "built").write_text(json.dumps(found))
            line(tree, count, "all", [found], 0, 0)
    kinds = {"nothing": (0, []), "one edited": (0, [count // 3]), "one added": (1, [])}
    for kind, (more, edited) in kinds.items():
        for number, tree in enumerate(trees):
            folder = top / f"{number}-{count}-{options.batch}-{options.phases}"
            results, files, size = [], 0, 0
            for _ in range(options.runs):
                copy = folder / "copy"
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(folder / "store", copy)
                before = records(copy)
                results.append(one(tree, folder, copy, count + more, edited, options))
                fresh = {path: each for path, each in records(copy).items() if before.get(path) != each}
                files, size = len(fresh), sum(bytes for _, bytes in fresh.values())
            line(tree, count, kind, results, files, size)


def line(tree: Path, count: int, kind: str, results: list[dict], files: int, size: int) -> None:
    """One row of the table."""
    cpu = statistics.median(each["cpu"] for each in results)
    memory = max(each["memory"] for each in results) / 1e6
    name = "this" if tree == ROOT else str(tree)
    print(
        f"| {name} | {count:,} | {kind} | {results[0]['computed']} | {cpu:.2f} | {memory:.0f} "
        f"| {files} | {size / 1e3:,.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
