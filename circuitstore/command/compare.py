"""`diff`: how alike two attribution graphs are, or how two results of a phase differ."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal
from circuitstore.errors import UsageError

if TYPE_CHECKING:
    from circuitstore.results.comparison import Comparable
    from circuitstore.results.which import Which
    from circuitstore.storage.artifact import Artifact


@click.command(short_help="Compare two graphs, or two results.")
@click.argument("a")
@click.argument("b")
@click.option(
    "--top",
    type=options.Number(min=0),
    default=10,
    show_default=True,
    help="Differing edges, or inputs, to list.",
)
@options.profile
@options.store
@options.as_json
def diff(a: str, b: str, top: int, profile: str, store: str, as_json: bool) -> None:
    """Compare two attribution graphs, or two results of a phase, A and B.

    Of graphs it says which nodes they share, and how the edges between these agree. Each is a graph of the
    store, [PROFILE/]BEHAVIOUR/PROMPT, or a JSON file of circuit-tracer, Neuronpedia or `export graphs`.

    Of results, [PROFILE/]BEHAVIOUR/PHASE or the key of one, it says which settings, code and inputs differ,
    how many cells, and how far which arrays are apart, with the place of the largest difference.

    The newest is meant, unless @TAG or @KEY follows: `diff b/p@before b/p` compares what was tagged `before`
    with what there is now. `status --all` lists keys.
    """
    from circuitstore.results.comparison import compare

    if one := _result(a, profile, store):
        if (other := _result(b, profile, store)) is None:
            raise UsageError(f"{b!r}", expected="a result like the first, BEHAVIOUR/PHASE or a key")
        _print_differences(store, one, other, top, as_json)
        return
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


def _result(name: str, profile: str, store: str) -> Artifact | None:
    """The result that an argument names; None for one that names a graph."""
    from circuitstore.results.find import find
    from circuitstore.results.which import is_key, of_key
    from circuitstore.storage.layout import Store

    parts = name.split("/")
    if len(parts) == 1 and is_key(name) and not os.path.isfile(name):
        return of_key(Store(store).check(), name)
    last, meant = _which(parts[-1], store) if len(parts) in (2, 3) else ("", None)
    if meant is None or last not in {task.name for task in pipeline.load().every}:
        return None
    own = parts[0] if len(parts) == 3 else options.said(profile)
    return find(Store(store).check(), own, parts[-2], last, meant)[parts[-2]]


def _print_differences(store: str, one: Artifact, other: Artifact, top: int, as_json: bool) -> None:
    from circuitstore.results.differences import diff, told
    from circuitstore.storage.layout import Store

    found = diff(Store(store), one, other)
    if as_json:
        terminal.print_json(found)
        return
    for line in told(found, top):
        terminal.echo(line)


def _graph(name: str, profile: str, store: str) -> Comparable:
    """The graph that an argument names. Raises UsageError, InputError, MissingError."""
    from circuitstore.results.comparison import of_dataset, of_path
    from circuitstore.results.graphs import dataset

    parts = name.split("/")
    if name.endswith(".json") or os.path.isfile(name):
        return of_path(name)
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"graph {name!r}", expected="[PROFILE/]BEHAVIOUR/PROMPT, or a .json file")
    behaviour, prompt = parts[-2:]
    prompt, meant = _which(prompt, store)
    own = parts[0] if len(parts) == 3 else options.said(profile)
    return of_dataset(dataset(prompt, behaviour, store, own, meant))


def _which(prompt: str, store: str) -> tuple[str, Which]:
    """A prompt without the tag or key behind its "@", and this; any other "@" belongs to the prompt."""
    from circuitstore.results.which import NEWEST, Which, is_key
    from circuitstore.storage.layout import Store
    from circuitstore.storage.tags import tags

    before, at, last = prompt.rpartition("@")
    if at and last in {tag.tag for tag in tags(Store(store).check())}:
        return before, Which(tag=last)
    return (before, Which(key=last)) if at and is_key(last) else (prompt, NEWEST)
