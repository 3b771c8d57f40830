"""`verify`: is the store still what was written?"""

from __future__ import annotations

import sys

import click

from circuitstore.command import options


@click.command(short_help="Check every file; set damage aside.")
@click.option("--deep", is_flag=True, help="Also decode every cell and check its content hash.")
@options.store
@options.as_json
def verify(deep: bool, store: str, as_json: bool) -> None:
    """Check every file of the store against its hash; name what is damaged and set it aside.

    The next `build` computes exactly the cells that were lost. Exits with 1 when anything was damaged.
    """
    from circuitstore.storage import verify as storage
    from circuitstore.storage.layout import Store

    opened = Store(store).check()
    total = len(opened.object_ids())
    with click.progressbar(length=total, label="verify", file=sys.stderr) as bar:
        report = storage.verify(opened, deep=deep, progress=bar.update)
    if as_json:
        options.print_json(report)
    else:
        for damage in report.damaged:
            click.echo(f"damaged: {damage.path}: {damage.problem}")
            for cell in damage.cells:
                coords = ", ".join(f"{axis} {value}" for axis, value in cell.coords.items())
                click.echo(f"    lost: {cell.phase} of {cell.behaviour}" + (f", {coords}" if coords else ""))
            if damage.kept:
                click.echo(f"    kept: {damage.kept} intact cells of the same object")
            where = "moved to quarantine/" if damage.quarantined else "left in place"
            click.echo(f"    {where}; `circuitstore build` computes again what was lost")
        click.echo(
            f"{report.objects} objects and {report.records} records checked, {len(report.damaged)} damaged",
            err=True,
        )
    if report.damaged:
        raise click.exceptions.Exit(1)
