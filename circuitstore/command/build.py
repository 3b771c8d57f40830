"""`build`: bring phases up to date."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal
from circuitstore.command.failures import ToldError, described
from circuitstore.errors import CircuitstoreError

if TYPE_CHECKING:
    from circuitstore.engine.planner import Step
    from circuitstore.engine.runner import PhaseReport
    from circuitstore.engine.task import Selection, Task


@click.command(short_help="Bring phases up to date.")
@click.argument("phases", nargs=-1, metavar="[PHASE]...", shell_complete=options.offering("phases"))
@options.selecting
@options.working
@click.option("--dry-run", is_flag=True, help="Say what would run and why; write nothing.")
@click.option(
    "--keep-going",
    is_flag=True,
    help="When a phase fails, go on with all that does not need it. What is wrong before any runs stops all.",
)
@click.option("--ignore-gate", is_flag=True, help="Go on although the model does not show the behaviour.")
@options.upstream
@options.as_json
def build(
    phases: tuple[str, ...],
    store: str,
    profile: str,
    behaviours: tuple[str, ...],
    prompts: str | None,
    settings: tuple[str, ...],
    jobs: int | None,
    dask: str,
    dry_run: bool,
    keep_going: bool,
    ignore_gate: bool,
    upstream: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compute PHASE and all it needs, all phases when none is named; only what is missing runs.

    A line a phase says how many cells were there already (hits), how many were computed, and the seconds it
    took. An interrupted or failed build keeps all finished cells; the same command resumes it. What another
    store has already (--upstream) is taken from there; --dry-run looks only at this one.
    """
    options.refuse_one_text(phases)
    planner = options.planner(store, upstream)
    tasks = planner.pipeline.closure(phases)
    selections = options.selections(profile, behaviours, prompts, settings, phases)
    if dry_run:
        from circuitstore.command.inspect import print_steps

        steps = [step for selection in selections for step in planner.steps(selection, tasks)]
        print_steps(steps, as_json)
        return
    from circuitstore.engine.runner import Options, build

    reporter = Lines()
    told: dict[str, Any] = {"phases": reporter.reports}
    try:
        build(planner, selections, phases, reporter, Options(jobs or 0, keep_going, ignore_gate, dask=dask))
    except CircuitstoreError as error:
        told["error"] = described(error)
        if as_json:
            raise ToldError(error) from error
        raise
    finally:
        reporter.close()
        if as_json:
            terminal.print_json(told)
    for hint in hints(tasks, selections, profile, store):
        terminal.echo(hint, err=True)


def hints(tasks: Sequence[Task], selections: Sequence[Selection], profile: str, store: str) -> list[str]:
    """How to get out of the store what was just built, for results that are made to be looked at."""
    from circuitstore.results.defaults import DEFAULT_PROFILE, DEFAULT_STORE

    built = {task.name for task in tasks}
    lines = []
    for what, export in pipeline.services().exports.items():
        if export.front and export.phase in built:
            words = [f"circuitstore export {what}"]
            words += [f"--behaviour {selection.behaviour}" for selection in selections]
            words += [f"--profile {profile}"] if profile != DEFAULT_PROFILE else []
            words += [f"--store {store}"] if store != DEFAULT_STORE else []
            lines.append(f"to see the {what}: {' '.join(words)}")
    return lines


QUIET = 60.0  # seconds of work without a word, where no bar is shown


class Lines:
    """One line a phase on stderr.

    While a phase runs there is a progress bar on a terminal, and elsewhere a line now and then.
    """

    def __init__(self) -> None:
        self.reports: list[PhaseReport] = []
        self.bar: Any = None
        self.shown = sys.stderr.isatty()

    def begin(self, step: Step) -> None:
        self.close()
        self.label = f"{step.task.name:<18} {step.selection.behaviour:<12}"
        self.todo, self.done, self.told = len(step.todo), 0, time.monotonic()
        if self.shown:
            self.bar = click.progressbar(length=self.todo, label=self.label, file=sys.stderr, show_pos=True)
            self.bar.render_progress()

    def progress(self, cells: int) -> None:
        self.done += cells
        if self.bar is not None:
            self.bar.update(cells)
        elif self.done < self.todo and time.monotonic() - self.told >= QUIET:
            terminal.echo(f"{self.label}{self.done:>6} of {self.todo} cells", err=True)
            self.told = time.monotonic()

    def end(self, report: PhaseReport) -> None:
        self.close()
        self.reports.append(report)
        counts = f"{report.cells:>6} cells {report.hits:>6} hits {report.computed:>6} computed"
        failed = f" {report.failed:>6} failed" if report.failed else ""
        seconds = f" {report.seconds:>8.1f} s"
        terminal.echo(f"{report.phase:<18} {report.behaviour:<12}{counts}{failed}{seconds}", err=True)

    def warn(self, text: str) -> None:
        self.close()
        terminal.echo(f"warning: {text}", err=True)

    def note(self, text: str) -> None:
        self.close()
        terminal.echo(text, err=True)

    def close(self) -> None:
        """Take the progress bar off the terminal."""
        if self.bar is not None:
            terminal.clear_line()
            self.bar = None
