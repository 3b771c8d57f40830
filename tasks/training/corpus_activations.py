"""Phase `corpus_activations`: what every MLP reads and writes on the corpus, for transcoders to be trained
on. Built only when asked for.

A shard is run once for all layers, its sequences of equal length side by side; a shard's numbers depend on no
other shard.
"""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
import xarray as xr

from circuitstore.errors import LimitError
from circuitstore.models.bits import storable
from circuitstore.models.load import DTYPES
from circuitstore.transcoders.training import mlp_pairs


def corpus_activations(cells, config, corpus, model):
    """Yield one dataset a shard and layer; `sample` are all positions but the first of each sequence, in no
    order that matters.

    mlp_input, mlp_output: (sample, d_model) in `config.dtype` (bfloat16 as its 16 bits); held_out: bool.
    Raises LimitError for what that dtype cannot hold.
    """
    for _, group in groupby(cells, key=lambda cell: cell["shard"]):
        same_shard = list(group)
        shard = corpus.one(same_shard[0])
        tokens, pointer = shard.tokens.values.tolist(), shard.pointer.values.tolist()
        sequences = [tokens[start:stop] for start, stop in pairwise(pointer)]
        inputs, outputs = mlp_pairs(model.hf, sequences, dtype=DTYPES[config.dtype])
        for cell in same_shard:
            pair = {"mlp_input": inputs[cell["layer"]], "mlp_output": outputs[cell["layer"]]}
            if not all(bool(x.isfinite().all()) for x in pair.values()):
                remedy = "--set corpus_activations.dtype=bfloat16"
                raise LimitError(
                    "MLP activations",
                    expected=f"numbers that {config.dtype} can hold",
                    got="larger ones",
                    remedy=remedy,
                )
            variables = {name: storable(x, ("sample", "d_model")) for name, x in pair.items()}
            yield (
                cell,
                xr.Dataset(
                    {**variables, "held_out": ((), np.bool_(shard.held_out))}, attrs={"structure": "tree"}
                ),
            )
