"""What it costs to move a store of many small cells: all of it, nothing new, and one changed cell.

    python -m bench.sharing --items 20000

CPU seconds of this process, threads included, and bytes of objects. The store has two cells an item
(`bench/plain_phases.py`), and the places are a folder and fsspec's memory, so no network is measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.plain_phases import Items, build_plain
from circuitstore.storage.layout import Store
from circuitstore.storage.remote import place
from circuitstore.storage.remote_pull import pull
from circuitstore.storage.remote_push import push
from circuitstore.storage.remote_work import Report, Wanted


def measured(what: str, action: Callable[[], Report]) -> None:
    """Run one transfer and print its row."""
    started = time.process_time()
    report = action()
    seconds = time.process_time() - started
    assert not report.failed, report.failed
    print(f"{what:<34}{seconds:>8.2f} s{report.objects:>8} objects{report.bytes / 1e6:>10.2f} MB")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=1_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = Store(folder / "store")
        build_plain(folder / "source", folder / "store", Items(asked.items), asked.batch)
        print(f"{2 * asked.items} cells")
        for name, url in (("folder", str(folder / "there")), ("memory", "memory://bench/there")):
            measured(f"push to {name}", lambda url=url: push(store, url, Wanted()))
            measured(f"push to {name} again", lambda url=url: push(store, url, Wanted()))
            back = Store(folder / f"back-{name}")
            measured(f"pull from {name}", lambda url=url, back=back: pull(back, place(url), Wanted()))
            measured(f"pull from {name} again", lambda url=url, back=back: pull(back, place(url), Wanted()))
        build_plain(folder / "source", folder / "store", Items(asked.items, (7,)), asked.batch)
        for name, url in (("folder", str(folder / "there")), ("memory", "memory://bench/there")):
            measured(f"one changed cell to {name}", lambda url=url: push(store, url, Wanted()))
            back = Store(folder / f"back-{name}")
            measured(
                f"one changed cell from {name}", lambda url=url, back=back: pull(back, place(url), Wanted())
            )


if __name__ == "__main__":
    main()
