"""Phase `audit`: how good the transcoders are on texts, and what half precision does to edges.

Built only when asked for. The layers are those in use (`activations.layers`).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from circuitstore.circuits.fit import better_hooks, hook_fit, layer_fits, replacement
from circuitstore.circuits.precision import edge_ratios
from circuitstore.errors import InputError
from circuitstore.models.load import tokenize
from circuitstore.texts import text_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Audit

MEASURES = ("explained_variance", "normalised_mse", "l0", "dead")
SIZES = (0.1, 0.01, 1e-3, 1e-4, 0.0)  # the lower end of each class of edges, as shares of the largest
QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99)


def audit(
    cells: list[Coords],
    config: Audit,
    texts: tuple[list[str], str],
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset. Position 0 of each text is the prepended token, which nothing is measured at.

    layer                    (layer,) int32: the layers in use
    explained_variance, normalised_mse, l0, dead   (layer,) float64 (`circuitstore.circuits.fit`)
    text_count, token_count  int64: what was measured on
    agreement, divergence    float64: of the replacement model, all layers replaced; divergence in nats
    hook                     (hook,) text: "reads → writes", the stated pair first
    hook_explained_variance  (hook, layer) float64: the same prompts for each pair
    hook_warning             text: a line if another pair fits far better than the stated one, else ""
    edge_size                (size,) float64: the least size of the edges of a class in float32, as a share of
                             the largest edge into the same target; a class ends where the one before begins
    edge_count               (size,) int64
    edge_ratio               (size, quantile) float64: quantiles of (edge in bfloat16) / (edge in float32)
    sign_changed             (size,) float64: share of edges with another sign in bfloat16
    shared_nodes             (graph,) float64: share of feature nodes that both graphs of a text have
    """
    lines, prepend = texts
    prompts = list(_tokens(lines, prepend, model, config))
    if not prompts:
        raise InputError("texts", expected="at least one text with a token", got="none")
    fits = layer_fits(model, transcoders, prompts)
    same, away = replacement(model, transcoders, prompts)
    hooks = hook_fit(model, transcoders, prompts[: config.hook_texts])
    result = xr.Dataset(
        {
            "layer": ("layer", np.array(list(fits), dtype=np.int32)),
            **{name: ("layer", np.array([getattr(fit, name) for fit in fits.values()])) for name in MEASURES},
            "text_count": ((), np.int64(len(prompts))),
            "token_count": ((), np.int64(sum(map(len, prompts)) - len(prompts))),
            "agreement": ((), np.float64(same.double().mean())),
            "divergence": ((), np.float64(away.double().mean()), {"units": "nats"}),
            "hook": ("hook", text_array([f"{pair.reads} → {pair.writes}" for pair in hooks])),
            "hook_explained_variance": (
                ("hook", "layer"),
                np.array([list(by_layer.values()) for by_layer in hooks.values()]),
            ),
            "hook_warning": ((), text_array(better_hooks(hooks))),
            **_precision(model, transcoders, prompts[: config.graphs], config.nodes),
        }
    )
    for cell in cells:
        yield cell, result


def _tokens(lines: list[str], prepend: str, model: LanguageModel, config: Audit) -> Iterator[list[int]]:
    """The first texts as tokens, until they have as many as are wanted."""
    room = config.tokens
    for line in lines:
        most = min(config.context, model.max_positions, room)
        tokens = list(islice(tokenize(model.tokenizer, line, prepend=prepend), max(most, 0)))
        if len(tokens) > 1:
            room -= len(tokens)
            yield tokens


def _precision(
    model: LanguageModel, transcoders: Transcoders, prompts: list[list[int]], nodes: int
) -> dict[str, Any]:
    """The variables of edges in half precision, over all graphs."""
    graphs = list(edge_ratios(model, transcoders, prompts, nodes)) if prompts else []
    none = np.empty(0)
    size = np.concatenate([none, *(graph.size for graph in graphs)])
    ratio = np.concatenate([none, *(graph.ratio for graph in graphs)])
    classes = np.searchsorted(-np.array(SIZES), -size, side="left")
    by_class = [ratio[classes == number] for number in range(len(SIZES))]
    quantiles = [
        np.quantile(some, QUANTILES) if len(some) else [np.nan] * len(QUANTILES) for some in by_class
    ]
    changed = [float((some < 0).mean()) if len(some) else np.nan for some in by_class]
    return {
        "edge_size": ("size", np.array(SIZES)),
        "edge_count": ("size", np.array([len(some) for some in by_class], dtype=np.int64)),
        "quantile": ("quantile", np.array(QUANTILES)),
        "edge_ratio": (("size", "quantile"), np.array(quantiles)),
        "sign_changed": ("size", np.array(changed)),
        "shared_nodes": ("graph", np.array([graph.shared for graph in graphs])),
    }
