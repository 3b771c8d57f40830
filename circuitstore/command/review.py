"""`review`: units of a phase as a table that a person labels, and the labels back into the store."""

from __future__ import annotations

import os

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal
from circuitstore.command.groups import Group


@click.group(cls=Group, short_help="Label features by hand.")
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
    type=options.Number(min=0),
    default=100,
    show_default=True,
    help="Features of most activation; 0 for all.",
)
@options.profile
@options.store
@options.as_json
def export(file: str, behaviour: str, top: int, profile: str, store: str, as_json: bool) -> None:
    """Write the features of a behaviour to FILE, a new CSV table.

    Fill in its columns `reviewer_label` and `note`, then import it.
    """
    write = pipeline.services().review.export_table
    count = write(file, behaviour=behaviour, profile=profile, store=store, top=top)
    terminal.echo(f"{count} features of {behaviour} in {file}", err=True)
    if as_json:
        terminal.print_json({"file": file, "behaviour": behaviour, "count": count})


@review.command("import")
@click.argument("file")
@options.one_behaviour
@click.option("--author", required=True, metavar="NAME", help="Who labelled.")
@options.profile
@options.store
@options.as_json
def import_(file: str, behaviour: str, author: str, profile: str, store: str, as_json: bool) -> None:
    """Store the labels of FILE that are new or changed; lines without a label are left out.

    All bad lines are reported at once, and then nothing is stored. The newest import of a feature counts,
    earlier ones are kept.
    """
    keep = pipeline.services().review.import_table
    count, path = keep(file, behaviour=behaviour, profile=profile, store=store, author=author)
    done = f"{count} labels of {behaviour} stored as {path}" if count else f"nothing new in {file}"
    terminal.echo(done, err=True)
    if as_json:
        terminal.print_json({"behaviour": behaviour, "count": count, "path": path})


@review.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@options.one_behaviour
@options.profile
@options.store
def neuronpedia(sources: tuple[str, ...], behaviour: str, profile: str, store: str) -> None:
    """Store explanations that Neuronpedia exported, from files or addresses, as labels.

    SOURCE is JSON or JSON lines, gzip or not. Taken are features that are active in the behaviour and that no
    person labelled. That the source is about these transcoders, you say by importing it.
    """
    keep = pipeline.services().review.import_labels
    _tell(*keep(sources, behaviour=behaviour, profile=profile, store=store), behaviour)


@review.command()
@options.one_behaviour
@click.option("--endpoint", required=True, metavar="URL", help="An OpenAI-compatible one; ends in /v1.")
@click.option("--model", required=True, metavar="NAME", help="The model to ask there.")
@click.option("--top", type=options.Number(min=1), default=20, show_default=True, help="Of most activation.")
@click.option(
    "--examples", type=options.Number(min=2), default=10, show_default=True, help="Texts of each kind."
)
@click.option("--seed", type=int, default=456, show_default=True, help="Of the texts that are drawn.")
@options.profile
@options.store
def explain(
    behaviour: str,
    endpoint: str,
    model: str,
    top: int,
    examples: int,
    seed: int,
    profile: str,
    store: str,
) -> None:
    """Let a language model explain features and score its explanations, as labels.

    Prompts are sent to the endpoint, with the key in OPENAI_API_KEY, if there is one. Each answer is kept in
    the store and asked for once. Features that a person labelled are left out.
    """
    done = pipeline.services().review.explain(
        behaviour=behaviour,
        profile=profile,
        store=store,
        endpoint=endpoint,
        model=model,
        top=top,
        examples=examples,
        seed=seed,
        key=os.environ.get("OPENAI_API_KEY", ""),
        told=lambda line: terminal.echo(line, err=True),
    )
    _tell(*done, behaviour)


def _tell(count: int, path: str, behaviour: str) -> None:
    done = f"{count} labels of {behaviour} stored as {path}" if count else "nothing new"
    terminal.echo(done, err=True)
