"""`plan` and `profile`: what a build would cost, and every setting it would be built with."""

from __future__ import annotations

from typing import Any

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal
from circuitstore.command.groups import Group


@click.command(short_help="What a build would cost.")
@click.argument("phases", nargs=-1, metavar="[PHASE]...", shell_complete=options.offering("phases"))
@options.settings
@options.prompts
@options.behaviour
@options.profile
@options.store
@click.option(
    "--device",
    metavar="NAME",
    help="What computes: cpu, a100, … Default: cpu, or a100 if the profile computes elsewhere.",
)
@options.as_json
def plan(
    phases: tuple[str, ...],
    profile: str,
    store: str,
    behaviours: tuple[str, ...],
    prompts: str | None,
    settings: tuple[str, ...],
    device: str | None,
    as_json: bool,
) -> None:
    """Say what building PHASE and all it needs would cost.

    Costs are bytes to download, memory, bytes in the store, and time.

    Reckoned from shapes alone, as if nothing had been built: nothing is downloaded, loaded or written. Of the
    store, only the room on its disk is looked at. Memory is that of a process that builds one phase; `mapped`
    are weight files that the system may drop and read again. Time is a rough estimate for the device.
    """
    from circuitstore.storage.layout import Store

    free = Store(store).check_or_new().free_bytes()
    tasks = pipeline.load().closure(phases)
    selections = options.selections(profile, behaviours, prompts, settings, phases)
    result = pipeline.services().plan(selections, tasks, device)
    if as_json:
        terminal.print_json(result)
    else:
        _print(result, free)


def _print(result: Any, free: int) -> None:
    amounts = "".join(f"{name:>10}" for name in ("host", "mapped", "device", "store", "time"))
    terminal.echo(f"{'phase':<16}{'behaviour':<12}{'cells':>8}{amounts}")
    for row in result.phases:
        amounts = "".join(
            f"{_bytes(n):>10}" for n in (row.host_bytes, row.mapped_bytes, row.device_bytes, row.store_bytes)
        )
        cells = "unknown" if row.cells is None else row.cells
        terminal.echo(f"{row.phase:<16}{row.behaviour:<12}{cells:>8}{amounts}{_time(row.seconds):>10}")
    terminal.echo()
    for name, size, here in result.files:
        terminal.echo(f"{name:<14}{_bytes(size):>10}  {'here' if here else 'to be downloaded'}")
    terminal.echo(f"{'download':<14}{_bytes(result.download_bytes):>10}")
    mapped = f"at most, and {_bytes(result.mapped_bytes)} of mapped weights"
    terminal.echo(f"{'host memory':<14}{_bytes(result.host_bytes):>10}  {mapped}")
    if result.device != "cpu":
        most = f"at most, of {_bytes(result.device_memory)} ({result.device})"
        terminal.echo(f"{'device memory':<14}{_bytes(result.device_bytes):>10}  {most}")
    terminal.echo(f"{'store':<14}{_bytes(result.store_bytes):>10}  of {_bytes(free)} free there")
    terminal.echo(f"{'time':<14}{_time(result.seconds):>10}  on {result.device}, an estimate")
    if result.active_assumed:
        terminal.echo(
            f"assumed: {result.active:g} features active at a position and layer (--set shape.active=…)",
            err=True,
        )
    if result.unknown:
        remedy = "add a [shape] table to the profile, or download the files"
        terminal.echo(f"unknown: {', '.join(result.unknown)} ({remedy})", err=True)


def _bytes(size: float | None) -> str:
    if size is None:
        return "unknown"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@click.group(cls=Group, short_help="List profiles and show settings.")
def profile() -> None:
    """Profiles: which there are, and every setting of one."""


@profile.command("list")
@options.as_json
def list_profiles(as_json: bool) -> None:
    """List the profiles that come built in."""
    names = pipeline.services().settings.names()
    if as_json:
        terminal.print_json({"profiles": names})
    else:
        terminal.echo("\n".join(names))


@profile.command("show")
@options.profile
@options.settings
@options.as_json
def show_profile(profile: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Print every setting as a build would use it, and where it comes from: default, profile or --set."""
    rows = pipeline.services().settings.describe(profile, settings)
    if as_json:
        terminal.print_json({"settings": rows})
        return
    shown = [(f"{row.section}.{row.field}", _shown(row.value), row.origin) for row in rows]
    for line in terminal.table(shown):
        terminal.echo(line)


def _shown(value: object) -> str:
    return "unknown" if value is None else str(list(value)) if isinstance(value, tuple) else str(value)
