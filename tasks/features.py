"""Phase `features`: the transcoder features that are active, and how well they reconstruct each MLP.

The encoder of a layer is read once for all prompts of a batch. Each prompt is multiplied by itself, so that
its numbers do not depend on the others. Activations are stored sparse. The prepended token has no features
(`tasks/parts/positions.py`).
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from circuitstore.models.bits import tensor_of
from circuitstore.transcoders.reconstruction import explained_variance, normalised_mse, variance_about_mean
from tasks.parts.positions import blank

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from circuitstore.engine.inputs import Upstream
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from circuitstore.transcoders.sparse import SparseRows
    from tasks.settings.phases import Features


def features(
    cells: list[Coords], config: Features, activations: Upstream, transcoders: Transcoders
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each layer and prompt. Axis `position` is that of phase `activations`.

        activation      sparse (position, feature), stored as three variables:
                        activation.pointer (row,) int64; activation.feature (entry,) int32, ascending within a
                        row; activation.value (entry,) float32
        feature_count   int32: how many features the transcoder has
        l0              (position,) float32: active features; NaN at the prepended token, which has none
        error_square    (position,) float32: squared norm of the reconstruction error; NaN with cross-layer
                        transcoders, whose prediction is a sum over layers that are other cells
        output_square   (position,) float32: squared norm of the MLP output
        output_sum      (d_model,) float64: the MLP outputs summed over positions
        n_tokens        int32: the length of the prompt

    The squares and the sum give the explained variance over any set of prompts. At the prepended token
    squares are zero, and every sum leaves it out.
    """
    for layer, group in groupby(cells, key=lambda cell: cell["layer"]):
        same_layer = list(group)
        transcoder = transcoders.layer(int(layer))
        captured = [activations.one(cell) for cell in same_layer]
        blanks = [blank(int(one.n_tokens), one.sizes["position"]) for one in captured]
        inputs = [_tensor(one.mlp_input)[first:] for one, first in zip(captured, blanks, strict=True)]
        outputs = transcoder.active(inputs)
        for cell, one, first, x, rows in zip(same_layer, captured, blanks, inputs, outputs, strict=True):
            output = _tensor(one.mlp_output)[first:].float()
            if transcoder.cross_layer:
                error = output * np.nan
            else:
                error = output - transcoder.reconstruct(rows, x).cpu()
            yield (
                cell,
                xr.Dataset(
                    {
                        **_activation(rows, first),
                        "error_square": ("position", _squares(error, first)),
                        "output_square": ("position", _squares(output, first)),
                        "output_sum": ("d_model", output.double().sum(0).numpy()),
                        "feature_count": ((), np.int32(transcoder.n_features)),
                        "n_tokens": ((), np.int32(int(one.n_tokens))),
                    }
                ),
            )


def summary(cells: Iterable[tuple[Coords, xr.Dataset]], config: Features) -> dict[str, object]:
    """For each layer: mean L0, explained variance and normalised MSE over all positions of all prompts.

    The formulas and their source are in `circuitstore.transcoders.reconstruction`. Of cross-layer transcoders
    there is only the mean L0.
    """
    layers: dict[str, dict[str, float]] = {}
    for layer, group in groupby(cells, key=lambda pair: pair[0]["layer"]):
        datasets = [cell for _, cell in group]
        count = sum(
            cell.sizes["position"] - blank(int(cell.n_tokens), cell.sizes["position"]) for cell in datasets
        )
        error, square = (
            sum(float(cell[name].values.sum(dtype=np.float64)) for cell in datasets)
            for name in ("error_square", "output_square")
        )
        total = sum(cell.output_sum.values for cell in datasets)
        variance = variance_about_mean(square, total, count)
        l0 = sum(float(np.nansum(cell.l0.values, dtype=np.float64)) for cell in datasets) / max(count, 1)
        layers[str(layer)] = {"l0": l0}
        if not np.isnan(error):
            layers[str(layer)] |= {
                "explained_variance": float(explained_variance(error, variance)),
                "normalised_mse": float(normalised_mse(error, square)),
            }
    return {"layers": layers}


def _activation(rows: SparseRows, first: int) -> dict[str, tuple[str, np.ndarray]]:
    """The variables of active features and of L0, after `first` positions without features."""
    none = np.zeros(first, dtype=np.int64)
    blank_l0 = np.full(first, np.nan)
    return {
        "activation.pointer": ("row", np.concatenate([none, rows.pointer])),
        "activation.feature": ("entry", rows.feature),
        "activation.value": ("entry", rows.value),
        "l0": ("position", np.concatenate([blank_l0, np.diff(rows.pointer)]).astype(np.float32)),
    }


def _squares(x: Tensor, first: int) -> np.ndarray:
    """Squared norm of each row of x (position, d_model), after `first` zeros: (position,) float32."""
    return np.concatenate([np.zeros(first, dtype=np.float32), x.float().pow(2).sum(-1).numpy()])


def _tensor(variable: xr.DataArray) -> Tensor:
    """The tensor that phase `activations` stored."""
    return tensor_of(variable.values, variable.attrs)
