"""Phase `activations`: what flows through the model at the chosen layers and positions.

A prompt is run alone, so that its numbers do not depend, to the last bit, on the other prompts of a batch.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from circuitstore.models.bits import storable
from circuitstore.models.capture import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.hooks import Hooks
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from tasks.settings.phases import Activations


def activations(
    cells: list[Coords], config: Activations, prompts: Upstream, model: LanguageModel, hooks: Hooks
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each prompt and layer.

    Axis `position` counts the last `config.positions` tokens, or all tokens if that is 0. Activations have
    the dtype of the model; bfloat16 is stored as its 16 bits.

        residual     (position, d_model)  the residual stream that enters the layer
        mlp_input    (position, d_model)  what transcoders read: by default the normalised input of its MLP
        mlp_output   (position, d_model)  what transcoders predict: by default the output of its MLP
        n_tokens     int32                the length of the prompt: row i is token n_tokens - position + i

    `hooks` say where the profile's transcoders read and write (`circuitstore.models.hooks`).
    """
    for _, group in groupby(cells, key=lambda cell: cell["prompt"]):
        same_prompt = list(group)
        tokens = prompts.one(same_prompt[0]).tokens.values.tolist()
        captured = capture(model, tokens, last_only=True, hooks=hooks)
        last = slice(-config.positions if config.positions else None, None)
        dims = ("position", "d_model")
        for cell in same_prompt:
            layer = int(cell["layer"])
            yield (
                cell,
                xr.Dataset(
                    {
                        "residual": storable(captured.residual[layer, last], dims),
                        "mlp_input": storable(captured.mlp_input[layer, last], dims),
                        "mlp_output": storable(captured.mlp_output[layer, last], dims),
                        "n_tokens": ((), np.int32(len(tokens))),
                    }
                ),
            )
