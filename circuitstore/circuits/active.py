"""The active transcoder features of one prompt: found by encoding it, or given by a caller and checked.

A feature that is active in the prompt's minimal pair and not in the prompt itself is **suppressed**. A graph
can have it as a node, whose value is what is missing: 0 less the partner's activation.
"""

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
    value: NDArray[np.float32]  # (active,) activation; of a suppressed feature minus that of the partner
    covered: NDArray[np.bool_]  # (layer, position)
    suppressed: NDArray[np.bool_] | None = None  # (active,); None: no feature is


def find_features(transcoders: Transcoders, run: Capture) -> ActiveFeatures:
    """Encode every layer in use of a captured prompt. Position 0, the prepended token, has no features."""
    columns: list[tuple[NDArray[Any], ...]] = []
    covered = np.zeros((transcoders.n_layers, len(run.tokens)), dtype=bool)
    for index in sorted(transcoders.layers):
        covered[index] = True
        rows = transcoders.layer(index).active([run.mlp_input[index]])[0]
        kept = slice(int(rows.pointer[1]), None)
        layers = np.full(len(rows.feature[kept]), index)
        columns.append((layers, rows.position[kept], rows.feature[kept], rows.value[kept]))
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


def with_suppressed(active: ActiveFeatures, partner: ActiveFeatures) -> ActiveFeatures:
    """The features of a prompt and, where it is covered, those that are active in its ``partner`` alone.

    Both are sorted by layer, position and feature, and so is the result.
    """
    there = active.covered[partner.layer, partner.position]
    columns = ("layer", "position", "feature")
    own, theirs = (np.stack([getattr(side, name) for name in columns]) for side in (active, partner))
    theirs, missing = theirs[:, there], -partner.value[there]
    known = {tuple(column) for column in own.T.tolist()}
    alone = np.array([tuple(column) not in known for column in theirs.T.tolist()], dtype=bool)
    ids = np.concatenate([own, theirs[:, alone]], axis=1)
    order = np.lexsort(ids[::-1])
    value = np.concatenate([active.value, missing[alone]])[order]
    layer, position, feature = ids[:, order]
    return ActiveFeatures(layer, position, feature, value, active.covered, order >= len(active.value))
