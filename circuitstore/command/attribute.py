"""`attribute`: one attribution graph of any text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from circuitstore.command import options, terminal

if TYPE_CHECKING:
    import xarray as xr


@click.command(short_help="One attribution graph of any text.")
@click.argument("text")
@click.option(
    "--target",
    multiple=True,
    metavar="TEXT",
    help="Explain the logit of this answer, one token (repeatable) …",
)
@click.option("--against", default="", metavar="TEXT", help="… or that of one answer minus that of this one.")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="Also write the pruned graph, to .json (circuit-tracer, Neuronpedia) or .graphml.",
)
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Nodes to print.")
@options.profile
@options.settings
@options.store
@options.as_json
def attribute(
    text: str,
    target: tuple[str, ...],
    against: str,
    output: str | None,
    top: int,
    profile: str,
    settings: tuple[str, ...],
    store: str,
    as_json: bool,
) -> None:
    """Compute the attribution graph of TEXT and print its most influential nodes.

    The graph is kept in the store: asking again costs nothing. `circuitstore.attribute` gives it to a script.
    """
    from circuitstore.results.graph_file import suffix
    from circuitstore.results.one_text import attribute as attribute_text

    kind = suffix(output) if output else ""
    graph = attribute_text(
        text, model=profile, target=target, against=against, store=store, settings=settings
    )
    if output:
        write(graph, output, kind, profile)
    if as_json:
        terminal.print_json(summary(text, graph, top))
    else:
        what = f"{target[0]!r} − {against!r}" if against else ""
        print_graph(graph, summary(text, graph, top), what)


def summary(text: str, graph: xr.Dataset, top: int) -> dict[str, Any]:
    """What is printed of a graph; the keys of `attribute --json`."""
    logits = zip(graph.logit_text.values, graph.logit_probabilities.values, strict=True)
    scores = ("completeness_score", "replacement_score")
    return {
        "text": text,
        "tokens": graph.token_text.values.tolist(),
        "logits": [{"token": str(token), "probability": round(float(share), 4)} for token, share in logits],
        "nodes": strongest(graph, top),
        **{name: round(float(graph[name]), 4) for name in scores},
    }


def print_graph(graph: xr.Dataset, shown: dict[str, Any], what: str) -> None:
    """The summary of a graph for people; `what` says what is explained, else it is the logits."""
    what = what or ", ".join(f"{row['token']!r} {row['probability']:.3f}" for row in shown["logits"])
    terminal.echo(f"explained      {what}")
    scores = f"{shown['completeness_score']:.3f}   replacement {shown['replacement_score']:.3f}"
    terminal.echo(f"completeness   {scores}")
    terminal.echo(f"nodes          {graph.sizes['node']}, edges {graph.sizes['edge']}\n")
    terminal.echo(f"{'influence':>9}  {'node':<24}{'position':>8}  {'token':<16}{'activation':>10}")
    for node in shown["nodes"]:
        activation = f"{node['activation']:>10.3f}" if node["activation"] is not None else ""
        where = f"{node['name']:<24}{node['position']:>8}  {node['token']!r:<16}"
        terminal.echo(f"{node['influence']:>9.4f}  {where}{activation}")


def write(graph: xr.Dataset, path: str, kind: str, profile: str) -> None:
    """Write a graph to a file. Raises InputError."""
    from circuitstore.errors import InputError
    from circuitstore.results.defaults import profile_name
    from circuitstore.results.graph_file import to_bytes
    from circuitstore.results.interchange import to_file, to_graphml

    slug, scan = os.path.splitext(os.path.basename(path))[0], profile_name(profile)
    data = to_graphml(graph) if kind == "graphml" else to_bytes(to_file(graph, slug=slug, scan=scan))
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        got = error.strerror or error
        raise InputError(path, expected="a file that can be written", got=got) from error


def strongest(graph: xr.Dataset, count: int) -> list[dict[str, Any]]:
    """The nodes of most influence, logits left out, as plain rows."""
    from circuitstore.results.graphs import nodes

    rows = [row for row in nodes(graph) if row["kind"] != "logit"]
    return sorted(rows, key=lambda row: -row["influence"])[:count]
