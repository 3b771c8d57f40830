"""How sparse the features are, and how well they reconstruct each MLP: by layer, and by position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tasks.drawing import style
from tasks.drawing.numerals import printed
from tasks.drawing.plate import Plate
from tasks.drawing.tables_features import Features
from tasks.drawing.tables_prompts import Baseline, Prompts, examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.image import AxesImage

    from tasks.settings.phases import Figures


LEAST = 1e-4  # the smallest error on logarithmic scales


def by_layer(look: style.Look, config: Figures, features: Features) -> Iterator[Plate]:
    """L0, and explained variance with normalised mean squared error, by layer, if they are known."""
    if not features.reconstructed:
        return
    figure, (sparsity, quality) = look.axes(style.PAGE, 5.6, columns=2)
    layers = features.layers
    low, middle, high = np.quantile(features.l0, [0.25, 0.5, 0.75], axis=1)
    sparsity.fill_between(layers, low, high, color=style.BLUE, alpha=0.25, linewidth=0)
    sparsity.plot(layers, middle, "o-", color=style.BLUE)
    sparsity.set(xlabel="layer", ylabel="active features a position (L0)", ylim=(0, None))
    nmse = features.normalised_mse
    quality.plot(layers, features.explained, "s-", color=style.GREEN)
    quality.set(
        xlabel="layer",
        ylabel="explained variance",
        ylim=(min(0.0, 1.05 * features.explained.min()), 1.03),
    )
    error = quality.twinx()
    error.plot(layers, np.maximum(nmse, LEAST), "^-", color=style.VERMILION)
    error.set(
        ylabel="normalised MSE", yscale="log", ylim=(0.7 * max(nmse.min(), LEAST), 1.4 * nmse.max() + LEAST)
    )
    style.plain_ticks(error.yaxis, [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5])
    error.spines["right"].set_visible(True)
    error.tick_params(axis="x", bottom=False, labelbottom=False)
    for axes in (sparsity, quality):
        integer_ticks(axes, layers)
    handles = [
        Line2D([], [], color=style.BLUE, marker="o", label="a: median and quartiles of prompts"),
        Line2D([], [], color=style.GREEN, marker="s", label="b, left: explained variance"),
        Line2D([], [], color=style.VERMILION, marker="^", label="b, right: normalised MSE"),
    ]
    style.legend_below(figure, handles)
    caption = (
        f"Transcoder features of layers {layers[0]} to {layers[-1]} on {len(features.order)} prompts, the "
        "prepended token left out. (a) Active features a position, mean over layers "
        f"{features.l0.mean():.1f}. (b) Explained variance 1 − Σ|error|²/Σ|output − mean|², mean "
        f"{features.explained.mean():.3f}; normalised mean squared error Σ|error|²/Σ|output|², mean "
        f"{nmse.mean():.3f}."
    )
    yield Plate("reconstruction", "Sparsity and reconstruction by layer", caption, figure)


def by_position(
    look: style.Look, config: Figures, prompts: Prompts, baseline: Baseline, features: Features
) -> Iterator[Plate]:
    """Active features and reconstruction error at each layer and position of the first example prompt."""
    (name,) = examples(prompts, baseline, 1)
    counts = np.array([features.l0_at[layer, name] for layer in features.layers], dtype=float)
    errors = np.array([features.error_at[layer, name] for layer in features.layers])
    if not counts.size or not features.reconstructed:
        return
    i = prompts.ids.index(name)
    tokens = prompts.tokens[i][-counts.shape[1] :]
    figure, panels = look.axes(style.PAGE, 2.9 + 0.42 * min(len(features.layers), 20), columns=2, sharey=True)
    kinds = (
        (counts, "active features (L0)", look.sequential),
        (errors, "normalised squared error (log)", "cividis"),
    )
    for axes, (values, label, colours) in zip(panels, kinds, strict=True):
        scale = {"vmin": 0} if values is counts else {"norm": LogNorm(*_ends(errors))}
        shown = values if values is counts else np.maximum(errors, LEAST)
        image = axes.imshow(shown, origin="lower", aspect="auto", cmap=colours, **scale)
        axes.set_xticks(range(len(tokens)), [style.token(token) for token in tokens], rotation=90)
        axes.set_xlabel("token")
        colour_bar(figure, axes, image, label)
    panels[0].set_ylabel("layer")
    step = max(1, len(features.layers) // 12)
    panels[0].set_yticks(
        range(0, len(features.layers), step), [str(layer) for layer in features.layers[::step]]
    )
    low = f"; what is less than {LEAST:g} is drawn as that" if errors.min() < LEAST else ""
    caption = (
        f"Layer by position for prompt {name}, “{prompts.text[i]}” (margin {printed(baseline.margin[i])} "
        "nats): "
        "(a) features active, (b) squared reconstruction error as a share of the squared MLP output, where 1 "
        f"is as bad as predicting zero{low}. The prepended token has no features."
    )
    yield Plate("positions", "Features by layer and position", caption, figure)


def _ends(errors: np.ndarray) -> tuple[float, float]:
    """The ends of a logarithmic scale of errors."""
    low, high = max(float(errors.min()), LEAST), max(float(errors.max()), LEAST)
    return low, max(high, 2 * low)


def integer_ticks(axes: Axes, values: list[int], most: int = 12) -> None:
    """Ticks at whole layers, at most `most` of them."""
    axes.set_xticks(values[:: max(1, -(-len(values) // most))])


def colour_bar(figure: Figure, axes: Axes, image: AxesImage, label: str) -> None:
    """A colour scale beside a panel, with its unit."""
    bar = figure.colorbar(image, ax=axes, shrink=0.95, pad=0.02)
    bar.set_label(label)
    if isinstance(image.norm, LogNorm):
        ticks, names = style.powers(*image.get_clim())
        bar.set_ticks(ticks, labels=names)
        bar.minorticks_off()
    bar.outline.set_linewidth(0.4)
