"""`review`: features as a table that a person labels, and the labels back into the store."""

from __future__ import annotations

import click

from circuitstore.command import options

one_behaviour = click.option("--behaviour", "-b", required=True, metavar="NAME", help="The behaviour.")


@click.group(short_help="Label features by hand.")
def review() -> None:
    """Label features by hand: export a table, edit it, import it.

    Labels are kept beside what is computed: no build loses them, and importing some recomputes only what
    shows labels.
    """


@review.command()
@click.argument("file")
@one_behaviour
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Features of most activation; 0 for all.",
)
@options.profile
@options.store
def export(file, behaviour, top, profile, store) -> None:
    """Write the features of a behaviour to FILE, a new CSV table; fill in its columns `reviewer_label` and
    `note`.
    """
    from circuitstore.results.review import write_table

    count = write_table(file, behaviour=behaviour, profile=profile, store=store, top=top)
    click.echo(f"{count} features of {behaviour} in {file}", err=True)


@review.command("import")
@click.argument("file")
@one_behaviour
@click.option("--author", required=True, metavar="NAME", help="Who labelled.")
@options.profile
@options.store
def import_(file, behaviour, author, profile, store) -> None:
    """Store the labels of FILE that are new or changed; lines without a label are left out.

    All bad lines are reported at once, and then nothing is stored. The newest import of a feature counts,
    earlier ones are kept.
    """
    from circuitstore.results.review import store_table

    count, path = store_table(file, behaviour=behaviour, profile=profile, store=store, author=author)
    click.echo(
        f"{count} labels of {behaviour} stored as {path}" if count else f"nothing new in {file}", err=True
    )
