"""`adopt`: stored results get the keys of code that was changed without changing them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from circuitstore.command import options, terminal
from circuitstore.errors import MissingError, some_of

if TYPE_CHECKING:
    from circuitstore.engine.adopt import Adopted

SHOWN = 5  # cells that are told to differ


@click.command(short_help="Keep results across a change of code.")
@click.argument("phase", shell_complete=options.offering("phases"))
@click.option(
    "--check",
    type=options.Number(min=1),
    required=True,
    metavar="N",
    help="Compute N cells of each behaviour again, drawn at random. All of them must agree.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, max=1),
    default=0.0,
    show_default=True,
    help="How far numbers may differ, as a share of the largest of their variable. 0: equal to the bit.",
)
@options.selecting
@options.as_json
def adopt(
    phase: str,
    check: int,
    tolerance: float,
    store: str,
    profile: str,
    behaviours: tuple[str, ...],
    prompts: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Keep the results of PHASE after its code was changed in a way that changes no result.

    N cells are computed by the new code and compared with what is stored. If they agree, all cells that were
    made from the same settings, models and inputs count as made by the new code, and `log --json` says so. If
    one differs, nothing is changed, and the exit code is 1. What is taken on trust is what was not computed:
    with N cells of many, a change that shows in few of them may be missed.
    """
    from circuitstore.command.build import Lines
    from circuitstore.engine.adopt import adopt
    from circuitstore.engine.planner import FRESH
    from circuitstore.engine.runner import Options, build, prepare

    options.refuse_one_text((phase,))
    planner = options.planner(store)
    planner.store.check()
    tasks = planner.pipeline.closure((phase,))
    selections = options.selections(profile, behaviours, prompts, settings, (phase,))
    lines = Lines()
    prepare(planner, lines)
    found: list[Adopted] = []
    finished = []
    for selection in selections:
        *above, step = planner.steps(selection, tasks)
        with click.progressbar(length=check, label=f"adopt {selection.behaviour}", file=sys.stderr) as bar:
            found.append(adopt(planner, step, check, tolerance=tolerance, progress=bar.update))
        if found[-1].complete and all(each.state == FRESH for each in above):
            finished.append(selection)
    if finished:  # nothing is left to compute: only the new artifact, and the name
        build(options.planner(store), finished, (phase,), lines, Options(ignore_gate=True))
    if as_json:
        terminal.print_json({"adopted": found})
    else:
        for text in told(found):
            terminal.echo(text)
    if any(each.differing for each in found):
        raise click.exceptions.Exit(1)
    hindered = [each for each in found if not each.fresh]
    if hindered and not any(each.adopted for each in hindered):
        why = some_of([f"{each.behaviour}: {'; '.join(each.why)}" for each in hindered], SHOWN)
        raise MissingError(f"{phase} in {store}", expected="results of earlier code to adopt", got=why)


def told(found: Sequence[Adopted]) -> Iterator[str]:
    """What became of each behaviour, for people."""
    for each in found:
        name = f"{each.phase} of {each.behaviour}"
        for apart in each.differing[:SHOWN]:
            at = ", ".join(f"{axis} {value}" for axis, value in apart.coords.items())
            problems = [f"{difference.variable}: {difference.problem}" for difference in apart.differences]
            yield f"differs: {name}, {at}: {apart.problem or some_of(problems, SHOWN)}"
        if each.why:
            yield f"not adopted: {name}: {'; '.join(each.why)}"
        elif each.differing:
            yield f"not adopted: {name}: {len(each.differing)} of {each.checked} cells differ"
        else:
            close = f", {each.close} within the tolerance (at most {each.share:.1e})" if each.close else ""
            left = each.cells - each.adopted
            rest = f"; {left} others are left to `circuitstore build`" if left else ""
            yield f"adopted: {name}: {each.adopted} cells, {each.equal} computed again and equal{close}{rest}"
