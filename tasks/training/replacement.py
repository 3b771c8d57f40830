"""Phase `replacement`: whether the model still says the same when transcoders stand in for its MLPs. Built
only when asked for.

Measured on held-out sequences of the corpus, the prepended token left as it is: once for each layer alone,
once for all together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import xarray as xr

from circuitstore.models.bits import tensor_of
from circuitstore.transcoders.formats import TENSORS
from circuitstore.transcoders.quality import agreement, divergence, log_probabilities, replaced
from circuitstore.transcoders.training import Weights

MEASURES = ("l0", "explained_variance", "normalised_mse", "dead")


def replacement(cells, config, corpus, transcoders, model):
    """Yield one dataset.

    agreement, kl: (layer,) float64, share of tokens with the same likeliest next token and mean KL(model ‖
    replacement) in nats, each layer replaced alone; agreement_all, kl_all: all layers replaced; tokens:
    int64, compared on; l0, explained_variance, normalised_mse, dead: (layer,) float64, those of phase
    `transcoders`.
    """
    (cell,) = cells
    layers = _Layers(transcoders, cell, model.device)
    sequences = list(_held_out(corpus, cell, config.tokens))
    of_model = log_probabilities(model.hf, sequences)

    def compared(which: Mapping[int, Weights]) -> tuple[float, float]:
        with replaced(model.hf, which, layers.top_k):
            of_other = log_probabilities(model.hf, sequences)
        return agreement(of_model, of_other).double().mean().item(), divergence(
            of_model, of_other
        ).double().mean().item()

    alone = [compared({layer: layers[layer]}) for layer in layers]
    together = compared(layers)
    variables = {name: ("layer", np.array(layers.measured[name])) for name in MEASURES}
    variables |= {
        name: ("layer", np.array(values))
        for name, values in zip(("agreement", "kl"), zip(*alone, strict=True), strict=True)
    }
    totals = {
        "agreement_all": np.float64(together[0]),
        "kl_all": np.float64(together[1]),
        "tokens": np.int64(len(of_model)),
    }
    yield cell, xr.Dataset({**variables, **{name: ((), value) for name, value in totals.items()}})


def summary(cells, config):
    """Per layer and over all layers, what was measured."""
    ((_, measured),) = cells
    names = (*MEASURES, "agreement", "kl")
    layers = {
        str(layer): {name: float(measured[name][layer]) for name in names}
        for layer in range(measured.sizes["layer"])
    }
    together = {
        "agreement": float(measured.agreement_all),
        "kl": float(measured.kl_all),
        "tokens": int(measured.tokens),
    }
    return {"layers": layers, "all": together}


class _Layers(Mapping):
    """Layer → its weights, read when asked for, so that no more than one need be in memory."""

    def __init__(self, transcoders, cell, device):
        self.transcoders, self.cell, self.device = transcoders, cell, device
        self.measured: dict[str, list[float]] = {name: [] for name in MEASURES}
        for _, layer in transcoders.each(cell):
            self.top_k = int(layer.top_k) or None
            for name in MEASURES:
                self.measured[name].append(float(layer[name]))

    def __getitem__(self, index: int) -> Weights:
        found = self.transcoders.pick(self.cell, layer=index)
        present = {name: file for name, file in TENSORS.items() if name in found}
        return {
            file: tensor_of(found[name].values, found[name].attrs).to(self.device)
            for name, file in present.items()
        }

    def __len__(self) -> int:
        return len(self.measured["l0"])

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))


def _held_out(corpus, cell, most: int) -> Iterator[list[int]]:
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
