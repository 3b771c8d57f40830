"""`diff`: how alike two attribution graphs are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from circuitstore.command import options, terminal

if TYPE_CHECKING:
    from circuitstore.results.comparison import Comparable


@click.command(short_help="Compare two attribution graphs.")
@click.argument("a")
@click.argument("b")
@click.option(
    "--top", type=click.IntRange(min=0), default=10, show_default=True, help="Differing edges to list."
)
@options.profile
@options.store
@options.as_json
def diff(a: str, b: str, top: int, profile: str, store: str, as_json: bool) -> None:
    """Compare two attribution graphs, A and B: the nodes they share, and how edges between these agree.

    Each is a graph of the store, [PROFILE/]BEHAVIOUR/PROMPT, or a JSON file of circuit-tracer, Neuronpedia or
    `export graphs`.
    """
    from circuitstore.results.comparison import compare

    result = compare(_graph(a, profile, store), _graph(b, profile, store), top=top)
    if as_json:
        terminal.print_json(result)
        return
    for what in ("nodes", "edges"):
        row = result[what]
        counts = f"{row['a']:>8} in A {row['b']:>8} in B {row['shared']:>8} shared"
        jaccard = "no values" if row["jaccard"] is None else format(row["jaccard"], ".3f")
        terminal.echo(f"{what:<20}{counts}   Jaccard {jaccard}")
    for name in ("weight_pearson", "weight_spearman", "influence_spearman"):
        value = "no values" if result[name] is None else format(result[name], "8.4f")
        terminal.echo(f"{name.replace('_', ', '):<20}{value}")
    if result["largest"]:
        terminal.echo("\nedges that differ most")
    for edge in result["largest"]:
        weights = "   ".join(
            f"{side} {'none' if edge[side.lower()] is None else format(edge[side.lower()], '10.4g'):>10}"
            for side in "AB"
        )
        terminal.echo(f"{weights}   {edge['source']} → {edge['target']}")


def _graph(name: str, profile: str, store: str) -> Comparable:
    """The graph that an argument names. Raises UsageError, InputError, MissingError."""
    from circuitstore.errors import UsageError
    from circuitstore.results.comparison import of_dataset, of_path
    from circuitstore.results.defaults import profile_name
    from circuitstore.results.graphs import dataset

    parts = name.split("/")
    if name.endswith(".json") or os.path.isfile(name):
        return of_path(name)
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"graph {name!r}", expected="[PROFILE/]BEHAVIOUR/PROMPT, or a .json file")
    behaviour, prompt = parts[-2:]
    return of_dataset(
        dataset(
            prompt,
            behaviour=behaviour,
            store=store,
            profile=parts[0] if len(parts) == 3 else profile_name(profile),
        )
    )
