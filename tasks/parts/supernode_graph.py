"""The graph between supernodes: the order of its nodes, their names, and what flows between them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from circuitstore.circuits.supernodes import coherence, flows
from circuitstore.texts import text_array
from tasks.parts.dominant import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterable

    import xarray as xr

    from circuitstore.storage.records import Coords
    from tasks.parts.halves import Unit
    from tasks.parts.runs import Variables

NAMES = {"others": "other features", "error": "errors", "embedding": "tokens", "margin": "margin"}
RANK_CORRELATION = re.compile(r" \(r=-?[\d.]+\)$")  # behind an automatic label: what it says of one feature


class Nodes:
    """The supernodes of a circuit, in the order that phase `supernodes` describes."""

    def __init__(self, members: list[Unit], group: np.ndarray, value: np.ndarray, roles: Iterable[str]):
        """`members` (unit,) of the circuit, their `group` and mean contribution `value`; roles of tokens."""
        sizes, weight = np.bincount(group), np.bincount(group, np.abs(value))
        order = np.lexsort((-weight, sizes < 2))
        self.members, self.value = members, value
        self.of_unit: np.ndarray = np.argsort(order)[group]  # (unit,)
        self.groups, self.features = int((sizes > 1).sum()), len(sizes)
        tokens = sorted(set(roles))
        self.kinds = ["group"] * self.groups + ["feature"] * (self.features - self.groups)
        self.kinds += ["others", "error", *["embedding"] * len(tokens), "margin"]
        self._number = dict(zip(members, self.of_unit.tolist(), strict=True))
        self._embedding = {role: self.features + 2 + i for i, role in enumerate(tokens)}

    def of_nodes(self, graph: xr.Dataset, role: np.ndarray) -> np.ndarray:
        """The supernode of each node of one prompt's graph, logits left out: (node - logit,) int64.

        `role` (position,) text is that of `pairs`.
        """
        layer, position, feature = graph.active_features.values[graph.selected_features.values].T.tolist()
        others, roles = self.features, [str(name) for name in role]
        units = zip(layer, feature, (roles[i] for i in position), strict=True)
        numbers = [self._number.get(unit, others) for unit in units]
        numbers += [others + 1] * (int(graph.n_layers) * len(roles))
        return np.array(numbers + [self._embedding[name] for name in roles], dtype=np.int64)

    def variables(self, likeness: np.ndarray, interpretation: xr.Dataset) -> Variables:
        """What phase `supernodes` says of each supernode, but its total contribution."""
        count, rest = len(self.kinds), len(self.kinds) - self.features
        layer = np.array([unit[0] for unit in self.members])
        first, last = np.full(count, np.iinfo(np.int32).max), np.full(count, -1)
        np.minimum.at(first, self.of_unit, layer)
        np.maximum.at(last, self.of_unit, layer)
        alike = np.append(coherence(likeness, self.of_unit), np.full(rest, np.nan))
        columns = ("layer", "feature", "label")
        labels = {
            (int(layer), int(feature)): RANK_CORRELATION.sub("", str(label))
            for layer, feature, label in zip(*(interpretation[name].values for name in columns), strict=True)
        }
        said = [labels.get(unit[:2], UNLABELLED) for unit in self.members]
        names = self._most(said, unlike=UNLABELLED) + [NAMES[kind] for kind in self.kinds[self.features :]]
        roles = self._most([unit[2] for unit in self.members]) + [""] * rest
        for role, number in self._embedding.items():
            roles[number] = role
        return {
            "supernode_kind": ("supernode", text_array(self.kinds)),
            "supernode_name": ("supernode", text_array(names)),
            "supernode_role": ("supernode", text_array(roles)),
            "supernode_units": ("supernode", np.bincount(self.of_unit, minlength=count).astype(np.int32)),
            "supernode_first_layer": ("supernode", np.where(last < 0, -1, first).astype(np.int32)),
            "supernode_last_layer": ("supernode", last.astype(np.int32)),
            "supernode_likeness": ("supernode", alike.astype(np.float32)),
        }

    def _most(self, words: list[str], unlike: str = "") -> list[str]:
        """Of each group and feature, the word of its units that most of their contribution has.

        The word `unlike` is taken only where there is no other.
        """
        held: list[dict[str, float]] = [{} for _ in range(self.features)]
        for number, word, value in zip(
            self.of_unit.tolist(), words, np.abs(self.value).tolist(), strict=True
        ):
            held[number][word] = held[number].get(word, 0.0) + value
        return [max(sorted(each), key=lambda word: (word != unlike, each[word])) for each in held]

    def edges(
        self,
        graphs: Iterable[tuple[Coords, xr.Dataset]],
        pairs: dict[str, xr.Dataset],
        train: list[str],
    ) -> Variables:
        """Mean flows over the graphs of the train prompts, and the total contribution of each supernode."""
        flow = np.zeros((len(self.kinds), len(self.kinds)))
        for coords, graph in graphs:
            if (name := str(coords["prompt"])) in train:
                flow += flows(graph, self.of_nodes(graph, pairs[name].role.values), len(flow))
        flow /= len(train)
        target, source = np.nonzero(flow)
        nats = {"units": "nats"}
        return {
            "supernode_total": ("supernode", flow.sum(0).astype(np.float32), nats),
            "edge_target": ("edge", target.astype(np.int32)),
            "edge_source": ("edge", source.astype(np.int32)),
            "edge_weight": ("edge", flow[target, source].astype(np.float32), nats),
        }
