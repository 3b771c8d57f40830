"""Attribution graphs of many prompts added up into one graph over units.

What a unit is, and what the arrays mean, is said in phase `circuit` (`tasks/circuit.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from circuitstore.circuits.methods import MARGIN_METHODS

if TYPE_CHECKING:
    import xarray as xr

KINDS = ("embedding", "error", "feature", "margin")
EMBEDDING, ERROR, FEATURE, MARGIN = range(4)
SUMMED = {  # column of the result → variable of a graph
    "influence": "node_influence",
    **{f"{method}_attribution": f"{method}_attribution" for method in MARGIN_METHODS},
}
NONE = -1

Unit = tuple[int, ...]  # kind, layer, feature, role: all numbers, NONE where a kind has none
Arrays = dict[str, np.ndarray]


class Aggregated(NamedTuple):
    """The aggregated graph: arrays by name, as phase `circuit` stores them."""

    units: Arrays  # (unit,)
    columns: Arrays  # (unit,)
    edges: Arrays  # (edge,)
    activations: Arrays  # (activation,)


class Aggregate:
    """Graphs are added one by one; only what they say about units is kept."""

    def __init__(self) -> None:
        self._numbers: dict[Unit, int] = {(MARGIN, NONE, NONE, NONE): 0}
        self._roles: dict[str, int] = {}
        self._positions: dict[int, int] = {}  # role → at how many covered positions it was
        self._nodes: list[np.ndarray] = []  # for each prompt (node, column): unit, kept, `SUMMED`
        self._edges: dict[tuple[int, int], list[float]] = {}  # target, source → sum of weights, prompts
        # for each prompt (unit, column): unit, prompt, mean and sum of activations
        self._activations: list[np.ndarray] = []

    def add(self, graph: xr.Dataset, role: np.ndarray, covered: np.ndarray) -> None:
        """Add the graph of one prompt, with its position roles (position,) text.

        `covered` (position,) bool says where features were looked for.
        """
        roles = np.array([self._roles.setdefault(str(name), len(self._roles)) for name in role])
        for number in roles[covered].tolist():
            self._positions[number] = self._positions.get(number, 0) + 1
        layer, position, feature = graph.active_features.values.T
        active = np.stack([np.full(len(layer), FEATURE), layer, feature, roles[position]], axis=1)
        self._add_activations(self._number(active), graph.activation_values.values.astype(np.float64))
        nodes = self._number(_units_of_nodes(graph, roles, active))
        self._add_edges(graph, nodes)
        n_inner = len(nodes) - graph.sizes["logit"]
        columns = [nodes, graph.prune_node_mask.values, *(graph[name].values for name in SUMMED.values())]
        self._nodes.append(np.stack([column[:n_inner].astype(np.float64) for column in columns], axis=1))

    def finish(self) -> Aggregated:
        """The aggregated graph of all prompts that were added, at least one.

        Units are all active features and whatever else pruning kept in some graph, sorted by kind, layer,
        feature, role.
        """
        count, prompts = len(self._numbers), len(self._nodes)
        keys = np.array(list(self._numbers))
        sums, kept = np.zeros((len(SUMMED), count)), np.zeros(count)
        for table in self._nodes:
            unit = table[:, 0].astype(np.int64)
            kept[np.unique(unit[table[:, 1] > 0])] += 1
            for i in range(len(SUMMED)):
                sums[i] += np.bincount(unit, table[:, 2 + i], minlength=count)
        activations = np.concatenate(self._activations)
        unit = activations[:, 0].astype(np.int64)
        positions = np.array([self._positions.get(role, 0) for role in keys[:, 3].tolist()])
        means = np.bincount(unit, activations[:, 3], minlength=count) / np.maximum(positions, 1)
        columns = {name: total / prompts for name, total in zip(SUMMED, sums, strict=True)}
        columns["kept_frequency"] = kept / prompts
        columns["active_frequency"] = np.bincount(unit, minlength=count) / prompts
        columns["mean_activation"] = means

        texts = np.array([*self._roles, ""])[keys[:, 3]]  # NONE is the last, ""
        chosen = np.flatnonzero((keys[:, 0] == FEATURE) | (keys[:, 0] == MARGIN) | (kept > 0))
        order = chosen[np.lexsort((texts[chosen], keys[chosen, 2], keys[chosen, 1], keys[chosen, 0]))]
        rank = np.full(count, NONE)  # number of a unit → its row in the result
        rank[order] = np.arange(len(order))
        units = {"kind": np.array(KINDS)[keys[order, 0]], "role": texts[order]}
        units |= {"layer": keys[order, 1].astype(np.int32), "feature": keys[order, 2].astype(np.int32)}
        by_unit = np.lexsort((activations[:, 1], rank[unit]))
        entries = {
            "unit": rank[unit].astype(np.int32),
            "prompt": activations[:, 1].astype(np.int32),
            "value": activations[:, 2].astype(np.float32),
        }
        return Aggregated(
            units,
            {name: column.astype(np.float32)[order] for name, column in columns.items()},
            self._edge_table(rank, prompts),
            {name: column[by_unit] for name, column in entries.items()},
        )

    def _number(self, units: np.ndarray) -> np.ndarray:
        """The numbers of units (entry, 4), new numbers for units not seen before: (entry,) int64."""
        numbers = [self._numbers.setdefault(tuple(unit), len(self._numbers)) for unit in units.tolist()]
        return np.array(numbers, dtype=np.int64)

    def _add_activations(self, unit: np.ndarray, value: np.ndarray) -> None:
        """Add the activations (entry,) float64 of one prompt, by the number of their unit (entry,)."""
        units, inverse, positions = np.unique(unit, return_inverse=True, return_counts=True)
        total = np.bincount(inverse, value, minlength=len(units))
        prompt = np.full(len(units), len(self._activations))
        self._activations.append(np.stack([units, prompt, total / positions, total], axis=1))

    def _add_edges(self, graph: xr.Dataset, nodes: np.ndarray) -> None:
        """Add the edges that pruning kept, and for kept nodes their direct attribution to the margin."""
        first_logit = len(nodes) - graph.sizes["logit"]
        inner = np.flatnonzero(graph.prune_edge_mask.values & (graph.edge_target.values < first_logit))
        direct = np.flatnonzero(graph.prune_node_mask.values[:first_logit])
        into_margin = np.zeros(len(direct), dtype=np.int64)
        target = np.concatenate([nodes[graph.edge_target.values[inner]], into_margin])
        source = np.concatenate([nodes[graph.edge_source.values[inner]], nodes[direct]])
        weights = [graph.edge_weight.values[inner], graph.direct_attribution.values[direct]]
        weight = np.concatenate(weights).astype(np.float64)
        pairs = np.stack([target, source], axis=1)[weight != 0]
        ends, inverse = np.unique(pairs, axis=0, return_inverse=True)
        sums = np.bincount(inverse.ravel(), weight[weight != 0], minlength=len(ends))
        for (t, s), total in zip(ends.tolist(), sums.tolist(), strict=True):
            entry = self._edges.setdefault((t, s), [0.0, 0.0])
            entry[0] += total
            entry[1] += 1

    def _edge_table(self, rank: np.ndarray, prompts: int) -> Arrays:
        """The edges by target, then source; `rank` (number of a unit,) gives the rows of units."""
        ends = rank[np.array(list(self._edges), dtype=np.int64).reshape(-1, 2)]
        numbers = np.array(list(self._edges.values())).reshape(-1, 2) / prompts
        order = np.lexsort((ends[:, 1], ends[:, 0]))
        target, source = ends[order].astype(np.int32).T
        weight, frequency = numbers[order].astype(np.float32).T
        return {"target": target, "source": source, "weight": weight, "frequency": frequency}


def _units_of_nodes(graph: xr.Dataset, roles: np.ndarray, active: np.ndarray) -> np.ndarray:
    """The unit of each node, in the order of nodes: (node, 4) int64. Every logit stands for the margin.

    `roles` (position,) are the numbers of the position roles, `active` (active_feature, 4) the units of the
    active features.
    """
    n_layers, n_positions = int(graph.n_layers), len(roles)
    errors = np.full((n_layers * n_positions, 4), [ERROR, NONE, NONE, NONE])
    errors[:, 1], errors[:, 3] = np.repeat(np.arange(n_layers), n_positions), np.tile(roles, n_layers)
    embeddings = np.full((n_positions, 4), [EMBEDDING, NONE, NONE, NONE])
    embeddings[:, 3] = roles
    logits = np.full((graph.sizes["logit"], 4), [MARGIN, NONE, NONE, NONE])
    return np.concatenate([active[graph.selected_features.values], errors, embeddings, logits])
