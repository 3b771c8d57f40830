"""Many processes at once on one store, killed at random, while garbage is collected and everything verified.

`python bench/crowd.py --seconds 300` starts builders of several variants of two plain phases, readers, `gc`
and `verify`, kills builders (SIGKILL) and starts others, and prints what was seen. It exits with 1 if
anything was wrong: a build that failed, a cell that was read wrong or not at all, damage, or a content other
than that of a quiet build.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.plain_phases import Items, build_plain
from circuitstore.errors import CircuitstoreError
from circuitstore.storage.gc import collect
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.refs import Name, named
from circuitstore.storage.verify import verify

COUNT, BATCH, EDITED, TRIED = 120, 8, 12, 4
NAMES = [Name("plain", "plain", phase) for phase in ("first", "second")]
CONTEXT = multiprocessing.get_context("fork")


def variant(seed: int) -> Items:
    """Some of the items edited: any two variants share most cells, and no artifact."""
    return Items(COUNT, tuple(sorted(random.Random(seed).sample(range(COUNT), EDITED))))


def contents(store: Store) -> tuple[str, ...]:
    """Content hashes of the newest results."""
    return tuple(named(store, name).content for name in NAMES)


class Crowd:
    """A store and all who are at work in it. `seen` counts what they did and what went wrong."""

    def __init__(self, root: Path, grace: float):
        self.root, self.store, self.grace = root, Store(root / "store"), grace
        # Lines are appended whole. A queue has a lock, which whoever is killed with it keeps for ever.
        self.notes = os.open(root / "notes", os.O_CREAT | os.O_APPEND | os.O_RDWR)
        self.heard, self.offset = b"", 0
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    def note(self, what: str) -> None:
        """Tell the parent what was done; what begins with "wrong" must not be."""
        os.write(self.notes, what.replace("\n", " ").encode() + b"\n")

    def build(self) -> None:
        """Build one variant after the other, for ever."""
        choose = random.Random(os.getpid())
        while True:
            items = variant(choose.randrange(1 << 30))
            build_plain(self.root / "source", Path(self.store.root), items, BATCH)
            self.note("builds")

    def read(self) -> None:
        """Read the newest results whole, for ever: every cell is checked by its hash and by its number."""
        while True:
            for name in NAMES:
                for cell in named(self.store, name).cells:
                    values = ObjectReader(self.store, cell.object).cell(cell.row)
                    number = int(str(cell.coords["item"])[5:13])
                    value = int(values["number"] if name.phase == "first" else values["double"])
                    if value != number * (1 if name.phase == "first" else 2):
                        self.note(f"wrong: {name} {cell.coords} is {value}")
                self.note("reads")

    def collect(self) -> None:
        """Collect garbage, for ever."""
        while True:
            self.note("collections")
            for _ in range(collect(self.store, grace=self.grace).files):
                self.note("files deleted")

    def verify(self) -> None:
        """Verify everything, for ever."""
        while True:
            for damage in verify(self.store, deep=True).damaged:
                self.note(f"wrong: damaged {damage.path}: {damage.problem}")
            self.note("verifications")

    def start(self, work: Callable[[], None]) -> multiprocessing.process.BaseProcess:
        """A process that does some work for ever; that it fails is wrong."""
        process = CONTEXT.Process(target=self._run, args=(work,), daemon=True)
        process.start()
        return process

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except CircuitstoreError as error:
            self.note(f"wrong: {work.__name__}: {error}")

    def hear(self) -> None:
        """Count what was told since."""
        raw = self.heard + os.pread(self.notes, 1 << 26, self.offset)
        self.offset += len(raw) - len(self.heard)
        *lines, self.heard = raw.split(b"\n")
        for told in map(bytes.decode, lines):
            self.seen[told.partition(":")[0]] += 1
            if told.startswith("wrong"):
                self.wrong.append(told)


def crowd(root: Path, seconds: float, kills: int, builders: int, grace: float) -> Crowd:
    """Let them work for so long, with so many kills."""
    made, quiet = Crowd(root, grace), {}
    for seed in range(TRIED):
        build_plain(root / "source", root / "quiet", variant(seed), BATCH)
        quiet[seed] = contents(Store(root / "quiet"))
    build_plain(root / "source", root / "store", variant(0), BATCH)
    building = [made.start(made.build) for _ in range(builders)]
    others = [made.start(each) for each in (made.read, made.read, made.collect, made.verify)]
    choose, began = random.Random(789), time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        made.hear()
        while made.seen["kills"] < kills * passed / seconds:
            victim = choose.randrange(builders)
            os.kill(int(building[victim].pid or 0), signal.SIGKILL)
            building[victim].join()
            building[victim] = made.start(made.build)
            made.seen["kills"] += 1
        time.sleep(0.02)
    for process in (*building, *others):
        process.kill()
        process.join()
    made.hear()
    made.wrong += [f"wrong: {each.path}: {each.problem}" for each in verify(made.store, deep=True).damaged]
    for seed, expected in quiet.items():
        build_plain(root / "source", root / "store", variant(seed), BATCH)
        if contents(made.store) != expected:
            made.wrong.append(f"wrong: contents of variant {seed}")
    return made


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--builders", type=int, default=8)
    parser.add_argument("--grace", type=float, default=20, help="seconds that gc spares")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = crowd(Path(folder), told.seconds, told.kills, told.builders, told.grace)
    for what, count in sorted(made.seen.items()):
        print(f"{count:>8} {what}")
    for line in made.wrong:
        print(line)
    print("nothing wrong" if not made.wrong else f"{len(made.wrong)} wrong")
    return 1 if made.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
