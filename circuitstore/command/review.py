"""`review`: units of a phase as a table that a person labels, and the labels back into the store."""

from __future__ import annotations

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal


@click.group(short_help="Label features by hand.")
def review() -> None:
    """Label features by hand: export a table, edit it, import it.

    Labels are kept beside what is computed: no build loses them, and importing some recomputes only what
    shows labels.
    """


@review.command()
@click.argument("file")
@options.one_behaviour
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Features of most activation; 0 for all.",
)
@options.profile
@options.store
def export(file: str, behaviour: str, top: int, profile: str, store: str) -> None:
    """Write the features of a behaviour to FILE, a new CSV table.

    Fill in its columns `reviewer_label` and `note`, then import it.
    """
    write = pipeline.services().review.export_table
    count = write(file, behaviour=behaviour, profile=profile, store=store, top=top)
    terminal.echo(f"{count} features of {behaviour} in {file}", err=True)


@review.command("import")
@click.argument("file")
@options.one_behaviour
@click.option("--author", required=True, metavar="NAME", help="Who labelled.")
@options.profile
@options.store
def import_(file: str, behaviour: str, author: str, profile: str, store: str) -> None:
    """Store the labels of FILE that are new or changed; lines without a label are left out.

    All bad lines are reported at once, and then nothing is stored. The newest import of a feature counts,
    earlier ones are kept.
    """
    keep = pipeline.services().review.import_table
    count, path = keep(file, behaviour=behaviour, profile=profile, store=store, author=author)
    done = f"{count} labels of {behaviour} stored as {path}" if count else f"nothing new in {file}"
    terminal.echo(done, err=True)
