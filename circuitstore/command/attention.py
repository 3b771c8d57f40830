"""`attention`: why a head looks where it does, and through which heads an edge goes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from circuitstore.command import options, terminal

if TYPE_CHECKING:
    import xarray as xr


@click.command(short_help="Why a head looks where it does.")
@click.argument("text")
@click.option(
    "--head",
    "place",
    metavar="LAYER/HEAD/QUERY/KEY",
    help="Explain the score of this head between two positions. They count from the prepended token, 0; -1 "
    "is the last token.",
)
@click.option(
    "--edge",
    "edges",
    multiple=True,
    metavar="SOURCE>TARGET",
    help="Split this edge over heads; repeatable. feature/LAYER/POSITION/FEATURE, error/LAYER/POSITION, "
    "embedding/POSITION; logit/TOKEN_ID as a target.",
)
@click.option("--top", type=options.Number(min=1), default=15, show_default=True, help="Rows to print.")
@options.profile
@options.settings
@options.store
@options.as_json
def attention(
    text: str,
    place: str | None,
    edges: tuple[str, ...],
    top: int,
    profile: str,
    settings: tuple[str, ...],
    store: str,
    as_json: bool,
) -> None:
    """Explain attention in TEXT.

    With --head, the score of a head is split over pairs of features, errors and embeddings, which sum to it.
    With --edge, an edge of the text's graph is split over heads. The answer is kept in the store.
    `circuitstore.attention` and `circuitstore.heads` give it to a script.
    """
    from circuitstore.errors import UsageError
    from circuitstore.results import attention as explained

    if (place is None) != bool(edges):
        raise UsageError("attention", expected="either --head or --edge", got="both" if edges else "neither")
    where: dict[str, Any] = {"model": profile, "store": store, "settings": settings}
    if place is not None:
        if not (found := re.fullmatch(r"(\d{1,6})/(\d{1,6})/(-?\d{1,9})/(-?\d{1,9})", place)):
            raise UsageError("--head", expected="LAYER/HEAD/QUERY/KEY, for example 2/1/-1/3", got=place)
        answer = explained.attention(text, *map(int, found.groups()), pairs=top, **where)
        shown = summary(text, answer)
        _print_pairs(shown) if not as_json else terminal.print_json(shown)
        return
    shown = {"text": text, "edges": by_head(explained.heads(text, edges, **where), top)}
    _print_heads(shown) if not as_json else terminal.print_json(shown)


def summary(text: str, answer: xr.Dataset) -> dict[str, Any]:
    """What is printed of a score; the keys of `attention --head --json`."""
    answer = answer.load()
    tokens = answer.token_text.values.tolist()
    columns = ("kind", "layer", "position", "feature")
    sources = zip(*(answer[f"source_{name}"].values.tolist() for name in columns), strict=True)
    names = [dict(zip(columns, source, strict=True)) for source in sources]
    pairs = zip(*(answer[f"pair_{name}"].values.tolist() for name in ("query", "key", "share")), strict=True)
    return {
        "text": text,
        "tokens": tokens,
        "query": int(answer.query_position),
        "key": int(answer.key_position),
        "score": float(answer.score),
        "weight": float(answer.weight),
        "largest": [{"share": share, "query": names[i], "key": names[j]} for i, j, share in pairs],
    }


def by_head(answer: xr.Dataset, top: int) -> list[dict[str, Any]]:
    """What is printed of edges; the key `edges` of `attention --edge --json`."""
    rows = []
    answer = answer.load()
    for at, name in enumerate(answer.edge_name.values.tolist()):
        loading = answer.loading.values[at]
        largest = (-abs(loading)).ravel().argsort(kind="stable")[:top].tolist()
        heads = [divmod(each, loading.shape[1]) for each in largest]
        rows.append(
            {
                "edge": name,
                "weight": float(answer.weight[at]),
                "direct": float(answer.direct[at]),
                "heads": [
                    {"layer": layer, "head": head, "loading": float(loading[layer, head])}
                    for layer, head in heads
                ],
            }
        )
    return rows


def _print_pairs(shown: dict[str, Any]) -> None:
    tokens = shown["tokens"]
    ends = " → ".join(f"{shown[end]} {tokens[shown[end]]!r}" for end in ("query", "key"))
    terminal.echo(f"score          {shown['score']:.4f} nats, attention {shown['weight']:.4f}   {ends}\n")
    rows = [("share", "source of the query", "source of the key")]
    for pair in shown["largest"]:
        query, key = (_source(pair[side], tokens) for side in ("query", "key"))
        rows.append((f"{pair['share']:.4f}", query, key))
    for line in terminal.table(rows, right={0}):
        terminal.echo(line)


def _source(source: dict[str, Any], tokens: list[str]) -> str:
    """A source for people."""
    if source["kind"] == "bias":
        return "bias"
    at = f"{source['position']} {tokens[source['position']]!r}"
    if source["kind"] == "feature":
        return f"L{source['layer']} #{source['feature']} at {at}"
    return f"{source['kind']} {at}" if source["layer"] < 0 else f"error L{source['layer']} at {at}"


def _print_heads(shown: dict[str, Any]) -> None:
    for edge in shown["edges"]:
        terminal.echo(f"edge           {edge['edge']}: {edge['weight']:.4f}")
        terminal.echo(f"through none   {edge['direct']:.4f}\n")
        rows = [("loading", "last head")]
        rows += [(f"{row['loading']:.4f}", f"L{row['layer']} head {row['head']}") for row in edge["heads"]]
        for line in terminal.table(rows, right={0}):
            terminal.echo(f"  {line}")
        terminal.echo()
