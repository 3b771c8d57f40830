"""How much of each graph the features explain: completeness and replacement, beside what was published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D

from tasks.drawing import style
from tasks.drawing.plate import Plate
from tasks.drawing.published import PRUNED_NODES, SCORES
from tasks.drawing.tables_graphs import THRESHOLDS, Graphs, mean
from tasks.drawing.tables_prompts import Prompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.settings.phases import Figures


def graph_scores(look: style.Look, config: Figures, prompts: Prompts, attribution: Graphs) -> Iterator[Plate]:
    """Both scores of every graph, and how many nodes hold a share of the influence."""
    figure, (scores, pruning) = look.axes(style.PAGE, 6.0, columns=2)
    columns = (("completeness", attribution.completeness), ("replacement", attribution.replacement))
    for x, (name, values) in enumerate(columns):
        for k, split in enumerate(prompts.splits):
            shown = values[prompts.split == split]
            colour, marker = style.SPLITS[split]
            centre = x + (k - (len(prompts.splits) - 1) / 2) * 0.3
            spread = centre + 0.09 * np.cos(np.arange(len(shown)) * 2.4)
            scores.plot(
                spread, shown, marker, color=colour, alpha=0.6, markersize=2.4 * look.scale, markeredgewidth=0
            )
            scores.plot([centre - 0.12, centre + 0.12], [shown.mean()] * 2, color="black")
        scores.plot([x - 0.38, x + 0.38], [SCORES[name]] * 2, color=style.PURPLE, linestyle="--")
    scores.set(xlim=(-0.5, 1.5), ylim=(0, 1), ylabel="share of influence")
    scores.set_xticks([0, 1], [name for name, _ in columns])
    low, middle, high = np.quantile(np.maximum(attribution.kept, 1), [0.25, 0.5, 0.75], axis=0)
    pruning.fill_between(THRESHOLDS, low, high, color=style.BLUE, alpha=0.25, linewidth=0)
    pruning.plot(THRESHOLDS, middle, "o-", color=style.BLUE)
    pruning.plot(THRESHOLDS, PRUNED_NODES, "x--", color=style.PURPLE)
    pruning.set(xlabel="share of influence kept", ylabel="nodes kept", yscale="log")
    style.plain_ticks(pruning.yaxis, [10, 20, 50, 100, 200, 500, 1000, 2000, 5000])
    pruning.set_ylim(min(middle.min(), *PRUNED_NODES) * 0.8, max(high.max(), *PRUNED_NODES) * 1.25)
    pruning.set_xticks(THRESHOLDS)
    handles = [
        Line2D([], [], linestyle="", color=c, marker=m, label=f"a: {s} prompt")
        for s, (c, m) in style.SPLITS.items()
        if s in prompts.splits
    ]
    handles += [
        Line2D([], [], color="black", label="a: mean"),
        Line2D([], [], color=style.BLUE, marker="o", label="b: median and quartiles of prompts"),
        Line2D([], [], color=style.PURPLE, linestyle="--", marker="x", label="published"),
    ]
    style.legend_below(figure, handles, columns=5)
    caption = (
        f"(a) Completeness (mean {attribution.completeness.mean():.3f}) and replacement (mean "
        f"{attribution.replacement.mean():.3f}) of {len(attribution.completeness)} graphs; dashed: one "
        f"example graph, per-layer transcoders ({SCORES['completeness']} and {SCORES['replacement']}). (b) "
        "Nodes that hold a share of the influence; dashed: one example graph, cross-layer transcoders."
    )
    if np.isfinite(length := mean(attribution.path_length)):
        caption += f" Mean path from embedding to logit: {length:.2f} edges."
    yield Plate("scores", "Graph scores", caption, figure)
