"""A small picture of an attribution graph, as SVG for a notebook cell: tokens along x, layers up y.

It shows the nodes of most influence that pruning kept, and the strongest edges between them, and says how
many are not shown. Every text is escaped: labels and prompts are text and never markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx

NODES, EDGES = 40, 80
COLUMN, ROW, MARGIN, ABOVE = 74, 26, 46, 14  # pixels
SPREAD = 9  # between nodes of one layer and position
COLOURS = {"feature": "#3b6fb6", "error": "#9a9a9a", "embedding": "#4f9d69", "logit": "#c8553d"}
POSITIVE, NEGATIVE = "#3b6fb6", "#c8553d"
TOKEN_LETTERS = 10


def picture(graph: nx.DiGraph[int]) -> str:
    """SVG of a graph as `circuitstore.circuits.nodes.to_networkx` gives it."""
    shown = sorted(
        graph, key=lambda node: (graph.nodes[node]["kind"] != "logit", -graph.nodes[node]["influence"])
    )
    shown = shown[:NODES]
    tokens: Sequence[str] = graph.graph["tokens"]
    top = max((row["layer"] for _, row in graph.nodes(data=True) if row["layer"] is not None), default=0) + 2
    places = _places({node: graph.nodes[node] for node in shown}, top)
    edges = sorted(
        ((s, t, w) for s, t, w in graph.edges.data("weight") if s in places and t in places),
        key=lambda edge: -abs(edge[2]),
    )[:EDGES]
    largest = max((abs(weight) for *_, weight in edges), default=1.0) or 1.0
    width, height = MARGIN + COLUMN * len(tokens), ABOVE + ROW * top + MARGIN
    parts = [_edge(places[s], places[t], weight, largest) for s, t, weight in reversed(edges)]
    parts += [_node(places[node], graph.nodes[node]) for node in shown]
    parts += [_text(MARGIN + COLUMN * i, height - 22, _cut(token)) for i, token in enumerate(tokens)]
    hidden = f"{len(shown)} of {len(graph)} nodes and {len(edges)} of {graph.number_of_edges()} edges"
    parts.append(_text(4, height - 4, f"{hidden} shown"))
    body = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="attribution graph, {hidden}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">{body}</svg>'
    )


def _places(rows: dict[int, Any], top: int) -> dict[int, tuple[float, float]]:
    """Node → its place, (x, y) in pixels; those of one layer and position stand side by side."""
    beside: dict[tuple[int, int], int] = {}
    places = {}
    for node, row in rows.items():
        level = {"embedding": 0, "logit": top}.get(row["kind"], (row["layer"] or 0) + 1)
        spot = row["position"], level
        shift = beside.get(spot, 0)
        beside[spot] = shift + 1
        x = MARGIN + COLUMN * row["position"] + SPREAD * (shift % 7)
        places[node] = (x, ABOVE + ROW * (top - level) + 8.0 * (shift // 7))
    return places


def _edge(source: tuple[float, float], target: tuple[float, float], weight: float, largest: float) -> str:
    colour = POSITIVE if weight >= 0 else NEGATIVE
    share = abs(weight) / largest
    ends = f'x1="{source[0]:g}" y1="{source[1]:g}" x2="{target[0]:g}" y2="{target[1]:g}"'
    width, opacity = 0.5 + 2 * share, 0.25 + 0.6 * share
    return f'<line {ends} stroke="{colour}" stroke-width="{width:.2f}" opacity="{opacity:.2f}"/>'


def _node(place: tuple[float, float], row: Any) -> str:
    told = f"{row['name']} at {row['position']} {row['token']!r}, influence {row['influence']:.4f}"
    return (
        f'<circle cx="{place[0]:g}" cy="{place[1]:g}" r="4" fill="{COLOURS[row["kind"]]}">'
        f"<title>{escape(told)}</title></circle>"
    )


def _text(x: float, y: float, text: str) -> str:
    font = 'font-size="11" font-family="sans-serif" fill="currentColor"'
    return f'<text x="{x:g}" y="{y:g}" {font}>{escape(text)}</text>'


def _cut(token: str) -> str:
    """A token in a few letters, with a blank as ␣ and what is not printable as an escape."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in token.replace(" ", "␣"))
    return shown if len(shown) <= TOKEN_LETTERS else shown[: TOKEN_LETTERS - 1] + "…"
