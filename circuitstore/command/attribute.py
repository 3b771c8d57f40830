"""`attribute`: one attribution graph of any text."""

from __future__ import annotations

import os

import click

from circuitstore.command import options


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
def attribute(text, target, against, output, top, profile, settings, store, as_json) -> None:
    """Compute the attribution graph of TEXT and print its most influential nodes.

    The graph is kept in the store: asking again costs nothing. `circuitstore.attribute` gives it to a script.
    """
    from circuitstore.results.interchange import suffix
    from circuitstore.results.one_text import attribute as attribute_text

    kind = suffix(output) if output else ""
    graph = attribute_text(
        text, model=profile, target=target, against=against, store=os.fspath(store), settings=settings
    )
    if output:
        write(graph, output, kind, profile)
    nodes = strongest(graph, top)
    scores = {name: round(float(graph[name]), 4) for name in ("completeness_score", "replacement_score")}
    answers = [
        {"token": str(token), "probability": round(float(share), 4)}
        for token, share in zip(graph.logit_text.values, graph.logit_probabilities.values, strict=True)
    ]
    if as_json:
        options.print_json(
            {
                "text": text,
                "tokens": graph.token_text.values.tolist(),
                "logits": answers,
                "nodes": nodes,
                **scores,
            }
        )
        return
    what = (
        f"{target[0]!r} − {against!r}"
        if against
        else ", ".join(f"{row['token']!r} {row['probability']:.3f}" for row in answers)
    )
    click.echo(f"explained      {what}")
    click.echo(
        f"completeness   {scores['completeness_score']:.3f}   replacement {scores['replacement_score']:.3f}"
    )
    click.echo(f"nodes          {graph.sizes['node']}, edges {graph.sizes['edge']}\n")
    click.echo(f"{'influence':>9}  {'node':<24}{'position':>8}  {'token':<16}{'activation':>10}")
    for node in nodes:
        activation = f"{node['activation']:>10.3f}" if node["activation"] is not None else ""
        click.echo(
            f"{node['influence']:>9.4f}  {node['name']:<24}{node['position']:>8}  {node['token']!r:<16}{activation}"
        )


def write(graph, path: str, kind: str, profile: str) -> None:
    """Write a graph to a file. Raises InputError."""
    from circuitstore.errors import InputError
    from circuitstore.results.interchange import to_bytes, to_file, to_graphml
    from circuitstore.results.open import profile_name

    slug = os.path.splitext(os.path.basename(path))[0]
    data = (
        to_graphml(graph)
        if kind == "graphml"
        else to_bytes(to_file(graph, slug=slug, scan=profile_name(profile)))
    )
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise InputError(path, expected="a file that can be written", got=error.strerror or error) from error


def strongest(graph, count: int) -> list[dict]:
    """The nodes of most influence, logits left out, as plain rows."""
    from circuitstore.results.graphs import nodes

    rows = [row for row in nodes(graph) if row["kind"] != "logit"]
    return sorted(rows, key=lambda row: -row["influence"])[:count]
