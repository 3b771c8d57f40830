"""Would other prompts give the same circuit and the same groups? The train prompts, halved at random.

Prompts of a lexical group, or of a minimal pair, stand in the same half. Each half has its own aggregated
graph (`tasks.parts.aggregate`), from which the circuit of as many units and the groups are made anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tasks.parts.aggregate import Aggregate

if TYPE_CHECKING:
    from tasks.parts.aggregate import Aggregated

Unit = tuple[int, int, str]  # layer, feature, role


class Halves:
    """Pairs of aggregated graphs, a pair a split; prompts are added one by one."""

    def __init__(self, clusters: dict[str, str], splits: int, seed: int):
        """`clusters` has every prompt that will be added: its id → the name of what stands in one half.

        There are no halves of a single cluster.
        """
        names = sorted(set(clusters.values()))
        generator = np.random.default_rng(seed)
        self._second: list[set[str]] = []
        for _ in range(splits if len(names) > 1 else 0):
            first = {names[i] for i in generator.permutation(len(names))[: len(names) // 2]}
            self._second.append({name for name, cluster in clusters.items() if cluster not in first})
        self._graphs = [(Aggregate(), Aggregate()) for _ in self._second]

    def add(self, name: str, graph: xr.Dataset, pair: xr.Dataset) -> None:
        """Add the graph of one prompt, with its row of phase `pairs`, to its half of every split."""
        for second, graphs in zip(self._second, self._graphs, strict=True):
            graphs[name in second].add(graph, pair.role.values, pair.covered.values)

    def finish(self) -> list[tuple[xr.Dataset, xr.Dataset]]:
        """The aggregated graphs of both halves of every split, with variables as phase `circuit` has them."""
        return [(as_circuit(one.finish()), as_circuit(other.finish())) for one, other in self._graphs]


def as_circuit(merged: Aggregated) -> xr.Dataset:
    """An aggregated graph with variables as phase `circuit` names them."""
    parts = {"unit": merged.units, "edge": merged.edges, "activation": merged.activations}
    named = {f"{dim}_{name}": (dim, values) for dim, part in parts.items() for name, values in part.items()}
    return xr.Dataset({**named, **{name: ("unit", values) for name, values in merged.columns.items()}})


def units_of(circuit: xr.Dataset, rows: np.ndarray) -> list[Unit]:
    """What the rows (n,) of axis `unit` are."""
    columns = (circuit[f"unit_{name}"].values[rows].tolist() for name in ("layer", "feature", "role"))
    return list(zip(*columns, strict=True))


def ranked(circuit: xr.Dataset, rank_by: str) -> np.ndarray:
    """Rows of the feature units, by the size of their mean attribution, largest first: (feature unit,)."""
    features = np.flatnonzero(circuit.unit_kind.values == "feature")
    size = np.abs(circuit[f"{rank_by}_attribution"].values[features])
    return np.asarray(features[np.argsort(-size, kind="stable")])


def overlap(one: list[Unit], other: list[Unit]) -> float:
    """The Jaccard index of two circuits: the share of the units in either that are in both."""
    return len({*one} & {*other}) / max(len({*one, *other}), 1)
