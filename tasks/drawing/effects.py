"""What interventions do to the margin: ablation, every kind of edit, steering.

All numbers come from `tasks.parts.intervention_summary`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tasks.drawing import intervals, style
from tasks.drawing.plate import Plate
from tasks.drawing.published import CHOICES
from tasks.drawing.tables_interventions import Interventions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.settings.phases import Figures

DECADES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
KINDS = {  # kind of edit → its name; colours are given in this order
    "zero": "zero",
    "inhibit": "inhibit",
    "mean": "mean",
    "resample": "resample",
    "patch": "patch from partner",
}

PANELS = 3  # most sizes of which steering is shown
REGIME_LINES = {"free": "-", "frozen_attention": ":"}


def ablation(look: style.Look, config: Figures, interventions: Interventions) -> Iterator[Plate]:
    """Effect of zeroing sets of features beside matched random sets, and the ratio of both."""
    split, summary = interventions.shown
    rows = summary["controls"]
    if not rows:
        return
    figure, (effect, ratio) = look.axes(style.PAGE, 6.0, columns=2)
    for choice, marker, colour in (("train", "o", style.BLUE), ("own", "s", style.GREEN)):
        here = [row for row in rows if row["choice"] == choice]
        sizes = [row["size"] for row in here]
        band(effect, sizes, [row["effect"] for row in here], colour, marker)
        band(effect, sizes, [row["control"] for row in here], style.GREY, marker, "--")
        band(ratio, sizes, [row["ratio"] for row in here], colour, marker)
    ratio.axhline(1, color=style.GREY, linewidth=0.6, zorder=0)
    for axes, label in ((effect, "mean |change of margin| (nats)"), (ratio, "effect / effect of controls")):
        sized(axes, "features zeroed", [row["size"] for row in rows])
        axes.set(ylabel=label, ylim=(0, None))
    handles = [
        Line2D([], [], color=style.BLUE, marker="o", label=CHOICES["train"]),
        Line2D([], [], color=style.GREEN, marker="s", label=CHOICES["own"]),
        Line2D([], [], color=style.GREY, linestyle="--", label="a: matched random features"),
    ]
    style.legend_below(figure, handles)
    caption = (
        f"Zeroing features on {summary['prompts']} {split} prompts, attention free: (a) mean absolute change "
        "of the margin, beside random features of the same layer and position that take away as much; (b) "
        "their ratio. Both are over the prompts that have such features, fewer for larger sets; where these "
        f"are one group, there is no band. {_matched(rows)}"
        f"{intervals.note(config, summary)}"
    )
    yield Plate("ablation", "Ablation beside matched controls", caption, figure)


def _matched(rows: list[dict[str, Any]]) -> str:
    """The sentence, with a blank behind it, that says how many controls are changed as they are."""
    shares = [row["inside"]["value"] for row in rows if row["inside"]["value"] is not None]
    if not shares:
        return ""
    return (
        f"Of the random features of a set, {min(shares):.0%} to {max(shares):.0%} take away as much by "
        "themselves (within the caliper); the edits of the others are scaled. "
    )


def edits(look: style.Look, config: Figures, interventions: Interventions) -> Iterator[Plate]:
    """Change of the margin by every kind of edit, and how often the answer flips."""
    split, summary = interventions.shown
    rows = [row for row in summary["sets"] if row["kind"] in KINDS and row["change"]["value"] is not None]
    if not rows:
        return
    figure, (change, flips) = look.axes(style.PAGE, 7.0, columns=2)
    patched = interventions.patched(split)
    _changes(change, rows)
    _flips(flips, [row for row in rows if row["kind"] == "zero"], patched)
    handles = [
        Line2D([], [], color=style.CYCLE[i], marker=style.MARKERS[i], label=name)
        for i, (kind, name) in enumerate(KINDS.items())
        if any(row["kind"] == kind for row in rows)
    ]
    if patched:
        handles.append(Line2D([], [], color="black", marker="s", label=f"b: patch, {CHOICES['own']}"))
    style.zero_line(change)
    sized(change, "features edited", [row["size"] for row in rows])
    largest = max(row["size"] for row in (*rows, *patched))
    sized(flips, "features edited", [*(size for size in DECADES if size <= 0.6 * largest), largest])
    change.set_ylabel("change of margin (nats)")
    flips.set(ylabel="share of right answers flipped", ylim=(-0.03, 1.03))
    handles += [
        Line2D([], [], color="black", label="attention free"),
        Line2D([], [], color="black", linestyle=":", label="attention frozen"),
    ]
    style.legend_below(figure, handles, columns=3)
    several = (
        f"{config.confidence:.0%} intervals over {summary['groups']} {summary['resampled']}, in (b) Wilson's."
        f"{intervals.few(summary['groups'])}"
    )
    caption = (
        f"Edits on {summary['prompts']} {split} prompts, each by adding the change of a feature's activation "
        f"times its decoder to the MLP output. (a) Change of the margin, features {CHOICES['train']}. (b) "
        "Share of the prompts answered right whose answer flips, by zeroing (blue) and patching (light "
        "blue) "
        f"features {CHOICES['train']}, and by patching features {CHOICES['own']} (black). "
        f"{f'Whiskers: {several}' if summary['groups'] > 1 else intervals.note(config, summary)} Of a set, "
        "features before the contrast change nothing when they are patched: there, both prompts are equal."
    )
    yield Plate("edits", "Ablation, inhibition and patching", caption, figure)


def _changes(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """The change of the margin by set size, for each kind of edit; sizes are moved aside a little."""
    for i, kind in enumerate(KINDS):
        for regime, line in REGIME_LINES.items():
            here = [
                row for row in rows if (row["choice"], row["kind"], row["regime"]) == ("train", kind, regime)
            ]
            sizes = [row["size"] * 1.04 ** (i - 2) for row in here]
            changes = [row["change"] for row in here]
            whiskers(axes, sizes, changes, style.CYCLE[i], style.MARKERS[i], line)


def _flips(axes: Axes, zeroed: list[dict[str, Any]], patched: list[dict[str, Any]]) -> None:
    """The share of flipped answers by set size, for patching and zeroing; sizes are moved aside a little."""
    series = (
        (patched, "train", style.CYCLE[4], style.MARKERS[4]),
        (patched, "own", "black", "s"),
        (zeroed, "train", style.CYCLE[0], style.MARKERS[0]),
    )
    for i, (rows, choice, colour, marker) in enumerate(series):
        for regime, line in REGIME_LINES.items():
            here = [row for row in rows if (row["choice"], row["regime"]) == (choice, regime)]
            aside = 1.06 ** (i - 1)
            sizes, shares = [row["size"] * aside for row in here], [row["flips"] for row in here]
            whiskers(axes, sizes, shares, colour, marker, line)


def steering(look: style.Look, config: Figures, interventions: Interventions) -> Iterator[Plate]:
    """Dose and response: the margin as features are made stronger or weaker, beside matched random ones."""
    split, summary = interventions.shown
    rows = [row for row in summary["steering"] if row["change"]["value"] is not None]
    if not rows:
        return
    sizes = sorted({row["size"] for row in rows})
    shown = sizes[:: max(1, -(-len(sizes) // PANELS))]
    figure, panels = look.axes(style.PAGE if len(shown) > 1 else style.COLUMN, 6.0, columns=len(shown))
    none = {"value": 0.0, "low": 0.0, "high": 0.0}
    for size, axes in zip(shown, panels, strict=True):
        for name, colour, marker, line in (
            ("control", style.GREY, "s", "--"),
            ("change", style.BLUE, "o", "-"),
        ):
            points = {row["strength"]: row[name] for row in rows if row["size"] == size} | {0.0: none}
            strengths = sorted(points)
            band(axes, strengths, [points[strength] for strength in strengths], colour, marker, line)
        style.zero_line(axes)
        style.zero_line(axes, vertical=True)
        axes.set_title(f"{size} feature{'s' if size > 1 else ''}")
        axes.set_xlabel("steering strength")
    panels[0].set_ylabel("change of margin (nats)")
    handles = [
        Line2D([], [], color=style.BLUE, marker="o", label=CHOICES["train"]),
        Line2D([], [], color=style.GREY, linestyle="--", marker="s", label="matched random features"),
    ]
    style.legend_below(figure, handles, columns=2)
    fewest, most = (f(row["prompts"] for row in rows if row["size"] in shown) for f in (min, max))
    caption = (
        f"Steering the features {CHOICES['train']}: their activation is changed by a multiple of itself, the "
        f"strength (−1 ablates, +1 doubles), on {summary['prompts']} {split} prompts. Dashed: random "
        "features of the same layers and positions, changed by as much, mean over draws. Both are of the "
        "prompts that have such random features, "
        f"{fewest if fewest == most else f'{fewest} to {most}'} of them. Panels have scales of their own. "
        f"{intervals.note(config, summary)}"
    )
    yield Plate("steering", "Dose and response of steering", caption, figure)


def whiskers(
    axes: Axes, x: list[float], rows: list[dict[str, Any]], colour: str, marker: str, line: str
) -> None:
    """A curve of statistics with their intervals as whiskers; markers at the edge are whole."""
    value, low, high = (numbers(rows, name) for name in ("value", "low", "high"))
    line_, _, bars = axes.errorbar(
        x,
        value,
        yerr=np.maximum([value - low, high - value], 0) if rows else None,
        marker=marker,
        markersize=2.6,
        linestyle=line,
        linewidth=1.0,
        elinewidth=0.7 if line == "-" else 0.35,
        color=colour,
    )
    for artist in (line_, *bars):
        artist.set_clip_on(False)
        artist.set_in_layout(False)  # else gaps in it would leave no room for the axes


def numbers(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """Value, low or high of each statistic, NaN where nothing was measured: (row,) float64."""
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=float)


def band(
    axes: Axes,
    x: list[Any],
    rows: list[dict[str, Any]],
    colour: str,
    marker: str,
    line: str = "-",
    *,
    fill: bool = True,
) -> None:
    """A curve of statistics with their intervals as a band; what was not measured leaves a gap."""
    axes.plot(x, numbers(rows, "value"), marker=marker, linestyle=line, color=colour)
    if fill:
        axes.fill_between(
            x, numbers(rows, "low"), numbers(rows, "high"), color=colour, alpha=0.2, linewidth=0
        )


def sized(axes: Axes, label: str, sizes: list[int]) -> None:
    """A logarithmic axis of set sizes, with each of them as a tick."""
    axes.set(xscale="log", xlabel=label)
    style.plain_ticks(axes.xaxis, sorted(set(sizes)))
