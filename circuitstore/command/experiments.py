"""The experiment table, as `status --all` prints it."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from circuitstore.command import terminal

if TYPE_CHECKING:
    from circuitstore.results.experiments import Experiment

COLUMNS = ("profile", "behaviour", "phase", "key", "computed", "names", "headline", "settings")
NEWEST = "newest"
KEY = 12  # digits of a key that are shown; --json has them all
WIDTH = 90  # of the column of settings


def print_experiments(store: str, profile: str | None, behaviours: Collection[str], as_json: bool) -> None:
    """Print every result of a store. Raises StoreError, DamageError."""
    from circuitstore.results.experiments import experiments
    from circuitstore.storage.layout import Store

    found = experiments(Store(store).check(), profile, behaviours)
    if as_json:
        terminal.print_json({"experiments": found})
        return
    for line in terminal.table([COLUMNS, *map(_row, found)]):
        terminal.echo(line)
    terminal.echo(f"{len(found)} results; one by its key: `circuitstore show PHASE -b B --key KEY`", err=True)


def _row(each: Experiment) -> tuple[str, ...]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.time_ns / 1e9)) if each.time_ns else ""
    own = "/".join((each.profile, each.behaviour, each.phase))
    names = [NEWEST if name == own else name for name in each.names] + [f"tag {tag}" for tag in each.tags]
    headline = " ".join(f"{name} {value:.4g}" for name, value in each.headline.items())
    settings = " ".join(f"{name}={value}" for name, value in each.settings.items())
    settings = settings if len(settings) <= WIDTH else settings[: WIDTH - 1] + "…"
    first = each.profile, each.behaviour, each.phase, each.key[:KEY], when
    return (*first, ", ".join(names), headline, settings)
