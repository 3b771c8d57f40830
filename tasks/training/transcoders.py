"""Phase `transcoders`: one transcoder for each layer, trained on the corpus and measured on what is held out.

One layer is in memory at a time and is committed as soon as it is trained. Layers share nothing: each draws
random numbers by the seed and its own number, so its weights do not depend on the other layers that are
trained with it. The command
`circuitstore export transcoders` writes the files that a profile names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from circuitstore.models.bits import storable, tensor_of
from circuitstore.models.finite import require_finite
from circuitstore.transcoders.formats import TENSORS
from circuitstore.transcoders.quality import reconstruction
from circuitstore.transcoders.training import Recipe, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitstore.engine.inputs import Upstream
    from circuitstore.storage.records import Coords
    from tasks.settings.training import Training

DIMS = {
    "W_enc": ("feature", "d_model"),
    "b_enc": ("feature",),
    "W_dec": ("feature", "d_model"),
    "b_dec": ("d_model",),
    "threshold": ("feature",),
    "W_skip": ("d_model_out", "d_model"),
}

DIVERGED = (
    "train at a smaller rate: --set training.rate=1e-3; "
    "a layer whose MLP inputs or outputs are all equal has no transcoder"
)


def transcoders(
    cells: list[Coords], config: Training, corpus_activations: Upstream, device: torch.device
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each layer. Weights are float32.

    W_enc, W_dec   (feature, d_model)
    b_enc          (feature,)
    b_dec          (d_model,)
    threshold      (feature,), for kind "jumprelu"
    W_skip         (d_model_out, d_model), if it is asked for
    l0, explained_variance, normalised_mse   float64, on held-out tokens
    dead           float64: share of features that are active at no token that is trained on
    duplicates     float64: share of features that read and write what an earlier one does
    top_k          int32: 0 for kind "jumprelu"
    tokens         int64: how many tokens are trained on
    n_layers       int32: of the model

    Raises NonFiniteError for weights that are not finite.
    """
    recipe = Recipe(**{name: getattr(config, name) for name in Recipe.__dataclass_fields__})
    k = config.k if config.kind == "topk" else None
    for cell in cells:
        trained_on, held_out = (
            _pairs(corpus_activations, cell, device, held_out=which) for which in (False, True)
        )
        n_layers = next(int(shard.n_layers) for _, shard in corpus_activations.each(cell))
        inputs, outputs = (x[None] for x in trained_on)
        stacked = train(inputs, outputs, recipe, config.seed, first_layer=int(cell["layer"]))
        weights = {name: weight[0] for name, weight in stacked.items()}
        for name, tensor in TENSORS.items():
            if tensor in weights:
                what = f"{name} after {config.steps} steps at rate {config.rate:g}"
                require_finite(what, weights[tensor], DIMS[name], remedy=DIVERGED)
        measured = reconstruction(weights, *held_out, k=k)
        measured["dead"] = reconstruction(weights, *trained_on, k=k)["dead"]
        variables: dict[str, Any] = {
            name: storable(weights[tensor], DIMS[name])
            for name, tensor in TENSORS.items()
            if tensor in weights
        }
        variables |= {name: ((), np.float64(value)) for name, value in measured.items()}
        variables |= {"top_k": ((), np.int32(k or 0)), "tokens": ((), np.int64(len(trained_on[0])))}
        variables |= {"n_layers": ((), np.int32(n_layers))}
        yield cell, xr.Dataset(variables)


def _pairs(
    corpus_activations: Upstream, cell: Coords, device: torch.device, *, held_out: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """MLP inputs and outputs (sample, d_model) of a layer, of shards that are held out or of the others."""
    shards = (shard for _, shard in corpus_activations.each(cell) if bool(shard.held_out) == held_out)
    pairs = [[tensor_of(x.values, x.attrs) for x in (shard.mlp_input, shard.mlp_output)] for shard in shards]
    inputs, outputs = (torch.cat(parts).to(device) for parts in zip(*pairs, strict=True))
    return inputs, outputs
