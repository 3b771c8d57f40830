"""Attribution graphs of many prompts added up into one, over units: see `tasks.circuit`, which says what a
unit is.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from circuitstore.circuits.methods import MARGIN_METHODS

KINDS = ("embedding", "error", "feature", "margin")
EMBEDDING, ERROR, FEATURE, MARGIN = range(4)
SUMMED = {
    "influence": "node_influence",
    **{f"{method}_attribution": f"{method}_attribution" for method in MARGIN_METHODS},
}
NONE = -1


class Aggregate:
    """Graphs are added one by one; only what they say about units is kept."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, ...], int] = {
            (MARGIN, NONE, NONE, NONE): 0
        }  # unit (kind, layer, feature, role) → number
        self._roles: dict[str, int] = {}
        self._positions: dict[int, int] = {}  # role → at how many covered positions it was
        self._nodes: list[np.ndarray] = []  # by prompt (node, column): unit, kept, then what `SUMMED` names
        self._edges: dict[tuple[int, int], list[float]] = {}  # target, source → sum of weights, prompts
        self._activations: list[
            np.ndarray
        ] = []  # by prompt (unit, column): unit, prompt, mean, sum of activations

    def add(self, graph: xr.Dataset, role: np.ndarray, covered: np.ndarray) -> None:
        """Add the graph of one prompt, its position roles (position,) and where features were looked for
        (position,) bool.
        """
        roles = np.array([self._roles.setdefault(str(name), len(self._roles)) for name in role])
        for number in roles[covered].tolist():
            self._positions[number] = self._positions.get(number, 0) + 1
        layer, position, feature = graph.active_features.values.T
        active = np.stack([np.full(len(layer), FEATURE), layer, feature, roles[position]], axis=1)
        self._add_activations(self._number(active), graph.activation_values.values.astype(np.float64))
        nodes = self._number(_nodes(graph, roles, active))
        self._add_edges(graph, nodes)
        n_inner = len(nodes) - graph.sizes["logit"]
        columns = [nodes, graph.prune_node_mask.values, *(graph[name].values for name in SUMMED.values())]
        self._nodes.append(np.stack([column[:n_inner].astype(np.float64) for column in columns], axis=1))

    def finish(
        self,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
        """(units, columns, edges, activations), arrays by name, as `tasks.circuit` describes them.

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
        columns = {
            name: (total / prompts).astype(np.float32) for name, total in zip(SUMMED, sums, strict=True)
        }
        columns["kept_frequency"] = (kept / prompts).astype(np.float32)
        columns["active_frequency"] = (np.bincount(unit, minlength=count) / prompts).astype(np.float32)
        columns["mean_activation"] = (
            np.bincount(unit, activations[:, 3], minlength=count) / np.maximum(positions, 1)
        ).astype(np.float32)

        texts = np.array([*self._roles, ""])[keys[:, 3]]  # NONE, the last, is ""
        chosen = np.flatnonzero((keys[:, 0] == FEATURE) | (keys[:, 0] == MARGIN) | (kept > 0))
        order = chosen[np.lexsort((texts[chosen], keys[chosen, 2], keys[chosen, 1], keys[chosen, 0]))]
        place = np.full(count, NONE)
        place[order] = np.arange(len(order))
        units = {"kind": np.array(KINDS)[keys[order, 0]], "role": texts[order]}
        units |= {"layer": keys[order, 1].astype(np.int32), "feature": keys[order, 2].astype(np.int32)}
        by_unit = np.lexsort((activations[:, 1], place[unit]))
        named = {
            "unit": place[unit].astype(np.int32),
            "prompt": activations[:, 1].astype(np.int32),
            "value": activations[:, 2].astype(np.float32),
        }
        return (
            units,
            {name: column[order] for name, column in columns.items()},
            self._edge_table(place, prompts),
            {name: column[by_unit] for name, column in named.items()},
        )

    def _number(self, units: np.ndarray) -> np.ndarray:
        """The numbers of units (entry, 4), new ones where they were not seen before: (entry,)."""
        return np.array(
            [self._numbers.setdefault(unit, len(self._numbers)) for unit in map(tuple, units.tolist())],
            dtype=np.int64,
        )

    def _add_activations(self, unit: np.ndarray, value: np.ndarray) -> None:
        units, inverse, places = np.unique(unit, return_inverse=True, return_counts=True)
        total = np.bincount(inverse, value, minlength=len(units))
        self._activations.append(
            np.stack([units, np.full(len(units), len(self._activations)), total / places, total], axis=1)
        )

    def _add_edges(self, graph: xr.Dataset, nodes: np.ndarray) -> None:
        """Edges that pruning kept; into the margin, the direct attributions of kept nodes."""
        first_logit = len(nodes) - graph.sizes["logit"]
        inner = np.flatnonzero(graph.prune_edge_mask.values & (graph.edge_target.values < first_logit))
        direct = np.flatnonzero(graph.prune_node_mask.values[:first_logit])
        target = np.concatenate(
            [nodes[graph.edge_target.values[inner]], np.zeros(len(direct), dtype=np.int64)]
        )
        source = np.concatenate([nodes[graph.edge_source.values[inner]], nodes[direct]])
        weight = np.concatenate(
            [graph.edge_weight.values[inner], graph.direct_attribution.values[direct]]
        ).astype(np.float64)
        ends, inverse = np.unique(
            np.stack([target, source], axis=1)[weight != 0], axis=0, return_inverse=True
        )
        sums = np.bincount(inverse.ravel(), weight[weight != 0], minlength=len(ends))
        for (t, s), total in zip(ends.tolist(), sums.tolist(), strict=True):
            entry = self._edges.setdefault((t, s), [0.0, 0.0])
            entry[0] += total
            entry[1] += 1

    def _edge_table(self, place: np.ndarray, prompts: int) -> dict[str, np.ndarray]:
        ends = place[np.array(list(self._edges), dtype=np.int64).reshape(-1, 2)]
        numbers = np.array(list(self._edges.values())).reshape(-1, 2) / prompts
        order = np.lexsort((ends[:, 1], ends[:, 0]))
        target, source = ends[order].astype(np.int32).T
        weight, frequency = numbers[order].astype(np.float32).T
        return {"target": target, "source": source, "weight": weight, "frequency": frequency}


def _nodes(graph: xr.Dataset, roles: np.ndarray, active: np.ndarray) -> np.ndarray:
    """The unit of each node, in the order of nodes; every logit stands for the margin: (node, 4)."""
    n_layers, n_positions = int(graph.n_layers), len(roles)
    errors = np.full((n_layers * n_positions, 4), [ERROR, NONE, NONE, NONE])
    errors[:, 1], errors[:, 3] = np.repeat(np.arange(n_layers), n_positions), np.tile(roles, n_layers)
    embeddings = np.full((n_positions, 4), [EMBEDDING, NONE, NONE, NONE])
    embeddings[:, 3] = roles
    logits = np.full((graph.sizes["logit"], 4), [MARGIN, NONE, NONE, NONE])
    return np.concatenate([active[graph.selected_features.values], errors, embeddings, logits])
