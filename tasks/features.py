"""Phase `features`: the transcoder features that are active, kept sparse, and how well they reconstruct each
MLP.

Each layer's encoder is read once for all prompts of a batch, and each prompt is multiplied by itself, so that
its numbers do not depend on the others. The prepended token has no features: its activations are those of an
attention sink, not of a prompt.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
import torch
import xarray as xr

from circuitstore.models.bits import tensor_of
from circuitstore.transcoders.reconstruction import (
    explained_variance,
    normalised_mse,
    variance_about_mean,
)


def features(cells, config, activations, transcoders):
    """Yield one dataset a layer and prompt; `position` are the kept positions of `activations`.

    activation: sparse (position, feature) as activation.pointer (row,) int64, activation.feature (entry,)
    int32 ascending within a row, activation.value (entry,) float32, of `feature_count` features; l0:
    (position,) int32 active features; error_square, output_square: (position,) float32, squared norms of
    reconstruction error and MLP output; output_sum: (d_model,) float64, the MLP outputs summed over positions
    (these three give explained variance over any set of prompts); n_tokens: int32. Values at the prepended
    token are zero and left out of every sum.
    """
    for layer, group in groupby(cells, key=lambda cell: cell["layer"]):
        same_layer = list(group)
        transcoder = transcoders.layer(layer)
        read = [activations.one(cell) for cell in same_layer]
        skipped = [
            int(upstream.sizes["position"] == int(upstream.n_tokens)) for upstream in read
        ]  # 1 where token 0 is kept
        inputs = [_tensor(upstream.mlp_input)[first:] for upstream, first in zip(read, skipped, strict=True)]
        for cell, upstream, first, x, rows in zip(
            same_layer, read, skipped, inputs, transcoder.active(inputs), strict=True
        ):
            output = _tensor(upstream.mlp_output)[first:].float()
            error = output - transcoder.reconstruct(rows, x).cpu()
            blank = np.zeros(first, dtype=np.int64)
            yield (
                cell,
                xr.Dataset(
                    {
                        "activation.pointer": ("row", np.concatenate([blank, rows.pointer])),
                        "activation.feature": ("entry", rows.feature),
                        "activation.value": ("entry", rows.value),
                        "l0": ("position", np.concatenate([blank, np.diff(rows.pointer)]).astype(np.int32)),
                        "error_square": ("position", _squares(error, first)),
                        "output_square": ("position", _squares(output, first)),
                        "output_sum": ("d_model", output.double().sum(0).numpy()),
                        "feature_count": ((), np.int32(transcoder.n_features)),
                        "n_tokens": ((), np.int32(int(upstream.n_tokens))),
                    }
                ),
            )


def summary(cells, config):
    """Per layer: mean L0, explained variance and normalised MSE, over all kept positions of all prompts.

    Explained variance is 1 - Σ|error|² / Σ|output - mean output|²; normalised MSE is Σ|error|² / Σ|output|²
    (*Circuit Tracing*, 2025, evaluates the latter).
    """
    layers = {}
    for layer, group in groupby(cells, key=lambda pair: pair[0]["layer"]):
        datasets = [cell for _, cell in group]
        count = sum(
            cell.sizes["position"] - int(cell.sizes["position"] == int(cell.n_tokens)) for cell in datasets
        )
        error, square = (
            sum(float(cell[name].sum(dtype=np.float64)) for cell in datasets)
            for name in ("error_square", "output_square")
        )
        total = sum(cell.output_sum.values for cell in datasets)
        variance = variance_about_mean(square, total, count)
        layers[str(layer)] = {
            "l0": sum(int(cell.l0.sum()) for cell in datasets) / max(count, 1),
            "explained_variance": float(explained_variance(error, variance)),
            "normalised_mse": float(normalised_mse(error, square)),
        }
    return {"layers": layers}


def _tensor(variable: xr.DataArray) -> torch.Tensor:
    return tensor_of(variable.values, variable.attrs)


def _squares(x: torch.Tensor, blank: int) -> np.ndarray:
    return np.concatenate([np.zeros(blank, dtype=np.float32), x.float().pow(2).sum(-1).numpy()])
