"""Phase `transcoders`: one transcoder a layer, trained on the corpus and measured on what is held out. Built
only when asked for.

One layer is in memory at a time, and is committed as soon as it is trained. Layers share nothing: each begins
with the same seed, so its weights do not depend on which others are trained with it. `circuitstore export
transcoders` writes the files that a profile names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr

from circuitstore.models.bits import storable, tensor_of
from circuitstore.transcoders.formats import TENSORS
from circuitstore.transcoders.quality import reconstruction
from circuitstore.transcoders.training import Recipe, train

DIMS = {
    "W_enc": ("feature", "d_model"),
    "b_enc": ("feature",),
    "W_dec": ("feature", "d_model"),
    "b_dec": ("d_model",),
    "threshold": ("feature",),
    "W_skip": ("d_model_out", "d_model"),
}


def transcoders(cells, config, corpus_activations, device):
    """Yield one dataset a layer.

    W_enc, W_dec (feature, d_model), b_enc (feature,), b_dec (d_model,), threshold (feature,) of kind
    "jumprelu", W_skip (d_model_out, d_model) when asked for: float32. l0, explained_variance, normalised_mse:
    float64, on held-out tokens; dead: share of features that are active at no token trained on; top_k: int32,
    0 for "jumprelu"; tokens: int64, trained on.
    """
    recipe = Recipe(**{name: getattr(config, name) for name in Recipe.__dataclass_fields__})
    k = config.k if config.kind == "topk" else None
    for cell in cells:
        trained_on, held_out = (
            _pairs(corpus_activations, cell, device, held_out=which) for which in (False, True)
        )
        stacked = train(trained_on[0][None], trained_on[1][None], recipe, config.seed)
        weights = {name: weight[0] for name, weight in stacked.items()}
        measured = reconstruction(weights, *held_out, k=k)
        measured["dead"] = reconstruction(weights, *trained_on, k=k)["dead"]
        variables: dict[str, Any] = {
            name: storable(weights[file], DIMS[name]) for name, file in TENSORS.items() if file in weights
        }
        variables |= {name: ((), np.float64(value)) for name, value in measured.items()}
        variables |= {"top_k": ((), np.int32(k or 0)), "tokens": ((), np.int64(len(trained_on[0])))}
        yield cell, xr.Dataset(variables)


def _pairs(corpus_activations, cell, device, *, held_out: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """MLP inputs and outputs (sample, d_model) of a layer, of the shards that are held out or of the others."""
    shards = (shard for _, shard in corpus_activations.each(cell) if bool(shard.held_out) == held_out)
    pairs = [[tensor_of(x.values, x.attrs) for x in (shard.mlp_input, shard.mlp_output)] for shard in shards]
    inputs, outputs = (torch.cat(parts).to(device) for parts in zip(*pairs, strict=True))
    return inputs, outputs
