"""Phase `activations`: what flows through the model at the chosen layers and positions.

A prompt is run alone, so that its numbers do not depend, to the last bit, on which others are computed with
it.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
import xarray as xr

from circuitstore.models.bits import storable
from circuitstore.models.capture import capture


def activations(cells, config, prompts, model):
    """Yield one dataset a prompt and layer; `position` counts the last `config.positions` tokens (all when
    0).

    residual: the residual stream entering the layer; mlp_input: the normalised input of its MLP, which
    transcoders read; mlp_output: what its MLP adds: each (position, d_model), in the model's dtype (bfloat16
    as its 16 bits). n_tokens: int32, the prompt's length, so that row i is token n_tokens - positions + i.
    """
    for _, group in groupby(cells, key=lambda cell: cell["prompt"]):
        same_prompt = list(group)
        tokens = prompts.one(same_prompt[0]).tokens.values.tolist()
        captured = capture(model, tokens, last_only=True)
        last = slice(-config.positions if config.positions else None, None)
        for cell in same_prompt:
            layer = cell["layer"]
            yield (
                cell,
                xr.Dataset(
                    {
                        "residual": storable(captured.residual[layer, last], ("position", "d_model")),
                        "mlp_input": storable(captured.mlp_input[layer, last], ("position", "d_model")),
                        "mlp_output": storable(captured.mlp_output[layer, last], ("position", "d_model")),
                        "n_tokens": ((), np.int32(len(tokens))),
                    }
                ),
            )
