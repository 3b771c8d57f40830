"""A graph drawn by layer and position: tokens along the bottom, layers upwards, the logits on top.

Nodes of the same row and column stand side by side, then one above the other, so that no label covers
another. Every edge runs upwards. What is drawn is a networkx graph. Its nodes have `row` (0 for embeddings),
`column`, `kind` (one of `KINDS`), `label` and, for a second line,
`second`. Its edges have `share`: the signed part of all that enters the target, from -1 to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from tasks.drawing import style, turns
from tasks.drawing.lettering import fit
from tasks.drawing.routes import route

KINDS: dict[str, dict[str, Any]] = {  # face, edge and line style of a node's box
    "feature": {"facecolor": "#FFFFFF", "edgecolor": "#222222", "linestyle": "-"},
    "suppressed": {"facecolor": "#FBE9F2", "edgecolor": "#8E3B6E", "linestyle": (0, (1, 1))},
    "error": {"facecolor": "#EEEEEE", "edgecolor": style.GREY, "linestyle": (0, (2, 1))},
    "embedding": {"facecolor": "#DCEEF8", "edgecolor": style.BLUE, "linestyle": "-"},
    "logit": {"facecolor": "#FCEBCB", "edgecolor": "#A86F00", "linestyle": "-"},
    "margin": {"facecolor": "#FCEBCB", "edgecolor": "#A86F00", "linestyle": "-"},
}
SHORT = {"embedding": "emb."}  # kind → what a box is called where its name is too long
SIGNS = {"excites": style.POSITIVE, "inhibits": style.NEGATIVE}
STACK, GAP, MARGIN = 0.14, 0.62, 1.45  # cm: between boxes of a stack, between rows, for names of layers
BOX, TWO_LINES = 0.36, 0.58  # cm: height of a box, without and with a second line
NARROW = 0.9  # cm: width of a box in a column that holds an embedding alone
LEAST, WIDEST = 1.3, 3.0  # cm: least and largest width of a box elsewhere
THICKEST = 3.2  # points: an edge that is all of the input of its target
FOOT = 1.6  # cm: for legend and note
COLUMNS = 4  # of the legend
EDGES = 0.12  # cm: between the last column and the end of the page, where edges pass

Node = Hashable
Point = tuple[float, float]  # cm


def draw(
    look: style.Look,
    graph: nx.DiGraph,
    columns: list[str],
    rows: list[str],
    note: str,
    roles: Sequence[str] = (),
) -> Figure:
    """A diagram as wide as the page, with `note` below it.

    `columns` and `rows` are the names of columns and rows; those without nodes are left out. An ellipsis
    stands before the name of a column where others are left out. Of a conversation, `roles` (column,) says
    whose turn each column is, "" for those of the template.
    """
    box = TWO_LINES if any(data.get("second") for _, data in graph.nodes(data=True)) else BOX
    slots, spans = _columns(graph)
    centres, feet, height = _layout(graph, rows, slots, spans, box)
    wide = {
        column: (right - left - 0.1) * look.scale * style.CM * 72 for column, (left, right) in spans.items()
    }
    shown = list(spans)
    names = {
        column: "…" * (column > (shown[i - 1] + 1 if i else 0)) + columns[column]
        for i, column in enumerate(shown)
    }
    crowded = any(fit(names[column], room, look.size) != names[column] for column, room in wide.items())
    # Names that do not fit side by side stand on two lines, every other one lower.
    named = 1.05 if crowded else 0.75  # cm
    below = named + turns.HEIGHT * any(roles)
    figure = look.figure(style.PAGE, height + below + FOOT, layout="none")
    axes = figure.add_axes((0, FOOT / (height + below + FOOT), 1, (height + below) / (height + below + FOOT)))
    axes.set(xlim=(0, style.PAGE), ylim=(0.15 - below, height + 0.15))
    axes.axis("off")
    for i, (column, (left, right)) in enumerate(spans.items()):
        axes.axvspan(
            left, right, ymin=0, facecolor="#F4F4F4" if i % 2 == 0 else "#FFFFFF", linewidth=0, zorder=0
        )
        beside = min([wide[other] for other in shown[max(i - 1, 0) : i + 2]])
        label = fit(names[column], wide[column] + 0.9 * beside * crowded, look.size)
        axes.text(
            (left + right) / 2,
            -0.3 - 0.3 * (crowded and i % 2),
            label,
            ha="center",
            va="center",
            size=look.size,
            **_lettering(column, roles),
        )
    turns.brackets(axes, look, roles, spans, 0.15 - named)
    half = {
        node: (spans[column][1] - spans[column][0]) / slots[column] / 2
        for node, column in graph.nodes(data="column")
    }
    _edges(axes, graph, centres, box, half, look.scale)
    for node, (x, y) in centres.items():
        _box(axes, graph.nodes[node], x, y, half[node] - 0.07, box, look)
    for row, y in feet.items():
        axes.text(
            0.08, y + box / 2, rows[row], va="center", ha="left", color="#444444", fontsize=look.size * 0.85
        )
    _legend(figure, {data["kind"] for _, data in graph.nodes(data=True)}, look)
    figure.text(0.5, 0.012, note, ha="center", va="bottom", fontsize=look.size * 0.85, color="#444444")
    return figure


def _lettering(column: int, roles: Sequence[str]) -> dict[str, Any]:
    """How the name of a column is set: bold, unless it is a token of a chat template."""
    template = any(roles) and not roles[column]
    return {"weight": "normal", "color": turns.TEMPLATE} if template else {"weight": "bold"}


def _columns(graph: nx.DiGraph) -> tuple[dict[int, int], dict[int, Point]]:
    """How many boxes stand side by side in each used column, and where it begins and ends, in cm.

    The column of the tallest stack is widened as long as there is room. A column that holds an embedding
    alone is narrow.
    """
    most: dict[int, int] = {}
    sizes = Counter((data["row"], data["column"]) for _, data in graph.nodes(data=True))
    for (_, column), count in sizes.items():
        most[column] = max(most.get(column, 0), count)
    full = {data["column"] for _, data in graph.nodes(data=True) if data["kind"] != "embedding"}
    slots, page = dict.fromkeys(sorted(most), 1), style.PAGE - MARGIN - EDGES
    room = page - NARROW * (len(slots) - len(full))
    while (sum(slots[column] for column in full) + 1) * LEAST <= room:
        tallest = max(sorted(full), key=lambda column: most[column] / slots[column])
        if most[tallest] <= slots[tallest]:
            break
        slots[tallest] += 1
    wide = min(room / sum(slots[column] for column in full), WIDEST)
    narrow = min(NARROW, page / len(slots))
    widths = [slots[column] * wide if column in full else narrow for column in slots]
    edges = np.cumsum([MARGIN + max(page - sum(widths), 0) / 2, *widths]).tolist()
    return slots, {column: (edges[i], edges[i + 1]) for i, column in enumerate(slots)}


def _layout(
    graph: nx.DiGraph, rows: list[str], slots: dict[int, int], spans: dict[int, Point], box: float
) -> tuple[dict[Node, Point], dict[int, float], float]:
    """Centre and foot of each node, the foot of each used row, and the whole height, in cm.

    Empty rows take no room.
    """
    stacks: dict[tuple[int, int], list[Node]] = {}
    for node, data in graph.nodes(data=True):
        stacks.setdefault((data["row"], data["column"]), []).append(node)
    centres: dict[Node, Point] = {}
    feet: dict[int, float] = {}
    y = 0.0
    for row in range(len(rows)):
        here = {column: nodes for (r, column), nodes in stacks.items() if r == row}
        for column, nodes in here.items():
            left, right = spans[column]
            for line in range(0, len(nodes), slots[column]):
                part = nodes[line : line + slots[column]]
                for i, node in enumerate(part):
                    x = left + (right - left) * (i + 0.5) / len(part)
                    centres[node] = (x, y + line // slots[column] * (box + STACK))
        if here:
            feet[row] = y
            lines = max(-(-len(nodes) // slots[column]) for column, nodes in here.items())
            y += lines * (box + STACK) - STACK + GAP
    return centres, feet, y - GAP


def _edges(
    axes: Axes,
    graph: nx.DiGraph,
    centres: dict[Node, Point],
    box: float,
    half: dict[Node, float],
    scale: float,
) -> None:
    """Curves from the top of the source to the foot of the target around other boxes, the thickest last.

    At a box, edges lie in the order of where they lead.
    """
    boxes = [(x - half[node] + 0.07, x + half[node] - 0.07, y, y + box) for node, (x, y) in centres.items()]
    sides = (MARGIN - EDGES / 2, style.PAGE - EDGES / 2)
    leaving = {node: sorted(graph.successors(node), key=lambda other: centres[other]) for node in graph}
    entering = {node: sorted(graph.predecessors(node), key=lambda other: centres[other]) for node in graph}
    for source, target, share in sorted(
        graph.edges(data="share"), key=lambda edge: (abs(edge[2]), str(edge[:2]))
    ):
        x0 = centres[source][0] + _port(leaving[source].index(target), len(leaving[source]), half[source])
        x1 = centres[target][0] + _port(entering[target].index(source), len(entering[target]), half[target])
        y0, y1 = centres[source][1] + box, centres[target][1]
        path = _path(route((x0, y0), (x1, y1), boxes, sides))
        colour = SIGNS["excites" if share > 0 else "inhibits"]
        axes.add_patch(
            PathPatch(
                path,
                facecolor="none",
                edgecolor=colour,
                linewidth=thickness(share) * scale,
                alpha=0.75,
                zorder=1,
            )
        )


def _path(points: list[Point]) -> Path:
    """The curves between the points of a route, vertical at each of them."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        bend = 0.45 * (y1 - y0)
        vertices += [(x0, y0 + bend), (x1, y1 - bend), (x1, y1)]
        codes += [Path.CURVE4] * 3
    return Path(vertices, codes)


def _port(index: int, count: int, half: float) -> float:
    """Where one of several edges meets a box, from its middle."""
    return 0.8 * half * (2 * (index + 0.5) / count - 1)


def thickness(share: float) -> float:
    """The width of an edge in points: it grows with the root of its share, so that small shares differ."""
    return float(0.2 + (THICKEST - 0.2) * min(abs(share), 1.0) ** 0.5)


def _box(
    axes: Axes, data: dict[str, Any], x: float, y: float, half: float, box: float, look: style.Look
) -> None:
    """A node with its label."""
    shape = FancyBboxPatch(
        (x - half, y),
        2 * half,
        box,
        boxstyle="round,pad=0,rounding_size=0.08",
        linewidth=0.7 * look.scale,
        zorder=2,
        **KINDS[data["kind"]],
    )
    axes.add_patch(shape)
    lines = [line for line in (data["label"], data.get("second", "")) if line]
    for i, line in enumerate(lines):
        size = look.size * (0.85 if i == 0 else 0.78)
        middle = y + box * (0.5 if len(lines) == 1 else (0.7, 0.28)[i])
        shown = fit(line, 2 * half * look.scale * style.CM * 72 - 3, size)
        axes.text(x, middle, shown, ha="center", va="center_baseline", fontsize=size, zorder=3)


def _legend(figure: Figure, kinds: set[str], look: style.Look) -> None:
    """What colours, widths and boxes mean, for the kinds of nodes that are there."""
    handles: list[Any] = [
        Line2D(
            [],
            [],
            color=colour,
            linewidth=thickness(share) * look.scale,
            label=f"{sign}, {share:.0%} of input",
        )
        for sign, colour in SIGNS.items()
        for share in (0.5, 0.1, 0.02)
    ]
    for kind, look_of in KINDS.items():
        if kind in kinds:
            handles.append(FancyBboxPatch((0, 0), 1, 1, label=kind, linewidth=0.7, **look_of))
    while len(handles) < 3 * COLUMNS - 2:  # with fewer, the first columns would not be of three lines
        handles.append(Line2D([], [], linestyle="", label=" "))
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.4 * style.CM * look.scale / figure.get_figheight()),
        ncols=COLUMNS,
        columnspacing=1.2,
        handletextpad=0.5,
    )
