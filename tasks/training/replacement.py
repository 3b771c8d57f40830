"""Phase `replacement`: whether the model still says the same when transcoders stand in for its MLPs.

It is measured on held-out sequences of the corpus; the prepended token is left as it is. Each layer is
replaced alone, then all layers together that have a transcoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from circuitstore.models.bits import tensor_of
from circuitstore.transcoders.formats import TENSORS
from circuitstore.transcoders.quality import agreement, divergence, log_probabilities, replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.training import Weights
    from tasks.settings.training import Replacement

MEASURES = ("l0", "explained_variance", "normalised_mse", "dead", "duplicates")


def replacement(
    cells: list[Coords],
    config: Replacement,
    corpus: Upstream,
    transcoders: Upstream,
    model: LanguageModel,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset. The comparison is between the model and the model with replaced MLPs.

    agreement            (layer,) float64: share of tokens with the same likeliest next token, this layer
                         replaced alone
    kl                   (layer,) float64, nats: mean KL(model ‖ replacement), this layer replaced alone
    agreement_all, kl_all   float64: the same with all these layers replaced
    layer                (layer,) int32: the layers that have a transcoder
    tokens               int64: how many tokens are compared
    l0, explained_variance, normalised_mse, dead, duplicates   (layer,) float64, from phase `transcoders`

    Raises NonFiniteError for logits that are not finite, and names the layer that was replaced.
    """
    (cell,) = cells
    layers = _Layers(transcoders, cell, model.device)
    numbers = np.array(list(layers), dtype=np.int32)
    sequences = list(_held_out(corpus, cell, config.tokens))
    of_model = log_probabilities(model.hf, sequences)

    def compared(weights: Mapping[int, Weights], where: str) -> tuple[float, float]:
        with replaced(model.hf, weights, layers.top_k):
            of_other = log_probabilities(model.hf, sequences, f"the model with transcoders in {where}")
        same = agreement(of_model, of_other).double().mean().item()
        return same, divergence(of_model, of_other).double().mean().item()

    alone = [compared({layer: layers[layer]}, f"layer {layer}") for layer in layers]
    together = compared(layers, "all layers")
    by_layer = {name: layers.measured[name] for name in MEASURES}
    by_layer |= dict(zip(("agreement", "kl"), map(list, zip(*alone, strict=True)), strict=True))
    totals = {
        "agreement_all": np.float64(together[0]),
        "kl_all": np.float64(together[1]),
        "tokens": np.int64(len(of_model)),
    }
    yield (
        cell,
        xr.Dataset(
            {
                **{name: ("layer", np.array(values)) for name, values in by_layer.items()},
                **{name: ((), value) for name, value in totals.items()},
            },
            {"layer": numbers},
        ),
    )


def summary(cells: Iterable[tuple[Coords, xr.Dataset]], config: Replacement) -> dict[str, object]:
    """What was measured, for each layer and with all layers replaced."""
    ((_, measured),) = cells
    names = (*MEASURES, "agreement", "kl")
    layers = {
        str(int(layer)): {name: float(measured[name][row]) for name in names}
        for row, layer in enumerate(measured.layer.values)
    }
    together = {
        "agreement": float(measured.agreement_all),
        "kl": float(measured.kl_all),
        "tokens": int(measured.tokens),
    }
    return {"layers": layers, "all": together}


class _Layers(Mapping[int, "Weights"]):
    """Layer → its weights. They are read when asked for, so that only one layer need be in memory."""

    def __init__(self, transcoders: Upstream, cell: Coords, device: torch.device):
        self.transcoders, self.cell, self.device = transcoders, cell, device
        self.measured: dict[str, list[float]] = {name: [] for name in MEASURES}
        self.numbers: list[int] = []
        for coords, layer in transcoders.each(cell):
            self.numbers.append(int(coords["layer"]))
            self.top_k = int(layer.top_k) or None
            for name in MEASURES:
                self.measured[name].append(float(layer[name]))

    def __getitem__(self, index: int) -> Weights:
        stored = self.transcoders.pick(self.cell, layer=index)
        present = {name: tensor for name, tensor in TENSORS.items() if name in stored}
        return {
            tensor: tensor_of(stored[name].values, stored[name].attrs).to(self.device)
            for name, tensor in present.items()
        }

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)


def _held_out(corpus: Upstream, cell: Coords, most: int) -> Iterator[list[int]]:
    """Held-out sequences, until they have `most` tokens."""
    count = 0
    for _, shard in corpus.each(cell):
        if not shard.held_out:
            return
        tokens, pointer = shard.tokens.values.tolist(), shard.pointer.values.tolist()
        for start, stop in pairwise(pointer):
            if count >= most:
                return
            count += stop - start
            yield tokens[start:stop]
