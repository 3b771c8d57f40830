"""How much of the margin circuits keep, by their size, beside random ones of equal size.

All numbers come from `tasks.parts.faithfulness`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tasks.drawing import intervals, style
from tasks.drawing.effects import band
from tasks.drawing.numerals import number
from tasks.drawing.plate import Plate
from tasks.drawing.tables_interventions import FILLS, Interventions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.settings.phases import Figures

CURVES = {"faithfulness": style.BLUE, "complement": style.VERMILION}  # replaced as configured
KEPT = {"circuit": style.BLUE, "random": style.GREY}  # replaced by what the partner has
START = {"value": 0.0, "low": 0.0, "high": 0.0}  # of a curve: nothing is kept
END = {"value": 1.0, "low": 1.0, "high": 1.0}  # everything is


def faithfulness(look: style.Look, config: Figures, interventions: Interventions) -> Iterator[Plate]:
    """The margin that a circuit alone keeps, what is left without it, and what random circuits keep."""
    split, shown = interventions.shown
    measured = {
        name: [row for row in summary["faithfulness"] if row["faithfulness"]["value"] is not None]
        for name, summary in interventions.summary.items()
    }
    sized = any(measured.values())
    kept = [row for row in shown["counterfactual"]["rows"] if row["circuit"]["value"] is not None]
    if not sized and not kept:
        return
    both = sized and bool(kept)
    figure, panels = look.axes(style.PAGE if both else style.COLUMN, 6.6, columns=2 if both else 1)
    for name, rows in measured.items() if sized else ():
        _by_size(panels[0], name, rows)
    if kept:
        _by_share(panels[-1], kept)
    for axes in panels:
        for level in (0, 1):
            axes.axhline(level, color=style.GREY, linewidth=0.6, zorder=0)
        axes.set_ylabel("faithfulness")
    style.legend_below(figure, _handles(list(measured) if sized else [split], sized, bool(kept)), columns=3)
    empty = shown["empty_share"]
    caption = (
        "Faithfulness (m(C) − m(∅)) / (m(M) − m(∅)): m is the mean margin, M the model, C the model with all "
        "features but the circuit's replaced, ∅ with all of them replaced; 1 is the whole model. A circuit "
        "is the units of largest mean contribution to the margin in size, of train prompts, a unit being a "
        "feature in a position role; a prompt has only some of them active."
    )
    if sized:
        caption += (
            f"{' (a)' if both else ''} Features are replaced by {FILLS[shown['fill']]}; 0 is no empty model: "
            f"m(∅) is {number(empty['configured'], '.0%')} of m(M) on {split} prompts. The axis counts the "
            "circuit's features that are active in a prompt, each position by itself, mean over prompts, for "
            f"circuits of {_range(shown['faithfulness'])} units."
        )
    if kept:
        caption += (
            f"{' (b)' if both else ''} Features are replaced by what the partner has, {split} prompts; m(∅) "
            f"is {number(empty['partner'], '.0%')} of m(M). The axis is the share kept of all features that "
            "are active in the prompt or in its partner. Random circuits keep as many in each prompt, mean "
            "over draws. Curves begin at 0 and end at 1 by definition; CPR and CMD are areas of this panel."
        )
    caption += f" {intervals.note(config, shown)}"
    yield Plate("faithfulness", "Faithfulness of circuits", caption, figure)


def _range(rows: list[dict[str, Any]]) -> str:
    """The smallest and the largest size of rows."""
    sizes = [row["size"] for row in rows]
    return f"{min(sizes):,} to {max(sizes):,}"


def _by_size(axes: Axes, split: str, rows: list[dict[str, Any]]) -> None:
    """Circuits alone, and all but them, by the number of features kept; circuits of none are left out."""
    some = [row for row in rows if row["features"] > 0]
    test = split == "test"
    for measure, colour in CURVES.items():
        band(
            axes,
            [row["features"] for row in some],
            [row[measure] for row in some],
            colour,
            style.SPLITS[split][1],
            "-" if test else ":",
            fill=test,
        )
    axes.set(xscale="log", xlabel="features of the circuit that are active in a prompt")
    style.plain_ticks(axes.xaxis, _decades(axes))


def _decades(axes: Axes) -> list[float]:
    """Ticks of a logarithmic axis of numbers of features, as far as it reaches."""
    low, high = sorted(axes.get_xlim())
    steps = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
    return [step for step in steps if low <= step <= high]


def _by_share(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Circuits and random ones of equal size by the share of features kept, from nothing to everything."""
    shares = [0.0, *(row["share"]["value"] for row in rows), 1.0]
    for name, colour in KEPT.items():
        line, marker = ("-", "D") if name == "circuit" else ("--", "s")
        band(axes, shares, [START, *(row[name] for row in rows), END], colour, marker, line)
    axes.set(xlabel="share of features kept", xlim=(-0.02, 1.02))


def _handles(splits: list[str], sized: bool, kept: bool) -> list[Line2D]:
    """The legend: curves, then splits."""
    handles = [Line2D([], [], color=style.BLUE, label="circuit alone")]
    if sized:
        label = f"{'a: ' if kept else ''}all but the circuit"
        handles.append(Line2D([], [], color=style.VERMILION, label=label))
    if kept:
        label = f"{'b: ' if sized else ''}random circuits of equal size"
        handles.append(Line2D([], [], color=style.GREY, linestyle="--", marker="s", label=label))
    for split in splits:
        handle = Line2D([], [], color="black", marker=style.SPLITS[split][1], label=split)
        handle.set_linestyle("-" if split == "test" else ":")
        handles.append(handle)
    return handles
