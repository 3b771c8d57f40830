"""The active transcoder features of one prompt: found by encoding it, or given by a caller and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture
from circuitstore.transcoders.per_layer import Transcoders


@dataclass(frozen=True)
class ActiveFeatures:
    """Active features of one prompt, and where the transcoders were applied at all.

    Where ``covered`` is False there are no features, and the whole MLP output is the error.
    """

    layer: NDArray[np.int64]  # (active,)
    position: NDArray[np.int64]  # (active,)
    feature: NDArray[np.int64]  # (active,)
    value: NDArray[np.float32]  # (active,) activation
    covered: NDArray[np.bool_]  # (layer, position)


def find_features(transcoders: Transcoders, run: Capture) -> ActiveFeatures:
    """Encode every layer of a captured prompt. Position 0 holds the prepended token and has no features."""
    columns: list[tuple[NDArray[Any], ...]] = []
    for index in range(transcoders.n_layers):
        rows = transcoders.layer(index).active([run.mlp_input[index]])[0]
        kept = slice(int(rows.pointer[1]), None)
        layers = np.full(len(rows.feature[kept]), index)
        columns.append((layers, rows.position[kept], rows.feature[kept], rows.value[kept]))
    covered = np.ones((transcoders.n_layers, len(run.tokens)), dtype=bool)
    layer, position, feature, value = (np.concatenate(column) for column in zip(*columns, strict=True))
    return ActiveFeatures(layer, position, feature, value, covered)


def checked_features(features: ActiveFeatures, transcoders: Transcoders, run: Capture) -> ActiveFeatures:
    """The same features by layer, position and feature, without position 0 and without zeros.

    Raises UsageError when they do not fit the prompt or its covered positions, when one is given twice, or
    when an activation is not finite.
    """
    shape = (transcoders.n_layers, len(run.tokens))
    if features.covered.shape != shape:
        raise UsageError(
            "features.covered", expected=f"(layer, position) {shape}", got=features.covered.shape
        )
    kept = (features.position > 0) & (features.value != 0)
    layer, position, feature = (
        np.asarray(column)[kept].astype(np.int64)
        for column in (features.layer, features.position, features.feature)
    )
    order = np.lexsort((feature, position, layer))
    layer, position, feature = layer[order], position[order], feature[order]
    if len(layer) and (layer.min() < 0 or layer.max() >= shape[0] or position.max() >= shape[1]):
        largest = (int(layer.max()), int(position.max()))
        raise UsageError("features", expected=f"layers and positions below {shape}", got=largest)
    if not features.covered[layer, position].all():
        raise UsageError("features", expected="only features where covered is true", got="features elsewhere")
    if (np.diff(np.stack([layer, position, feature])) == 0).all(axis=0).any():
        raise UsageError("features", expected="every feature once a position", got="duplicates")
    value = np.asarray(features.value)[kept][order].astype(np.float32)
    if not np.isfinite(value).all():
        wrong = int(np.flatnonzero(~np.isfinite(value))[0])
        got = (
            f"{value[wrong]} for feature {feature[wrong]} at layer {layer[wrong]}, position {position[wrong]}"
        )
        raise UsageError("features", expected="finite activations", got=got)
    return ActiveFeatures(layer, position, feature, value, features.covered)
