"""Features as records: an index of all of them, and everything that is known of one."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from circuitstore.errors import UsageError
from circuitstore.viewer.bundle import smallest
from tasks.exploring.phases import ATTRIBUTION, FEATURES, INTERVENTIONS, Built, column

ASSOCIATIONS = 12  # of a feature: those with the largest effects either way
FREE = "free"

Pair = tuple[int, int]  # layer, feature


def index(built: Built) -> dict[str, Any]:
    """Columns over all features that were interpreted, with the labels that count now."""
    units = built.units
    return {
        "layer": smallest(units.layer.values),
        "feature": smallest(units.feature.values),
        **{name: list(map(str, units[name].values)) for name in ("label", *REVIEWED)},
        "confidence": column(units.confidence.values),
        "active_prompts": smallest(units.active_prompts.values),
        "mean_activation": column(units.mean_activation.values),
        "prompts": len(built.prompts),
    }


REVIEWED = ("reviewer_label", "reviewer", "reviewer_note")


class Pages:
    """The records of single features, from tables that are read once."""

    def __init__(self, built: Built):
        self.built = built

    def page(self, layer: int, feature: int) -> dict[str, Any]:
        """All that is known of a feature. Raises UsageError for one that is active in no prompt."""
        built, pair = self.built, (layer, feature)
        entries = self.entries.get(pair)
        if pair not in built.unit and entries is None:
            raise UsageError(f"feature {feature} of layer {layer}", expected="one that is active in a prompt")
        record: dict[str, Any] = {"layer": layer, "feature": feature}
        if pair in built.unit:
            record |= self._interpreted(built.unit[pair])
        if entries is not None:
            record["activations"] = {
                name: smallest(values) if name != "value" else column(values)
                for name, values in zip(("prompt", "position", "value"), entries, strict=True)
            }
        if pair in self.graphs:
            places = np.array(self.graphs[pair])
            names = ("prompt", "position", "kept")
            record["graphs"] = {name: smallest(places[:, i]) for i, name in enumerate(names)}
        return record | {"interventions": self.interventions.get(pair, [])}

    def _interpreted(self, i: int) -> dict[str, Any]:
        unit = self.built.loaded.isel(unit=i)
        texts = self._texts
        names = ("label", *REVIEWED)
        current = self.built.units.isel(unit=i)
        top = zip(
            *(unit[f"top_{part}"].values.tolist() for part in ("prompt", "position", "activation")),
            strict=True,
        )
        twin = self.built.loaded.isel(unit=int(unit.twin))
        return {
            **{name: str(current[name].values) for name in names},
            "confidence": float(unit.confidence),
            "active_prompts": int(unit.active_prompts),
            "mean_activation": float(unit.mean_activation),
            "max_activation": float(unit.max_activation),
            "twin": [int(twin.layer), int(twin.feature)],
            "top": [[self.built.place[name], at, value] for name, at, value in top if name],
            "associations": self._associations(unit),
            **{
                kind: [
                    [texts.get(token, ""), value]
                    for token, value in zip(
                        unit[f"{kind}_token"].values.tolist(),
                        unit[f"{kind}_value"].values.tolist(),
                        strict=True,
                    )
                    if token >= 0
                ]
                for kind in ("promoted", "suppressed")
            },
        }

    def _associations(self, unit: Any) -> list[dict[str, Any]]:
        effect, q = unit.effect.values, unit.q.values
        order = np.argsort(-np.nan_to_num(np.abs(effect)), kind="stable")[:ASSOCIATIONS]
        return [
            {
                "category": str(unit.category.values[i]),
                "level": str(unit.category_level.values[i]),
                "size": int(unit.category_size.values[i]),
                "effect": float(effect[i]),
                "q": float(q[i]),
            }
            for i in order.tolist()
            if np.isfinite(effect[i])
        ]

    @cached_property
    def _texts(self) -> dict[int, str]:
        units = self.built.loaded
        return dict(zip(units.token.values.tolist(), map(str, units.token_text.values), strict=True))

    @cached_property
    def entries(self) -> dict[Pair, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(layer, feature) → prompt, position from the end and activation of each entry."""
        if FEATURES not in self.built.phases:
            return {}
        table = self.built.open(FEATURES, sparse=True)
        names, where = np.unique(table.prompt.values, return_inverse=True)
        prompt = np.array([self.built.place[str(name)] for name in names], dtype=np.int64)[where]
        columns = prompt, table.position.values, table.activation.values
        layer, feature = table.layer.values, table.feature.values
        order = np.lexsort((table.position.values, prompt, feature, layer))
        pairs = np.stack([layer[order], feature[order]])
        starts = np.flatnonzero(np.r_[True, (pairs[:, 1:] != pairs[:, :-1]).any(0)][: len(order)])
        parts = [np.split(values[order], starts[1:]) for values in columns]
        keys = zip(*pairs[:, starts].tolist(), strict=True)
        return dict(zip(keys, zip(*parts, strict=True), strict=True))

    @cached_property
    def graphs(self) -> dict[Pair, list[tuple[int, int, int]]]:
        """(layer, feature) → prompt, position, and whether pruning keeps it, of each node it is."""
        found: dict[Pair, list[tuple[int, int, int]]] = {}
        for name, graph in self.built.cells(ATTRIBUTION) if ATTRIBUTION in self.built.phases else ():
            active = graph.active_features.values[graph.selected_features.values]
            kept = graph.prune_node_mask.values
            for i, (layer, position, feature) in enumerate(active.tolist()):
                row = (self.built.place[name], position, int(kept[i]))
                found.setdefault((layer, feature), []).append(row)
        return found

    @cached_property
    def interventions(self) -> dict[Pair, list[dict[str, Any]]]:
        """(layer, feature) → for each prompt in which it was edited alone: margins, in nats.

        `edited` has one number a kind of edit, `control` one a matched random feature that was zeroed.
        """
        found: dict[Pair, list[dict[str, Any]]] = {}
        for name, cell in self.built.cells(INTERVENTIONS) if INTERVENTIONS in self.built.phases else ():
            kinds = list(map(str, cell.kind.values))
            margins = cell.single_margin.sel(regime=FREE).values
            controls, base = cell.single_control_margin.values, float(cell.base_margin)
            columns = (cell[f"single_{part}"].values.tolist() for part in ("layer", "position", "feature"))
            for i, (layer, position, feature) in enumerate(zip(*columns, strict=True)):
                if layer >= 0:
                    row = {"prompt": self.built.place[name], "position": position, "base": base}
                    row |= {"kinds": kinds, "edited": column(margins[i]), "control": column(controls[i])}
                    found.setdefault((layer, feature), []).append(row)
        return found
