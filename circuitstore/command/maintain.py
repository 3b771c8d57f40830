"""`verify`: is the store still what was written, and is what was written true?"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from circuitstore import pipeline
from circuitstore.command import options, terminal
from circuitstore.command.failures import ToldError, described
from circuitstore.engine.limits import TOLERANCE
from circuitstore.errors import MissingError, some_of

if TYPE_CHECKING:
    from circuitstore.engine.planner import Planner, Step
    from circuitstore.engine.rebuild import Rebuilt
    from circuitstore.engine.twins import Twins
    from circuitstore.storage.verify import LostCell, Report

SHOWN = 5  # cells that a line names


@click.command(short_help="Check every file; set damage aside. Compute cells again.")
@click.option("--deep", is_flag=True, help="Also decode every cell and check its content hash.")
@click.option(
    "--rebuild",
    type=options.Number(min=1),
    metavar="N",
    help="Also compute N cells again, drawn at random from what the options below select, and compare.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, max=1),
    default=TOLERANCE,
    show_default=True,
    help="How far numbers may differ on another machine, as a share of the largest of their variable.",
)
@options.selecting
@options.as_json
def verify(
    deep: bool,
    rebuild: int | None,
    tolerance: float,
    store: str,
    profile: str,
    behaviours: tuple[str, ...],
    prompts: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check every file of the store against its hash; name what is damaged and set it aside.

    The next `build` computes exactly the cells that were lost. Cells that two machines computed are compared.
    With --rebuild, cells are computed again and compared with what is stored: only this finds a wrong number
    under an honest hash. Exits with 1 when anything was damaged, or does not agree.
    """
    from circuitstore.engine import twins
    from circuitstore.storage import verify as storage
    from circuitstore.storage.layout import Store

    if rebuild is not None:
        options.selections(profile, behaviours, prompts, settings)  # a wrong one is told before all else
    opened = Store(store).check()
    total = len(opened.object_ids())
    with click.progressbar(length=total, label="verify", file=sys.stderr) as bar:
        report = storage.verify(opened, deep=deep, progress=bar.update)
    two = twins.of_store(opened, pipeline.load(), tolerance)
    again, nothing = None, None
    if rebuild is not None:
        try:
            again = _rebuild(store, (profile, behaviours, prompts, settings), rebuild, tolerance)
        except MissingError as error:  # after what was found of the files, which is true all the same
            nothing = error
    if as_json:
        row: dict[str, Any] = {**msgspec.structs.asdict(report), "two_contents": two}
        if nothing is not None:
            row["error"] = described(nothing)
        terminal.print_json(row if again is None else {**row, "rebuilt": again})
    else:
        _print(report, two, again)
    if nothing is not None:
        raise ToldError(nothing) if as_json else nothing
    if report.damaged or any(each.beyond for each in two) or (again is not None and again.differing):
        raise click.exceptions.Exit(1)


def _rebuild(store: str, selected: tuple[Any, ...], count: int, tolerance: float) -> Rebuilt:
    """Compute some cells again."""
    from circuitstore.engine.rebuild import rebuild

    planner = options.planner(store)
    with click.progressbar(length=count, label="rebuild", file=sys.stderr) as bar:
        steps = _steps(planner, *selected)
        return rebuild(planner, steps, count, tolerance=tolerance, progress=bar.update)


def _steps(
    planner: Planner,
    profile: str,
    behaviours: tuple[str, ...],
    prompts: str | None,
    settings: tuple[str, ...],
) -> list[Step]:
    """The steps of all phases that something was built of, with these options.

    Where no setting is named, each behaviour has the settings that it was built with.
    """
    from circuitstore.results.find import settings_of
    from circuitstore.storage.refs import names

    built = {(name.profile, name.behaviour) for name in names(planner.store)}
    every = planner.pipeline
    groups = [(every.tasks, options.selections(profile, behaviours, prompts, settings))]
    if not settings and not prompts:  # then with those that each behaviour was built with
        groups = [
            (every.tasks, options.selections(profile, (name,), None, tuple(recorded), ()))
            for name in (selection.behaviour for _, selections in groups for selection in selections)
            for recorded in [settings_of(planner.store, profile, name, every.tasks)]
        ]
    if not behaviours and not prompts:
        for about in dict.fromkeys(task.about for task in every.asked if task.about):
            tasks = tuple(task for task in every.asked if task.about == about)
            names_of = tuple(task.name for task in tasks)
            groups.append((tasks, options.selections(profile, (), None, settings, names_of)))
    return [
        step
        for tasks, selections in groups
        for selection in selections
        if (selection.profile_name, selection.behaviour) in built
        for step in planner.steps(selection, tasks)
    ]


def _print(report: Report, two: Iterable[Twins], again: Rebuilt | None) -> None:
    for damage in report.damaged:
        terminal.echo(f"damaged: {damage.path}: {damage.problem}")
        for line in _lost(damage.cells):
            terminal.echo(f"    lost: {line}")
        if damage.kept:
            terminal.echo(f"    kept: {damage.kept} intact cells of the same object")
        where = "moved to quarantine/" if damage.quarantined else "left in place"
        terminal.echo(f"    {where}; {damage.remedy}")
    _print_two_contents(two)
    if again is not None:
        _print_rebuilt(again)
    counts = f"{report.objects} objects and {report.records} records checked, {len(report.damaged)} damaged"
    terminal.echo(counts, err=True)


def _lost(cells: Sequence[LostCell]) -> Iterator[str]:
    """A line for each phase and behaviour: how many cells are lost, and the first of them."""
    groups: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        at = "/".join(str(value) for value in cell.coords.values())
        groups.setdefault((cell.phase, cell.behaviour), []).append(at)
    for (phase, behaviour), places in groups.items():
        which = some_of([place for place in places if place], SHOWN, ", ")
        count = f"{len(places)} cell{'s' if len(places) > 1 else ''}"
        yield f"{count} of {phase} of {behaviour}" + (f" ({which})" if which else "")


def _print_two_contents(two: Iterable[Twins]) -> None:
    from circuitstore.engine.twins import told

    for each in two:
        terminal.echo(f"{'differs' if each.beyond else 'two contents'}: {told(each)}")


def _print_rebuilt(again: Rebuilt) -> None:
    from circuitstore.engine.twins import at

    for cell in again.differing:
        terminal.echo(f"differs: {cell.phase} of {cell.behaviour}, {at(cell.coords)}")
        for difference in cell.differences:
            terminal.echo(f"    {difference.variable}: {difference.problem}")
        if cell.problem:
            terminal.echo(f"    {cell.problem}")
        made = ", ".join(str(cell.made[fact]) for fact in ("host", "platform", "device") if fact in cell.made)
        terminal.echo(f"    made on {made}; from there to here: {cell.here}")
    for skipped in again.skipped:
        terminal.echo(f"not rebuilt: {skipped.phase} of {skipped.behaviour}: {'; '.join(skipped.why)}")
    counts = f"{again.drawn} of {again.cells} cells computed again: {again.equal} equal to the bit, "
    counts += f"{again.close} within {again.tolerance:g} (at most {again.share:.1e}), "
    terminal.echo(f"{counts}{len(again.differing)} differ", err=True)
