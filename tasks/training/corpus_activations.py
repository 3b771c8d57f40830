"""Phase `corpus_activations`: what every MLP reads and writes on the corpus.

A shard is run once for all layers, its sequences of equal length side by side. The numbers of a shard depend
on no other shard.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from circuitstore.errors import LimitError
from circuitstore.models.bits import storable
from circuitstore.models.finite import require_finite
from circuitstore.models.load import DTYPES
from circuitstore.transcoders.training import mlp_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from tasks.settings.training import CorpusActivations


def corpus_activations(
    cells: list[Coords], config: CorpusActivations, corpus: Upstream, model: LanguageModel
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each shard and layer.

    There are cells for the layers in `config.layers`. Axis `sample` runs over all positions but the first of
    each sequence; their order means nothing.

        mlp_input, mlp_output   (sample, d_model) in `config.dtype` (bfloat16 as its 16 bits)
        held_out                bool
        n_layers                int32: of the model

    Raises LimitError for numbers that float16 cannot hold, and NonFiniteError for NaN, and for infinity in
    another dtype.
    """
    for _, group in groupby(cells, key=lambda cell: cell["shard"]):
        same_shard = list(group)
        shard = corpus.one(same_shard[0])
        tokens, pointer = shard.tokens.values.tolist(), shard.pointer.values.tolist()
        sequences = [tokens[start:stop] for start, stop in pairwise(pointer)]
        inputs, outputs = mlp_pairs(model.hf, sequences, dtype=DTYPES[config.dtype])
        for cell in same_shard:
            layer = int(cell["layer"])
            pair = {"mlp_input": inputs[layer], "mlp_output": outputs[layer]}
            for name, values in pair.items():
                if config.dtype != "float16" or values.isnan().any():  # which are not too large, but wrong
                    require_finite(name, values, ("sample", "dimension"), layer=layer)
            if not all(bool(x.isfinite().all()) for x in pair.values()):
                raise LimitError(
                    f"MLP activations of layer {layer}",
                    expected=f"numbers that {config.dtype} can hold",
                    got="larger ones",
                    remedy="--set corpus_activations.dtype=bfloat16",
                )
            variables: dict[str, Any] = {name: storable(x, ("sample", "d_model")) for name, x in pair.items()}
            variables |= {
                "held_out": ((), np.bool_(shard.held_out)),
                "n_layers": ((), np.int32(len(inputs))),
            }
            yield cell, xr.Dataset(variables, attrs={"structure": "tree"})
