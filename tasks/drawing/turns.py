"""Whose turn of a conversation the tokens of a diagram are: a bracket with the role below their names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes

from tasks.drawing import style
from tasks.drawing.lettering import fit

HEIGHT = 0.42  # cm: of the brackets and their roles
INK, TEMPLATE = "#444444", "#767676"  # of brackets, and of tokens that nobody says
BRACKETS = "Brackets below tokens say whose turn of the conversation they are"
GREY = "grey tokens are those of the chat template"


def told(turns: Sequence[str]) -> str:
    """The sentence that says how turns (column,) are shown; "" where there are none."""
    return f" {BRACKETS}; {GREY}." if any(turns) else ""


def brackets(
    axes: Axes, look: style.Look, turns: Sequence[str], spans: dict[int, tuple[float, float]], top: float
) -> None:
    """Draw one bracket for each turn, from `top` (cm) downwards.

    `turns` (column,) says whose each column is, "" for those of the template. `spans` says where columns that
    are shown begin and end, in cm. A turn of which none is shown has no bracket.
    """
    foot, size, drawn = top - 0.1, look.size * 0.85, _drawn(turns, spans)
    for i, (role, left, right) in enumerate(drawn):
        ends = [left, left, right, right], [top, foot, foot, top]
        axes.plot(*ends, color=INK, linewidth=0.6 * look.scale, solid_joinstyle="miter")
        before = drawn[i - 1][2] if i else 0.0
        after = drawn[i + 1][1] if i + 1 < len(drawn) else style.PAGE
        room = right - left + min(left - before, after - right)  # half the way to the next bracket
        name = fit(style.token(role, 40), room * look.scale * style.CM * 72, size)
        middle = (left + right) / 2
        axes.text(middle, foot - 0.05, name, ha="center", va="top", fontsize=size, color=INK)


def _drawn(turns: Sequence[str], spans: dict[int, tuple[float, float]]) -> list[tuple[str, float, float]]:
    """The role of each turn of which a column is shown, and where its bracket begins and ends, in cm."""
    found = []
    for role, run in groupby(range(len(turns)), key=lambda column: turns[column]):
        shown = [spans[column] for column in run if column in spans]
        if role and shown:
            found.append((role, shown[0][0] + 0.08, shown[-1][1] - 0.08))
    return found
