"""`status`, `explain`, `show` and `log`: what is built, what is not and why, what it says, and how it came to
be.
"""

from __future__ import annotations

import time

import click

from circuitstore.command import options


@click.command(short_help="What is fresh, stale or missing.")
@options.selecting
@options.as_json
def status(store, profile, behaviours, prompts, settings, as_json) -> None:
    """Say of every phase whether its output is fresh, stale or missing, and why."""
    planner = options.planner(store)
    selections = options.selections(profile, behaviours, prompts, settings)
    print_steps(
        [step for selection in selections for step in planner.steps(selection, planner.pipeline.tasks)],
        as_json,
    )


@click.command(short_help="Which input of a phase changed.")
@click.argument("phase")
@options.selecting
@options.as_json
def explain(phase, store, profile, behaviours, prompts, settings, as_json) -> None:
    """Say which input of PHASE, or of a phase it needs, changed: from what to what."""
    planner = options.planner(store)
    tasks = planner.pipeline.closure((phase,))
    selections = options.selections(profile, behaviours, prompts, settings, (phase,))
    print_steps([step for selection in selections for step in planner.steps(selection, tasks)], as_json)


def print_steps(steps, as_json: bool) -> None:
    """What a plan says of each phase; the keys of `status --json`."""
    rows = [
        {
            "phase": step.task.name,
            "behaviour": step.selection.behaviour,
            "state": step.state,
            "cells": step.count,
            "hits": step.count - len(step.todo),
            "artifact": step.artifact.key if step.artifact else "",
            "why": step.why,
        }
        for step in steps
    ]
    if as_json:
        options.print_json({"phases": rows})
        return
    for row in rows:
        if row["state"] == "fresh":
            counts = f"{row['cells']} cells"
        else:
            counts = (
                f"{row['cells'] - row['hits']} of {row['cells']} cells to compute"
                if row["cells"]
                else "cells not known yet"
            )
        click.echo(f"{row['phase']:<16}{row['behaviour']:<12}{row['state']:<9}{counts}")
        for reason in row["why"]:
            click.echo(f"    {reason}")


@click.command(short_help="What a phase found.")
@click.argument("phase")
@click.option("--behaviour", "-b", required=True, metavar="NAME", help="The behaviour.")
@options.profile
@options.store
@options.as_json
def show(phase, behaviour, profile, store, as_json) -> None:
    """Print what PHASE found: its summary and its variables, or for `prompts` the prompts.

    With --json: for `prompts` one JSON object a line, exactly what --prompts takes back; else the summary and
    inputs.
    """
    from circuitstore.results.open import open as open_phase
    from circuitstore.results.open import profile_name
    from circuitstore.storage.artifact import named
    from circuitstore.storage.layout import Store

    artifact = named(Store(store).check(), profile_name(profile), behaviour, phase)
    if phase == "prompts":
        for row in prompt_rows(open_phase(phase, behaviour=behaviour, store=store, profile=profile)):
            if as_json:
                options.print_json(row)
            else:
                click.echo(
                    f"{row['id']:<20}{row['split']:<6}{row['text']!r} → {row['correct']!r} not {row['incorrect']!r}"
                )
        return
    if as_json:
        options.print_json(artifact)
        return
    click.echo(open_phase(phase, behaviour=behaviour, store=store, profile=profile))
    for name, value in artifact.summary.items():
        click.echo(f"{name}: {value}")


def prompt_rows(dataset) -> list[dict]:
    """The prompts of an opened `prompts` phase, as rows that --prompts takes back."""
    import msgspec

    names = ("text", "correct", "incorrect", "split", "template", "group", "partner")
    rows = []
    for i, name in enumerate(dataset.prompt.values):
        row = {"id": str(name), **{column: str(dataset[column].values[i]) for column in names}}
        rows.append({**row, "labels": msgspec.json.decode(str(dataset.labels.values[i]))})
    return rows


@click.command(short_help="What was computed, when and where.")
@click.option("--phase", metavar="PHASE", help="Only this phase.")
@click.option("--behaviour", "-b", metavar="NAME", help="Only this behaviour.")
@options.store
@options.as_json
def log(phase, behaviour, store, as_json) -> None:
    """List the batches that were computed, oldest first: when, what, where and with which versions."""
    from circuitstore.storage.actions import journals, phases
    from circuitstore.storage.layout import Store

    opened = Store(store).check()
    found = [
        journal for name in phases(opened) if phase in (None, name) for journal in journals(opened, name)
    ]
    found = sorted(
        (j for j in found if behaviour in (None, j.behaviour)), key=lambda journal: journal.time_ns
    )
    for journal in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(journal.time_ns / 1e9))
        if as_json:
            row = {
                "time_ns": journal.time_ns,
                "phase": journal.phase,
                "behaviour": journal.behaviour,
                "cells": len(journal.cells),
            }
            options.print_json({**row, "object": journal.object, "provenance": journal.provenance})
        else:
            seconds, host = journal.provenance.get("seconds", 0.0), journal.provenance.get("host", "")
            click.echo(
                f"{when}  {journal.phase:<16}{journal.behaviour:<12}{len(journal.cells):>6} cells {seconds:>8} s  {host}"
            )
