"""Two numbers of a feature, or of a pair of features, against each other.

The numbers are attributions by two methods, or a prediction and a measurement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tasks.drawing import effects, intervals, style
from tasks.drawing.numerals import number, printed
from tasks.drawing.plate import Plate
from tasks.drawing.published import PREDICTION
from tasks.drawing.tables_graphs import Graphs
from tasks.drawing.tables_interventions import Interventions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.settings.phases import Figures

MOST_POINTS = 4000  # that are drawn; correlations are over all
LEAST = 1e-6  # the smallest value on logarithmic axes
PREDICTORS = {
    "influence": "influence",
    "direct": "edge / activation",
    "response": "response of the replacement model",
}
AXES = "Axes are linear up to the innermost ticks and logarithmic beyond."


def methods(look: style.Look, config: Figures, attribution: Graphs) -> Iterator[Plate]:
    """Direct, total and integrated attribution of every feature node to the margin, against the gradient."""
    if "gradient" not in attribution.contributions or not len(attribution.contributions["gradient"]):
        return
    figure, panels = look.axes(style.PAGE, 6.4, columns=3, sharey=True)
    gradient = attribution.contributions["gradient"]
    ends = reach(*attribution.contributions.values())
    labels = {
        "direct": "direct edge",
        "total": "all paths through features",
        "integrated": "integrated gradient",
    }
    for axes, (name, label) in zip(panels, labels.items(), strict=True):
        scatter(look, axes, attribution.contributions[name], gradient, style.BLUE, ends)
        axes.set_xlabel(f"{label} (nats)")
    panels[0].set_ylabel("gradient × activation (nats)")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=style.BLUE, label="a feature at a position"),
        diagonal(),
    ]
    style.legend_below(figure, handles)
    median = np.nanmedian(attribution.spearman)
    caption = (
        f"Contribution of {len(gradient):,} feature nodes of {len(attribution.spearman)} prompts to the "
        "margin: the real model's gradient against the replacement model's edges, (a) direct, (b) over all "
        "paths, and (c) the same gradient, integrated while all nodes of a layer fall silent together. "
        f"Spearman of gradient and direct within a prompt: median {printed(median)}. {AXES} "
        f"{thinned(len(gradient))}"
    )
    yield Plate("methods", "Direct and gradient attribution", caption, figure)


def predictions(look: style.Look, config: Figures, interventions: Interventions) -> Iterator[Plate]:
    """Predicted against measured effect of zeroing single features, by each method of attribution."""
    split, summary = interventions.shown
    predicted, measured = interventions.predictions[split]
    names = interventions.methods
    if not len(measured):
        return
    figure, panels = look.axes(style.PAGE, 6.4, columns=len(names), sharey=True)
    for i, (axes, name) in enumerate(zip(panels, names, strict=True)):
        scatter(look, axes, predicted[:, i], measured, style.CYCLE[i], reach(predicted, measured))
        value = summary["prediction"][name]["spearman"]
        axes.set_xlabel(f"{name} attribution (nats)")
        axes.set_title("" if value is None else f"ρ = {printed(value)}", loc="right")
    panels[0].set_ylabel("measured effect (nats)")
    style.legend_below(
        figure,
        [
            Line2D([], [], linestyle="", marker="o", color=style.GREY, label="a feature of a prompt"),
            diagonal(),
        ],
    )
    caption = (
        f"Zeroing single features on {split} prompts: predicted contribution to the margin and its measured "
        f"fall, for {len(measured):,} features of largest gradient attribution and matched controls. ρ: "
        f"Spearman over all of them. {AXES} "
        f"{thinned(len(measured))}"
    )
    yield Plate("prediction", "Predicted and measured effects on the margin", caption, figure)


def between_features(look: style.Look, config: Figures, interventions: Interventions) -> Iterator[Plate]:
    """Influence of a feature on another against what zeroing the first does to the second, also by layers."""
    split, summary = interventions.shown
    influence, effect = interventions.between[split]
    rows = interventions.feature_effects(split, among="graph", regime="constrained")
    if not rows:
        return
    figure, (pairs, layers) = look.axes(style.PAGE, 7.4, columns=2)
    x, y = np.maximum(influence, LEAST), np.maximum(np.abs(effect), LEAST)
    some = slice(None, None, -(-len(x) // MOST_POINTS))
    pairs.plot(
        x[some],
        y[some],
        "o",
        color=style.BLUE,
        alpha=0.25,
        markersize=1.6 * look.scale,
        markeredgewidth=0,
        rasterized=True,
    )
    pairs.set(
        xscale="log",
        yscale="log",
        xlabel="influence (share of what enters the target)",
        ylabel="|share of the target's activation lost|",
    )
    for axis in (pairs.xaxis, pairs.yaxis):
        style.power_ticks(axis)
    looks = list(zip(style.CYCLE, style.MARKERS, strict=True))
    for row, (colour, marker) in zip(rows, looks, strict=False):
        counts = [int(count) for count in row["by_layers"]]
        effects.band(layers, counts, list(row["by_layers"].values()), colour, marker)
        if row["predictor"] == "influence":
            pairs.set_title(f"ρ = {number(row['size'])}", loc="right")
    layers.axhline(PREDICTION, color=style.PURPLE, linestyle=":")
    layers.set(
        xlabel="layers from source to target",
        ylabel="Spearman ρ of sizes",
        ylim=(min(0, layers.get_ylim()[0]), 1.02),
    )
    layers.set_xticks(counts)
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            label=f"{'a, b' if i == 0 else 'b'}: {PREDICTORS[row['predictor']]}",
        )
        for i, (row, (colour, marker)) in enumerate(zip(rows, looks, strict=False))
    ]
    handles.append(
        Line2D(
            [],
            [],
            color=style.PURPLE,
            linestyle=":",
            label=f"b: published, influence, all layers: {PREDICTION}",
        )
    )
    style.legend_below(figure, handles, columns=2)
    caption = (
        f"Zeroing features of {summary['prompts']} {split} graphs, drawn at random, and features downstream "
        f"of them, {len(effect):,} pairs, attention frozen, MLPs held for some layers above the source "
        "(setting `interventions.effect_range`; 2 in the published check): (a) influence along all paths "
        "of the graph, and "
        f"the size of the measured effect; ρ: Spearman within prompts, mean. What is less than {LEAST:.0e} "
        "is drawn there. (b) The same by the layers from source to target, for three predictions. "
        f"{intervals.note(config, summary)} {thinned(len(effect))}"
    )
    yield Plate("influence", "Influence between features and effects of ablation", caption, figure)


def scatter(
    look: style.Look, axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, ends: np.ndarray
) -> None:
    """Dots and the line of equality, on axes that are logarithmic away from zero: small effects show.

    `ends` (2,) are the ends of both axes.
    """
    some = slice(None, None, -(-len(x) // MOST_POINTS))
    axes.plot(
        x[some],
        y[some],
        "o",
        color=colour,
        alpha=0.35,
        markersize=1.8 * look.scale,
        markeredgewidth=0,
        rasterized=True,
    )
    axes.plot(ends, ends, color="black", linestyle="--", linewidth=0.7, zorder=3)
    style.zero_line(axes)
    style.zero_line(axes, vertical=True)
    largest = max(np.abs(ends).max(), 1e-12)
    top = int(np.floor(np.log10(largest)))
    decades = [10.0 ** (top - 1), 10.0**top]  # linear below the first of them
    ticks = [*(-decade for decade in reversed(decades)), 0, *decades]
    for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        scale("symlog", linthresh=decades[0], linscale=1.0)
        style.plain_ticks(axis, ticks)
    axes.set(xlim=1.3 * ends, ylim=1.3 * ends)


def reach(*columns: np.ndarray) -> np.ndarray:
    """The least and the largest of all values and zero: (2,) float64."""
    values = np.concatenate([[0.0], *(column.ravel() for column in columns)])
    return np.array([np.nanmin(values), np.nanmax(values)])


def diagonal() -> Line2D:
    """The line of equality, for the legend."""
    return Line2D([], [], color="black", linestyle="--", linewidth=0.7, label="equality")


def thinned(count: int) -> str:
    """The sentence of a caption that says how many dots are left out; "" for none."""
    step = -(-count // MOST_POINTS)
    return f"One in {step} is drawn." if step > 1 else ""
