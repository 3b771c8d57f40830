"""What the features of the circuit go with: activations over prompts, and associations with categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tasks.drawing import style
from tasks.drawing.labels import printed
from tasks.drawing.lettering import fit
from tasks.drawing.plate import Plate
from tasks.drawing.reconstruction import colour_bar
from tasks.drawing.tables_features import Features, Interpretation
from tasks.drawing.tables_graphs import Circuit
from tasks.drawing.tables_prompts import Prompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.settings.phases import Figures

MOST_PROMPTS, MOST_CATEGORIES = 100, 16
SIGNIFICANT = 0.05


def heatmap(
    look: style.Look,
    config: Figures,
    prompts: Prompts,
    features: Features,
    circuit: Circuit,
    interpretation: Interpretation,
) -> Iterator[Plate]:
    """Feature by prompt: the largest activation there, as a share of the largest of the feature."""
    chosen = circuit.top_features(config.heatmap_features)
    if not chosen:
        return
    name, values = prompts.contrast()
    order = sorted(
        range(len(prompts.ids)), key=lambda i: (prompts.split[i] != "train", values[i], prompts.ids[i])
    )[:MOST_PROMPTS]
    column = {prompt: i for i, prompt in enumerate(features.order)}
    columns = [column[prompts.ids[i]] for i in order]
    peaks = np.array([features.peak(layer, feature)[columns] for layer, feature in chosen])
    largest = np.maximum(peaks.max(1, keepdims=True), 1e-30)
    figure, (axes,) = look.axes(style.PAGE, 2.6 + 0.36 * len(chosen))
    image = axes.imshow(
        peaks / largest, aspect="auto", cmap=look.sequential, vmin=0, vmax=1, interpolation="nearest"
    )
    axes.set_yticks(range(len(chosen)), row_names(chosen, interpretation))
    splits = _blocks([prompts.split[i] for i in order])
    blocks = splits if name == "split" else _blocks([f"{prompts.split[i]}\0{values[i]}" for i in order])
    for _, start, _ in blocks[1:]:
        axes.axvline(start - 0.5, color="white", linewidth=1.0)
    points = 0.6 * style.PAGE * style.CM * 72 / len(order)  # of a prompt: the names of rows take the rest
    # Every other label stands a line lower, so that it may be as wide as two blocks.
    under = [
        "\n" * (k % 2) + fit(label.split("\0")[-1], 1.9 * (end - start) * points, 0.9 * look.size)
        for k, (label, start, end) in enumerate(blocks)
    ]
    axes.set_xticks([(start + end - 1) / 2 for _, start, end in blocks], under)
    if name != "split":  # the splits stand below the blocks that they are made of
        axes.set_xticks(
            [(start + end - 1) / 2 for _, start, end in splits],
            [f"\n\n{label}" for label, _, _ in splits],
            minor=True,
        )
    axes.tick_params(axis="x", which="both", length=0, pad=2.5)
    sorted_by = "split" if name == "split" else f"split and {name}"
    axes.set_xlabel(f"{len(order)} prompts, by {sorted_by}")
    colour_bar(figure, axes, image, "activation / its largest")
    caption = (
        f"The {len(chosen)} features of largest mean contribution to the margin in size, on train prompts "
        f"(rows: label, layer, index) over {len(order)} prompts (columns, by {sorted_by}): the largest "
        "activation over kept positions, as a share of the feature's largest. White lines part the groups."
    )
    yield Plate("activity", "Activations of the circuit's features", caption, figure)


def associations(
    look: style.Look, config: Figures, circuit: Circuit, interpretation: Interpretation
) -> Iterator[Plate]:
    """Feature by category: the rank-biserial effect, with a dot where it is significant."""
    top = circuit.top_features(config.heatmap_features)
    chosen = [feature for feature in top if feature in interpretation.unit]
    data, rows = interpretation.data, [interpretation.unit[feature] for feature in chosen]
    effects, q = data.effect.values[rows], data.q.values[rows]
    first = data.category_same.values == np.arange(data.sizes["category"])  # a column for the same prompts
    tested = np.flatnonzero((q <= SIGNIFICANT).any(0) & first)
    if not tested.size:
        return
    strength = np.nanmax(np.abs(effects[:, tested]), axis=0)
    named = dict(sorted((int(data.category_same[i]), i) for i in interpretation.first_categories(chosen)))
    best = [i for i in tested[np.argsort(-strength, kind="stable")].tolist() if i not in named]
    columns = sorted([*named.values(), *best[: max(MOST_CATEGORIES - len(named), 0)]])
    figure, (axes,) = look.axes(style.PAGE, 4.4 + 0.36 * len(chosen))
    axes.set_facecolor(style.PALE)
    image = axes.imshow(
        effects[:, columns], aspect="auto", cmap=look.diverging, vmin=-1, vmax=1, interpolation="nearest"
    )
    y, x = np.nonzero(q[:, columns] <= SIGNIFICANT)
    dark = np.abs(effects[:, columns][y, x]) > 0.6
    for colour, some in (("black", ~dark), ("white", dark)):
        axes.plot(x[some], y[some], "o", color=colour, markersize=1.6 * look.scale, markeredgewidth=0)
    axes.set_yticks(range(len(chosen)), row_names(chosen, interpretation))
    names = [style.cut(printed(str(data.category.values[i])), 26) for i in columns]
    axes.set_xticks(range(len(columns)), names, rotation=40, ha="right", rotation_mode="anchor")
    colour_bar(figure, axes, image, "rank-biserial r")
    caption = (
        f"The {len(chosen)} features of largest mean contribution to the margin (rows) and the "
        "categories that label them or that they tell apart best and significantly (columns, "
        f"{len(columns)}): rank-biserial effect, 1 where the feature is always more active inside the "
        f"category. A dot: q ≤ {SIGNIFICANT} "
        f"(Mann–Whitney, Benjamini–Hochberg over all {int(np.isfinite(data.p.values).sum()):,} tests of the "
        "behaviour, observations treated as independent; all prompts, train and test). Grey: active in too "
        "few prompts to test. Of categories that hold the same observations "
        "one is shown."
    )
    yield Plate("associations", "What the circuit's features go with", caption, figure)


def row_names(chosen: list[tuple[int, int]], interpretation: Interpretation) -> list[str]:
    """Label, layer and index of features (layer, feature), as they stand beside the rows of a heatmap."""
    return [
        f"{style.cut(interpretation.printed(layer, feature), 30)}  L{layer} #{feature}".strip()
        for layer, feature in chosen
    ]


def _blocks(names: list[str]) -> list[tuple[str, int, int]]:
    """Name, start and end of every run of equal names."""
    starts = [i for i in range(len(names)) if i == 0 or names[i] != names[i - 1]]
    return [(names[start], start, end) for start, end in zip(starts, [*starts[1:], len(names)], strict=True)]
