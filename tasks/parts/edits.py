"""Which features of a prompt are edited, and to what: all of an intervention that needs no model.

A **candidate** is a feature at a position of one prompt, with its activation. Its unit and rank come from
phase `circuit`, by layer, feature and position role. A set of edits is an array (edit, 4): layer, position,
feature, new activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

UNRANKED = np.iinfo(np.int64).max  # the rank of features that no train prompt had


@dataclass(frozen=True)
class Candidates:
    """Features at positions of one prompt; arrays (candidate,), sorted by layer, position, feature."""

    layer: np.ndarray  # int64
    position: np.ndarray  # int64
    feature: np.ndarray  # int64
    value: np.ndarray  # float64: activation in this prompt; 0 where only the partner has it
    partner: np.ndarray  # float64: activation in the partner; NaN without a partner
    unit: np.ndarray  # int64: number of the unit in `circuit`; -1 for none
    rank: np.ndarray  # int64: of the unit by mean attribution on train prompts; 0 supports the answer most
    absolute_rank: np.ndarray  # int64: the same by size, whatever the sign

    @property
    def active(self) -> np.ndarray:
        """The candidates that are active in this prompt: (candidate,) bool."""
        return np.asarray(self.value != 0)

    def edits(self, chosen: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The set of edits that gives the candidates `chosen` (n,) the activations `values` (n,): (n, 4)."""
        columns = [self.layer[chosen], self.position[chosen], self.feature[chosen], values]
        return np.stack(columns, axis=1).astype(np.float64)


class Units:
    """The units of `circuit` that are features: their ranks, means and activations on train prompts.

    Arrays are (unit + 1,): the last entry stands for features that are no unit, which have number -1.
    """

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
        """Activation of each unit in one train prompt, (unit + 1,) float64; 0 where it is not active."""
        here = self._entries["prompt"] == index
        result = np.zeros(len(self.mean))
        result[self._entries["unit"][here]] = self._entries["value"][here]
        return result


def candidates_of(graph: xr.Dataset, pair: xr.Dataset, units: Units) -> Candidates:
    """All features that are active in a prompt or in its partner, from its graph and its row of `pairs`."""
    own = np.concatenate([graph.active_features.values, graph.activation_values.values[:, None]], axis=1)
    names = ("layer", "place", "index", "activation")
    theirs = np.stack([pair[f"partner_{name}"].values.astype(np.float64) for name in names], axis=1)
    keys, inverse = np.unique(
        np.concatenate([own[:, :3], theirs[:, :3]]).astype(np.int64), axis=0, return_inverse=True
    )
    value, partner = np.zeros(len(keys)), np.full(len(keys), 0.0 if pair.has_partner else np.nan)
    value[inverse.ravel()[: len(own)]] = own[:, 3]
    partner[inverse.ravel()[len(own) :]] = theirs[:, 3]
    layer, position, feature = keys.T
    roles = pair.role.values[position].tolist()
    unit = np.array(
        [units.number.get(key, -1) for key in zip(layer.tolist(), feature.tolist(), roles, strict=True)],
        dtype=np.int64,
    )
    return Candidates(
        layer, position, feature, value, partner, unit, units.rank[unit], units.absolute_rank[unit]
    )


def first_units(candidates: Candidates, among: np.ndarray, count: int) -> np.ndarray:
    """The candidates of the `count` best-ranked units, of those `among` (candidate,) bool: (n,) int64.

    A unit may be at several positions; all of them are given.
    """
    ranks = np.unique(candidates.rank[among & (candidates.unit >= 0)])[:count]
    return np.flatnonzero(among & (candidates.unit >= 0) & np.isin(candidates.rank, ranks))


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Where the `count` largest values are, largest first; NaN never: (n,) int64."""
    order = np.argsort(-values, kind="stable")
    first: np.ndarray = order[np.isfinite(values[order])][:count]
    return first
