"""Which features of a prompt are edited, and to what: everything about an intervention that needs no model.

A **candidate** is a feature at a position of one prompt, (layer, position, feature) with its activation; its
unit and rank are those of phase `circuit`, found by (layer, feature, position role). A set of edits is an
array (edit, 4): layer, position, feature, new activation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

UNRANKED = np.iinfo(np.int64).max  # of features that no train prompt had


@dataclass(frozen=True)
class Candidates:
    """Features at positions of one prompt; arrays (candidate,), sorted by layer, position, feature."""

    layer: np.ndarray
    position: np.ndarray
    feature: np.ndarray
    value: np.ndarray  # activation in this prompt; 0 where only the partner has it
    partner: np.ndarray  # activation in the partner, NaN without one
    unit: np.ndarray  # number of the unit in `circuit`, -1 for none
    rank: np.ndarray  # of the unit by mean attribution on train: 0 supports the answer most
    absolute_rank: np.ndarray  # the same by size, whatever the sign

    @property
    def active(self) -> np.ndarray:
        """Which are active in this prompt: (candidate,) bool."""
        return self.value != 0

    def edits(self, chosen: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Set the ``chosen`` (n,) candidates to ``values`` (n,): (n, 4) float64."""
        return np.stack(
            [self.layer[chosen], self.position[chosen], self.feature[chosen], values], axis=1
        ).astype(np.float64)


class Units:
    """The units of `circuit` that are features: their ranks, means and activations on train prompts."""

    def __init__(self, circuit: xr.Dataset):
        chosen = np.flatnonzero(circuit.unit_kind.values == "feature")
        keys = zip(
            circuit.unit_layer.values[chosen].tolist(),
            circuit.unit_feature.values[chosen].tolist(),
            circuit.unit_role.values[chosen].tolist(),
            strict=True,
        )
        self.number = dict(zip(keys, chosen.tolist(), strict=True))
        self.rank_by = str(circuit.attrs["rank_by"])
        self.rank, self.absolute_rank, self.mean = (
            np.append(circuit[name].values, last)
            for name, last in (("rank", UNRANKED), ("absolute_rank", UNRANKED), ("mean_activation", 0))
        )
        self.train = [str(name) for name in circuit.train_prompt.values]
        self._entries = {name: circuit[f"activation_{name}"].values for name in ("unit", "prompt", "value")}

    def of_train_prompt(self, index: int) -> np.ndarray:
        """Activation of each unit in one train prompt, (unit + 1,) float64, 0 where it is not active; the
        last stands for none.
        """
        here = self._entries["prompt"] == index
        result = np.zeros(len(self.mean))
        result[self._entries["unit"][here]] = self._entries["value"][here]
        return result


def candidates(graph: xr.Dataset, pair: xr.Dataset, units: Units) -> Candidates:
    """All features that are active in a prompt or in its partner."""
    own = np.concatenate([graph.active_features.values, graph.activation_values.values[:, None]], axis=1)
    theirs = np.stack(
        [
            pair[f"partner_{name}"].values.astype(np.float64)
            for name in ("layer", "place", "index", "activation")
        ],
        axis=1,
    )
    places, inverse = np.unique(
        np.concatenate([own[:, :3], theirs[:, :3]]).astype(np.int64), axis=0, return_inverse=True
    )
    value, partner = np.zeros(len(places)), np.full(len(places), 0.0 if pair.has_partner else np.nan)
    value[inverse.ravel()[: len(own)]] = own[:, 3]
    partner[inverse.ravel()[len(own) :]] = theirs[:, 3]
    layer, position, feature = places.T
    roles = pair.role.values[position].tolist()
    unit = np.array(
        [units.number.get(key, -1) for key in zip(layer.tolist(), feature.tolist(), roles, strict=True)],
        dtype=np.int64,
    )
    return Candidates(
        layer, position, feature, value, partner, unit, units.rank[unit], units.absolute_rank[unit]
    )


def first_units(found: Candidates, among: np.ndarray, count: int) -> np.ndarray:
    """Of the candidates ``among`` (candidate,) bool, those of the ``count`` best-ranked units; a unit may be
    at many positions.
    """
    ranks = np.unique(found.rank[among & (found.unit >= 0)])[:count]
    return np.flatnonzero(among & (found.unit >= 0) & np.isin(found.rank, ranks))


def matched_controls(
    found: Candidates, chosen: np.ndarray, draws: int, pool: int, generator: np.random.Generator
) -> np.ndarray:
    """For every candidate of ``chosen`` (n,) a random other one like it: (draw, n) int64, -1 where there is
    none left.

    Like it: active, at the same layer and position, none of ``chosen`` nor drawn before in the same draw, and
    among the ``pool`` of these whose activation is nearest, by ratio.
    """
    controls = np.full((draws, len(chosen)), -1, dtype=np.int64)
    free = found.active
    free[chosen] = False
    nearest = []
    for i in chosen:
        same = np.flatnonzero(free & (found.layer == found.layer[i]) & (found.position == found.position[i]))
        nearest.append(
            same[np.argsort(np.abs(np.log(np.abs(found.value[same] / found.value[i]))), kind="stable")]
        )
    for draw in range(draws):
        used: set[int] = set()
        for n, similar in enumerate(nearest):
            left = [i for i in similar.tolist() if i not in used][:pool]
            if left:
                controls[draw, n] = left[int(generator.integers(len(left)))]
                used.add(int(controls[draw, n]))
    return controls
