"""`gc` and `du`: what a store takes room for, and deleting what nothing needs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from circuitstore.command import options, terminal

if TYPE_CHECKING:
    from circuitstore.storage.gc import Report
    from circuitstore.storage.usage import Room

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Duration(click.ParamType[float]):
    """A whole number and a unit, such as 12h or 14d, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> float:
        """The seconds; a UsageError of click for anything else."""
        if isinstance(value, (int, float)):
            return float(value)
        text = str(value)
        number, unit = (text, "s") if text == "0" else (text[:-1], text[-1:])
        if not (number.isascii() and number.isdecimal() and len(number) <= 6 and unit in UNITS):
            self.fail(f"{text!r} is not a whole number and one of s, m, h, d, w, such as 14d", param, context)
        return float(int(number) * UNITS[unit])


@click.command(short_help="Delete what no ref and no tag needs.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted; delete nothing.")
@click.option(
    "--grace",
    type=Duration(),
    default="14d",
    show_default=True,
    metavar="DURATION",
    help="Keep what was written or used in this time: a number and s, m, h, d or w.",
)
@options.store
@options.as_json
def gc(dry_run: bool, grace: float, store: str, as_json: bool) -> None:
    """Delete results that no ref and no tag needs, and that nobody used for a while.

    Kept is the newest result of every name, whatever is tagged (`circuitstore tag`), and all that these were
    made from. Builds may run meanwhile: what they use is kept. Reviews and pins are never deleted.
    """
    from circuitstore.storage.gc import collect
    from circuitstore.storage.layout import Store

    opened = Store(store).check()
    with click.progressbar(length=len(opened.object_ids()), label="gc", file=sys.stderr) as bar:
        report = collect(opened, grace=grace, dry_run=dry_run, progress=bar.update)
    if as_json:
        terminal.print_json(report)
        return
    _print(report)


def _print(report: Report) -> None:
    kept = [(each.name, _megabytes(each.bytes), str(each.objects)) for each in report.kept]
    _table(("kept for", "MB", "objects"), kept)
    freed = [
        (row.phase or "records of no phase", row.age, _megabytes(row.bytes), str(row.files))
        for row in report.freed
    ]
    _table(("would be deleted of" if report.dry_run else "deleted of", "unused for", "MB", "files"), freed)
    for build in report.builds:
        terminal.echo(f"a build is at work, what it uses is kept: {build}", err=True)
    what = "could be freed" if report.dry_run else "freed"
    counts = f"{_megabytes(report.bytes)} MB in {report.files} files {what}; "
    terminal.echo(f"{counts}{report.young} records and objects without a name are too young", err=True)


@click.command(short_help="How much room results take.")
@options.store
@options.as_json
def du(store: str, as_json: bool) -> None:
    """Say how many bytes and files each folder, phase, behaviour and name takes.

    What several share is counted once in each sum, and in no "own". "unnamed" is what `circuitstore gc` can
    free once it is old enough.
    """
    from circuitstore.storage.layout import Store
    from circuitstore.storage.usage import usage

    found = usage(Store(store).check())
    if as_json:
        terminal.print_json(found)
        return
    for title, rooms in (
        ("name", found.names),
        ("phase", found.phases),
        ("behaviour", found.behaviours),
        ("folder", found.parts),
    ):
        _table((title, "MB", "own MB", "files"), _rows(rooms, own=title != "folder"))
    rest = [found.ancestry, found.unnamed]
    _table(("beside the names", "MB", "own MB", "files"), _rows(rest, own=False))
    terminal.echo(f"{_megabytes(found.bytes)} MB in {found.files} files", err=True)


def _rows(rooms: Iterable[Room], *, own: bool) -> list[tuple[str, ...]]:
    return [
        (room.name, _megabytes(room.bytes), _megabytes(room.own_bytes) if own else "", str(room.files))
        for room in rooms
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose columns after the texts are numbers, and an empty line; nothing without rows."""
    if rows:
        numbers = {i for i, title in enumerate(head) if title in ("MB", "own MB", "files", "objects")}
        for line in terminal.table([head, *rows], numbers):
            terminal.echo(line)
        terminal.echo()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f}"
