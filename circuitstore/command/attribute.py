"""`attribute`: one attribution graph of any text, or of every line of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from circuitstore.command import options, terminal

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.results.interchange import Labels

LABEL = 40  # letters of a label in a line


@click.command(short_help="One attribution graph of any text.")
@click.argument("text", required=False)
@click.option(
    "--file",
    "-f",
    "file",
    metavar="FILE",
    shell_complete=options.offering("files"),
    help="Every line of this file is a text; - is the standard input.",
)
@click.option(
    "--target",
    multiple=True,
    metavar="TEXT",
    help="Explain the logit of this answer, one token (repeatable) …",
)
@click.option("--against", default="", metavar="TEXT", help="… or that of one answer minus that of this one.")
@click.option(
    "--feature", default="", metavar="L/P/F", help="Explain feature F of layer L at position P instead, …"
)
@click.option(
    "--direction",
    default="",
    metavar="FILE",
    shell_complete=options.offering("files"),
    help="… or the product of this direction, .npy or numbers as text, with the final norm's output, …",
)
@click.option(
    "--weight",
    multiple=True,
    metavar="ANSWER=W",
    help="… or a weighted sum of the logits of answers, each less the mean (repeatable).",
)
@click.option(
    "--chat", is_flag=True, help="A text is what a user says; the model's chat template writes it out."
)
@click.option("--system", default="", metavar="TEXT", help="With --chat, what the system is told before it.")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="Also write the pruned graph, to .json (circuit-tracer, Neuronpedia) or .graphml. With --file, a "
    "folder, which gets LINE.json of every line.",
)
@click.option("--top", type=options.Number(min=1), default=15, show_default=True, help="Nodes to print.")
@options.profile
@options.settings
@options.store
@options.as_json
def attribute(
    text: str | None,
    file: str | None,
    target: tuple[str, ...],
    against: str,
    feature: str,
    direction: str,
    weight: tuple[str, ...],
    chat: bool,
    system: str,
    output: str | None,
    top: int,
    profile: str,
    settings: tuple[str, ...],
    store: str,
    as_json: bool,
) -> None:
    """Compute the attribution graph of TEXT and print its most influential nodes.

    The graph is kept in the store: asking again costs nothing. Features carry their labels where a behaviour
    of the same profile was interpreted. TEXT may be -, for the lines of the standard input; with several
    texts, --json prints a line for each. `circuitstore.attribute` gives a graph to a script.
    """
    from circuitstore.errors import UsageError
    from circuitstore.results.asking import user_turn
    from circuitstore.results.labels import labels
    from circuitstore.results.one_text import attribute as attribute_text
    from circuitstore.results.targets import feature_of, weights_of

    if system and not chat:
        raise UsageError("--system", expected="--chat beside it", got="none")
    aim: dict[str, Any] = {
        "feature": feature_of(feature) if feature else None,
        "direction": direction or None,
        "weights": weights_of(weight) if weight else None,
    }
    several = file is not None or text == "-"
    for number, line in texts(text, file):
        path = os.path.join(output, f"{number}.json") if output and several else output
        kind = _kind(path)
        graph = attribute_text(
            user_turn(line, system) if chat else line,
            model=profile,
            target=target,
            against=against,
            **aim,
            store=store,
            settings=settings,
        )
        named = labels(graph, store)
        if path:
            write(graph, path, kind, profile, named)
        shown = summary(line, graph, top, named)
        if as_json:
            terminal.print_json(shown)
        else:
            what = f"{target[0]!r} − {against!r}" if against else ""
            if graph.logit_token_ids.values[0] < 0:
                what = f"{graph.logit_text.values[0]} = {float(graph.node_preactivation[-1]):.4g}"
            print_graph(graph, shown, what, title=f"{line!r}" if several else "")


def texts(text: str | None, file: str | None) -> Iterator[tuple[int, str]]:
    """(line number, text) of what is asked for. Raises UsageError, InputError."""
    from circuitstore.errors import InputError, UsageError

    if (text is None) == (file is None):
        expected = "TEXT, or the lines of --file FILE (- is the standard input)"
        raise UsageError("text", expected=expected, got="neither" if text is None else "both")
    if text is not None and text != "-":
        yield 1, text
        return
    source = "-" if file is None else file
    where = "standard input" if source == "-" else source
    try:
        if source == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(source, "rb") as opened:
                data = opened.read()
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        got = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(where, expected="a text in UTF-8 on every line", got=got) from error
    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not filled:
        raise InputError(where, expected="a text on every line", got="no text")
    yield from filled


def summary(text: str, graph: xr.Dataset, top: int, labels: Labels) -> dict[str, Any]:
    """What is printed of a graph; the keys of `attribute --json`."""
    logits = zip(graph.logit_text.values, graph.logit_probabilities.values, strict=True)
    scores = ("completeness_score", "replacement_score", "kept_weight")
    return {
        "text": text,
        "tokens": graph.token_text.values.tolist(),
        **({"roles": graph.token_role.values.tolist()} if "token_role" in graph else {}),
        "logits": [{"token": str(token), "probability": round(float(share), 4)} for token, share in logits],
        "nodes": strongest(graph, top, labels),
        **{name: round(float(graph[name]), 4) for name in scores},
    }


def print_graph(graph: xr.Dataset, shown: Mapping[str, Any], what: str, title: str) -> None:
    """The summary of a graph for people; `what` says what is explained, else it is the logits."""
    what = what or ", ".join(f"{row['token']!r} {row['probability']:.3f}" for row in shown["logits"])
    if title:
        terminal.echo(f"text           {title}")
    terminal.echo(f"explained      {what}")
    scores = f"{shown['completeness_score']:.3f}   replacement {shown['replacement_score']:.3f}"
    terminal.echo(f"completeness   {scores}")
    held = shown["kept_weight"]
    left_out = "" if held == 1 else f", which hold {held:.1%} of the weight of all"
    terminal.echo(f"nodes          {graph.sizes['node']}, edges {graph.sizes['edge']}{left_out}\n")
    rows = [("influence", "node", "position", "token", "activation", "label")]
    for node in shown["nodes"]:
        activation = "" if node["activation"] is None else f"{node['activation']:.3f}"
        label = node["label"] if len(node["label"]) <= LABEL else node["label"][: LABEL - 1] + "…"
        where = (node["name"], str(node["position"]), repr(node["token"]))
        rows.append((f"{node['influence']:.4f}", *where, activation, label))
    for line in terminal.table(rows, right={0, 2, 4}):
        terminal.echo(line)
    if title:
        terminal.echo()


def _kind(path: str | None) -> str:
    """The format that an output's name asks for. Raises InputError."""
    from circuitstore.results.graph_file import suffix

    return suffix(path) if path else ""


def write(graph: xr.Dataset, path: str, kind: str, profile: str, labels: Labels) -> None:
    """Write a graph to a file. Raises InputError."""
    from circuitstore.errors import InputError
    from circuitstore.results.defaults import profile_name
    from circuitstore.results.graph_file import to_bytes
    from circuitstore.results.interchange import to_file, to_graphml

    slug, scan = os.path.splitext(os.path.basename(path))[0], profile_name(profile)
    file = to_file(graph, slug=slug, scan=scan, labels=labels)
    data = to_graphml(graph, labels) if kind == "graphml" else to_bytes(file)
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as opened:
            opened.write(data)
    except OSError as error:
        got = error.strerror or error
        raise InputError(path, expected="a file that can be written", got=got) from error


def strongest(graph: xr.Dataset, count: int, labels: Labels) -> list[dict[str, Any]]:
    """The nodes of most influence, logits left out, as plain rows; `label` is "" where there is none."""
    from circuitstore.results.graphs import nodes

    rows = [row for row in nodes(graph) if row["kind"] != "logit"]
    first = sorted(rows, key=lambda row: -row["influence"])[:count]
    return [{**row, "label": labels.get((row["layer"], row["feature"]), "")} for row in first]
