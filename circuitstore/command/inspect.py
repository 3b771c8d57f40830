"""`status`, `explain`, `show` and `log`: what is built, why something is not, and how it came to be."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal
from circuitstore.command.experiments import print_experiments
from circuitstore.errors import UsageError

if TYPE_CHECKING:
    from circuitstore.engine.planner import Step
    from circuitstore.engine.services import Table

CELL = 60  # letters of a text in a table


@click.command(short_help="What is fresh, stale or missing.")
@click.option("--all", "everything", is_flag=True, help="List every result in the store instead.")
@options.selecting
@options.as_json
def status(
    everything: bool,
    store: str,
    profile: str,
    behaviours: tuple[str, ...],
    prompts: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say of every phase whether its output is fresh, stale or missing, and why.

    With --all, list every result in the store, whatever it was built with: its key, when it was computed,
    which name's newest result it is, its tags, a number of its summary, and the settings that are not the
    defaults. Then --behaviour and --profile only choose, and nothing is planned.
    """
    if everything:
        if prompts or settings:
            raise UsageError("status --all", expected="no --prompts and no --set")
        print_experiments(store, options.said(profile), behaviours, as_json)
        return
    planner = options.planner(store)
    selections = options.selections(profile, behaviours, prompts, settings)
    tasks = planner.pipeline.tasks
    if not planner.store.exists():
        terminal.echo(f"there is no store at {store} yet: `circuitstore build` makes one", err=True)
    print_steps([step for selection in selections for step in planner.steps(selection, tasks)], as_json)


@click.command(short_help="Which input of a phase changed.")
@click.argument("phase", shell_complete=options.offering("phases"))
@options.selecting
@options.as_json
def explain(
    phase: str,
    store: str,
    profile: str,
    behaviours: tuple[str, ...],
    prompts: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say which input of PHASE, or of a phase it needs, changed: from what to what."""
    options.refuse_one_text((phase,))
    planner = options.planner(store)
    tasks = planner.pipeline.closure((phase,))
    selections = options.selections(profile, behaviours, prompts, settings, (phase,))
    print_steps([step for selection in selections for step in planner.steps(selection, tasks)], as_json)


def print_steps(steps: Sequence[Step], as_json: bool) -> None:
    """What a plan says of each phase; the keys of `status --json`."""
    if as_json:
        terminal.print_json({"phases": [_row(step) for step in steps]})
        return
    for step in steps:
        todo = f"{len(step.todo)} of {step.count} cells to compute" if step.count else "cells not known yet"
        counts = f"{step.count} cells" if step.artifact else todo
        terminal.echo(f"{step.task.name:<16}{step.selection.behaviour:<12}{step.state:<9}{counts}")
        for reason in step.why:
            terminal.echo(f"    {reason}")


def _row(step: Step) -> dict[str, object]:
    return {
        "phase": step.task.name,
        "behaviour": step.selection.behaviour,
        "state": step.state,
        "cells": step.count,
        "hits": step.count - len(step.todo),
        "artifact": step.artifact.key if step.artifact else "",
        "why": step.why,
    }


@click.command(short_help="Print what a phase holds.")
@click.argument("phase", shell_complete=options.offering("phases"))
@options.one_behaviour
@click.option("--top", type=options.Number(min=1), default=15, show_default=True, help="Rows of a table.")
@click.option(
    "--prompt", "-p", "chosen", multiple=True, metavar="ID", help="Only graphs of this prompt; repeatable."
)
@click.option("--arrays", is_flag=True, help="Print the labelled dataset instead of findings.")
@options.which
@options.profile
@options.store
@options.upstream
@options.as_json
def show(
    phase: str,
    behaviour: str,
    top: int,
    chosen: tuple[str, ...],
    arrays: bool,
    key: str | None,
    tag: str | None,
    settings: tuple[str, ...],
    profile: str,
    store: str,
    upstream: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print the output of PHASE for one behaviour, the newest unless --key, --tag or --set say otherwise.

    Of attribution, interpretation and circuit it prints what was found: the features that matter most, with
    their labels, and the strongest edges. Any other phase prints its labelled dataset. With --json comes the
    record (key, content hash, inputs) with the findings. `show prompts --json` prints JSON lines, exactly
    what --prompts takes back.
    """
    import circuitstore.results.open as results
    from circuitstore.results.defaults import profile_name
    from circuitstore.results.find import find, to_read
    from circuitstore.results.which import which
    from circuitstore.storage.artifact import as_plain

    opened, services = to_read(store, upstream), pipeline.services()
    own = options.said(profile)
    artifact = find(opened, own, behaviour, phase, which(key, tag, settings))[behaviour]
    listing, finder = services.listings.get(phase), services.findings.get(phase)
    if as_json and listing is None and finder is None:
        terminal.print_json(as_plain(artifact))
        return
    dataset: Any = results.open(phase, behaviour=behaviour, store=store, profile=own, key=artifact.key)
    if finder is not None and not arrays:
        transcoders = artifact.components.resources.get("transcoders")
        labels = services.review.labels(opened, profile_name(profile), behaviour, transcoders)
        found = finder(dataset, labels, top, chosen)
        if as_json:
            terminal.print_json({**as_plain(artifact), "findings": found})
            return
        for table in found:
            print_table(table)
        for text in outline(artifact.summary):
            terminal.echo(text)
        return
    if listing is None:
        terminal.echo(dataset)
        for text in outline(artifact.summary):
            terminal.echo(text)
        return
    for row in listing.rows(dataset):
        if as_json:
            terminal.print_json(row)
        else:
            terminal.echo(listing.line(row))


def print_table(table: Table) -> None:
    """A table for people: numbers end at one place, in four digits, and long texts are cut."""
    cells = [table.columns, *(tuple(map(_rounded, row)) for row in table.rows)]
    numbers = {i for i, cell in enumerate(table.rows[0]) if not isinstance(cell, str)} if table.rows else ()
    terminal.echo(f"{table.title}")
    for line in terminal.table(cells, numbers):
        terminal.echo(f"  {line}")
    terminal.echo()


def outline(summary: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """A summary as lines for people: numbers beside each other, tables by their length."""
    for name, value in summary.items():
        if isinstance(value, Mapping) and any(isinstance(each, (Mapping, list)) for each in value.values()):
            yield f"{indent}{name}:"
            yield from outline(value, indent + "    ")
        elif isinstance(value, Mapping):
            yield f"{indent}{name}: {', '.join(f'{part} {_short(each)}' for part, each in value.items())}"
        elif isinstance(value, list):
            yield f"{indent}{name}: {len(value)} rows (--json prints them)"
        elif value != "":
            yield f"{indent}{name}: {_short(value)}"


def _rounded(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@click.command(short_help="What was computed, when and where.")
@click.option("--phase", metavar="PHASE", shell_complete=options.offering("phases"), help="Only this phase.")
@click.option(
    "--behaviour",
    "-b",
    metavar="NAME",
    shell_complete=options.offering("behaviours"),
    help="Only this behaviour.",
)
@options.store
@options.as_json
def log(phase: str | None, behaviour: str | None, store: str, as_json: bool) -> None:
    """List the batches that were computed, oldest first: when, what, where and with which versions."""
    from circuitstore.storage.actions import journals, phases
    from circuitstore.storage.layout import Store

    opened = Store(store).check()
    logged = phases(opened)
    _check_known("phase", phase, [*logged, *(task.name for task in pipeline.load().every)])
    every = [journal for name in logged for journal in journals(opened, name)]
    known = [*(journal.behaviour for journal in every), *pipeline.services().settings.behaviours()]
    _check_known("behaviour", behaviour, known)
    batches = [j for j in every if phase in (None, j.phase) and behaviour in (None, j.behaviour)]
    for journal in sorted(batches, key=lambda journal: journal.time_ns):
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(journal.time_ns / 1e9))
        count, facts = len(journal.cells), journal.provenance
        if as_json:
            row = {"time_ns": journal.time_ns, "phase": journal.phase, "behaviour": journal.behaviour}
            terminal.print_json({**row, "cells": count, "object": journal.object, "provenance": facts})
        else:
            seconds, host = facts.get("seconds", 0.0), facts.get("host", "")
            batch = f"{journal.phase:<16}{journal.behaviour:<12}{count:>6} cells {seconds:>8} s"
            terminal.echo(f"{when}  {batch}  {host}")


def _check_known(what: str, name: str | None, known: Sequence[str]) -> None:
    """Raise UsageError for a name that neither the store nor the pipeline has."""
    from circuitstore.errors import unknown

    if name is not None and name not in known:
        raise unknown(what, name, known)
