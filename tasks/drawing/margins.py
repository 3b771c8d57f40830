"""How well the model does the task: margins of prompts by split and category."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D

from circuitstore.statistics.bootstrap import bootstrap_interval
from tasks.drawing import intervals, style
from tasks.drawing.numerals import printed
from tasks.drawing.plate import Plate
from tasks.drawing.tables_prompts import Baseline, Prompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.settings.phases import Figures


def by_category(look: style.Look, config: Figures, prompts: Prompts, baseline: Baseline) -> Iterator[Plate]:
    """The margin of every prompt as a dot, by category and split, with the mean of each split."""
    name, values = prompts.category()
    groups = sorted(set(values))
    figure, (axes,) = look.axes(style.COLUMN, max(2.2 + 0.85 * len(groups), 4.2))
    counts: set[int] = set()  # of groups of prompts, over which a mean is taken
    for row, group in enumerate(groups):
        for k, split in enumerate(prompts.splits):
            here = (values == group) & (prompts.split == split)
            margin = baseline.margin[here]
            if not len(margin):
                continue
            colour, marker = style.SPLITS[split]
            centre = row + (k - (len(prompts.splits) - 1) / 2) * 0.4
            spread = centre + 0.13 * np.cos(np.arange(len(margin)) * 2.4)  # told apart without being random
            axes.plot(
                margin,
                spread,
                marker,
                color=colour,
                alpha=0.55,
                markersize=2.2 * look.scale,
                markeredgewidth=0,
            )
            clusters = prompts.clusters[here].tolist()
            single = len(set(clusters)) == 1
            counts.add(len(set(clusters)))
            low, high = bootstrap_interval(margin, config.seed, config.bootstrap, config.confidence, clusters)
            mean = margin.mean()
            axes.errorbar(
                mean,
                centre,
                xerr=None if single else [[mean - low], [high - mean]],
                color="black",
                marker=marker,
                markersize=3 * look.scale,
                linewidth=0.9,
            )
    style.zero_line(axes, vertical=True)
    axes.set(
        xlabel="margin: logit of correct − incorrect answer (nats)",
        ylabel=name,
        ylim=(len(groups) - 0.45, -0.55),
    )
    axes.set_yticks(range(len(groups)), [style.token(group, 18) for group in groups])
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            color=style.SPLITS[split][0],
            marker=style.SPLITS[split][1],
            label=_answers(prompts, baseline, split),
        )
        for split in prompts.splits
    ]
    label = f"mean, {config.confidence:.0%} interval"
    handles.append(Line2D([], [], color="black", linewidth=0.9, label=label))
    style.legend_below(figure, handles, columns=2)
    accuracy = "; ".join(f"{split}: {_accuracy(prompts, baseline, split)}" for split in prompts.splits)
    none = f" A mean over one of the {prompts.resampled} has no interval." if 1 in counts else ""
    fewest = min(counts - {1}, default=0)
    few = f" over as few as {fewest} of these.{intervals.few(fewest)}" if fewest else "."
    by = "split" if name == "split" else f"{name} and split"
    caption = (
        f"Margins of {len(prompts.ids)} prompts by {by}. A dot is a prompt, computed in float32; "
        f"right of zero the model prefers the correct answer. {accuracy}. Intervals: {config.confidence:.0%} "
        f"percentile bootstrap of the mean over {prompts.resampled}, {config.bootstrap:,} draws{few}{none}"
    )
    yield Plate("margins", "Margins by split", caption, figure)


def _answers(prompts: Prompts, baseline: Baseline, split: str) -> str:
    """How many prompts of a split are answered right, for the legend."""
    margin = baseline.margin[prompts.split == split]
    return f"{split}, {(margin > 0).mean():.0%} of {len(margin)} right"


def _accuracy(prompts: Prompts, baseline: Baseline, split: str) -> str:
    """Mean margin and accuracy of a split, for the caption."""
    margin = baseline.margin[prompts.split == split]
    return f"mean margin {printed(margin.mean())} nats, accuracy {(margin > 0).mean():.3f} of {len(margin)}"
