"""Random features that are like the features edited: matched controls.

What an edit takes away from the MLP output has the size |activation| · |decoder row|. A control is like a
feature if it takes away as much, at the same layer and position. Where no feature is that like, the edit of
the control is scaled to the same size, so that a set and its controls always take away equally much. A
feature that repeats an edited one (`circuitstore.transcoders.distinct`) would be no control.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitstore.transcoders.distinct import twins

if TYPE_CHECKING:
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.parts.edits import Candidates


@dataclass(frozen=True)
class Likeness:
    """What features are matched by; arrays (candidate,)."""

    size: np.ndarray  # float64: |activation| · norm of the decoder row
    twin: np.ndarray  # int64: the same number for features of a layer that are one feature twice


@dataclass(frozen=True)
class Controls:
    """Matched random candidates for chosen ones; arrays (draw, n)."""

    index: np.ndarray  # int64: candidates, -1 for none
    ratio: np.ndarray  # float64: size of the chosen candidate over that of its control, NaN for none
    inside: np.ndarray  # bool: whether this ratio is within the caliper, either way

    def scale(self, draw: int) -> np.ndarray:
        """By how much the edits of a draw are scaled: 1 within the caliper: (n,) float64."""
        return np.where(self.inside[draw], 1.0, self.ratio[draw])

    def complete(self, draw: int) -> bool:
        """Whether a draw has a control for every chosen candidate."""
        return bool(len(self.index[draw]) and (self.index[draw] >= 0).all())


def likeness(candidates: Candidates, transcoders: Transcoders) -> Likeness:
    """Sizes and twins of all candidates of a prompt; encoder and decoder rows are read layer by layer."""
    norm, twin = np.zeros(len(candidates.value)), np.zeros(len(candidates.value), dtype=np.int64)
    for layer in np.unique(candidates.layer).tolist():
        here = np.flatnonzero(candidates.layer == layer)
        features, entry = np.unique(candidates.feature[here], return_inverse=True)
        rows = transcoders.layer(layer)
        encoder, decoder = rows.encoder_rows(features), rows.decoder_rows(features)
        norm[here] = decoder.float().norm(dim=1).cpu().numpy()[entry]
        twin[here] = features[twins(encoder, decoder)][entry]
    return Likeness(np.abs(candidates.value) * norm, twin)


def matched_controls(
    candidates: Candidates,
    alike: Likeness,
    chosen: np.ndarray,
    draws: int,
    pool: int,
    caliper: float,
    generator: np.random.Generator,
) -> Controls:
    """For every candidate of `chosen` (n,), random others that are like it.

    A control is active at the same layer and position, is not among `chosen` nor a twin of one, and occurs
    once in a draw. It is drawn among the `pool` candidates whose size is nearest by ratio. It is within the
    caliper if neither size is more than `caliper` times the other.
    """
    index = np.full((draws, len(chosen)), -1, dtype=np.int64)
    same_feature = {
        (layer, twin)
        for layer, twin in zip(candidates.layer[chosen].tolist(), alike.twin[chosen].tolist(), strict=True)
    }
    free = candidates.active & np.array(
        [
            pair not in same_feature
            for pair in zip(candidates.layer.tolist(), alike.twin.tolist(), strict=True)
        ],
        dtype=bool,
    )
    nearest = []
    for i in chosen:
        here = (candidates.layer == candidates.layer[i]) & (candidates.position == candidates.position[i])
        same = np.flatnonzero(free & here & (alike.size > 0))
        with np.errstate(divide="ignore"):  # a feature that writes nothing is equally far from all
            apart = np.abs(np.log(alike.size[same] / alike.size[i]))
        nearest.append(same[np.argsort(apart, kind="stable")])
    for draw in range(draws):
        used: set[int] = set()
        for n, similar in enumerate(nearest):
            left = [i for i in similar.tolist() if i not in used][:pool]
            if left:
                index[draw, n] = left[int(generator.integers(len(left)))]
                used.add(int(index[draw, n]))
    size = np.append(alike.size, np.nan)  # the last stands for no control
    ratio = alike.size[chosen] / size[index]
    with np.errstate(divide="ignore"):
        inside = np.abs(np.log(ratio)) <= np.log(caliper)
    return Controls(index, ratio, inside)
