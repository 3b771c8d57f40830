"""`build`: bring phases up to date."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from circuitstore.command import options
from circuitstore.errors import CircuitstoreError


@click.command(short_help="Bring phases up to date.")
@click.argument("phases", nargs=-1, metavar="[PHASE]...")
@options.selecting
@click.option(
    "--jobs", "-j", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes."
)
@click.option("--dry-run", is_flag=True, help="Say what would run and why; write nothing.")
@click.option(
    "--keep-going", is_flag=True, help="After a failure go on with everything that does not need what failed."
)
@click.option("--ignore-gate", is_flag=True, help="Go on although the model does not show the behaviour.")
@options.as_json
def build(
    phases, store, profile, behaviours, prompts, settings, jobs, dry_run, keep_going, ignore_gate, as_json
) -> None:
    """Compute PHASE and all it needs, all phases when none is named; only what is missing runs.

    A line a phase says how many cells were there already (hits), how many were computed, and the seconds it
    took. An interrupted or failed build keeps all finished cells; the same command resumes it.
    """
    planner = options.planner(store)
    tasks = planner.pipeline.closure(phases)
    selections = options.selections(profile, behaviours, prompts, settings, phases)
    if dry_run:
        from circuitstore.command.inspect import print_steps

        print_steps([step for selection in selections for step in planner.steps(selection, tasks)], as_json)
        return
    from circuitstore.engine.runner import Options, build

    reporter = Lines()
    reports: list = []
    try:
        reports = build(planner, selections, phases, reporter, Options(jobs, keep_going, ignore_gate))
    except CircuitstoreError as error:
        reports = [*getattr(error, "reports", []), *filter(None, [getattr(error, "report", None)])]
        raise
    finally:
        reporter.close()
        if as_json:
            options.print_json({"phases": reports})
    if any(task.name == "figures" for task in tasks):
        from circuitstore.command.export import hint

        click.echo(hint(profile, [selection.behaviour for selection in selections], store), err=True)


QUIET = 60.0  # seconds of work without a word, where no bar is shown


class Lines:
    """One line a phase on stderr, and while it runs a progress bar on a terminal, else now and then a line."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.shown = sys.stderr.isatty()

    def begin(self, step) -> None:
        label = f"{step.task.name:<18} {step.selection.behaviour:<12}"
        self.label, self.todo, self.done, self.told = label, len(step.todo), 0, time.monotonic()
        if self.shown:
            self.bar = click.progressbar(length=len(step.todo), label=label, file=sys.stderr, show_pos=True)
            self.bar.render_progress()

    def progress(self, cells: int) -> None:
        self.done += cells
        if self.bar is not None:
            self.bar.update(cells)
        elif self.done < self.todo and time.monotonic() - self.told >= QUIET:
            click.echo(f"{self.label}{self.done:>6} of {self.todo} cells", err=True)
            self.told = time.monotonic()

    def end(self, report) -> None:
        self.close()
        counts = f"{report.cells:>6} cells {report.hits:>6} hits {report.computed:>6} computed"
        click.echo(f"{report.phase:<18} {report.behaviour:<12}{counts} {report.seconds:>8.1f} s", err=True)

    def warn(self, text: str) -> None:
        self.close()
        click.echo(f"warning: {text}", err=True)

    def close(self) -> None:
        if self.bar is not None:
            click.echo("\r\x1b[2K", nl=False, err=True)
            self.bar = None
