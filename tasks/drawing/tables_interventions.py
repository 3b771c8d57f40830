"""The results of phase `interventions` as plain columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitstore.circuits.methods import MARGIN_METHODS
from tasks.drawing.tables_prompts import Prompts, resampled
from tasks.parts.intervention_summary import summarise
from tasks.parts.predictions import predictions

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.engine.inputs import Upstream
    from tasks.settings.phases import Figures


FILLS = {"mean": "their mean over the train prompts", "zero": "zero"}  # setting interventions.fill → words


@dataclass
class Interventions:
    """Phase `interventions`: its summary by split, and every predicted effect beside the measured one."""

    summary: dict[str, Any]
    # split → predicted (feature, method) and measured (feature,) effects on the margin, nats
    predictions: dict[str, tuple[np.ndarray, np.ndarray]]
    methods: list[str]
    # split → influence of a feature on another (pair,), and the share of the other's activation that zeroing
    # the first takes away (pair,), as in the published check
    between: dict[str, tuple[np.ndarray, np.ndarray]]
    # kind of prompts of the split shown (`Prompts.kinds`) → its own summary; what kinds are told apart by
    by_kind: dict[str, dict[str, Any]] = field(default_factory=dict)
    kinds: str = ""

    @classmethod
    def of(cls, upstream: Upstream, config: Figures, prompts: Prompts) -> Interventions:
        """From phase `interventions`; the settings give the intervals, and `prompts` the kinds of prompts."""
        cells = [cell for _, cell in upstream.each({})]
        summary = summarise(cells, config)
        splits = {
            split: [cell for cell in cells if str(cell.split.values) == split]
            for split in ("train", "test")
            if split in summary
        }
        words = {
            split: resampled(*([str(cell[n].values) for cell in part] for n in ("group", "partner")))
            for split, part in splits.items()
        }
        return cls(
            summary={split: {**summary[split], "resampled": words[split]} for split in splits},
            predictions={split: _pooled(part) for split, part in splits.items()},
            methods=list(MARGIN_METHODS),
            between={split: _between(part) for split, part in splits.items()},
            by_kind=_by_kind(list(splits.values())[-1], config, prompts),
            kinds=prompts.kinds[0] if prompts.kinds else "",
        )

    def feature_effects(self, split: str, **values: str) -> list[dict[str, Any]]:
        """Rows of the check of effects between features, those with these values that have pairs.

        `values` may name `among`, `regime` and `predictor`.
        """
        rows = self.summary[split]["feature_effects"]
        return [
            row for row in rows if row["pairs"] and all(row[name] == value for name, value in values.items())
        ]

    def output(self, split: str, **values: str) -> list[dict[str, Any]]:
        """Rows of the check of effects on the output, those with these values that have features."""
        rows = self.summary[split]["output"]
        return [
            row
            for row in rows
            if row["features"] and all(row[name] == value for name, value in values.items())
        ]

    def chosen_patch(self, measure: str) -> dict[str, Any] | None:
        """The set, choice and regime that patches best on train prompts, as it does on the split shown.

        `measure` is "flips" or "incorrect_first"; of several best ones it is the smallest. Nothing is chosen
        by the split that is shown, unless there is no other. None without patches.
        """
        first = "train" if "train" in self.summary else self.shown[0]
        known = [row for row in self.patched(first) if row[measure]["value"] is not None]
        best = max(known, key=lambda row: (row[measure]["value"], -row["size"]), default=None)
        if best is None:
            return None
        asked = ("choice", "asked", "regime")
        here = (row for row in self.patched(self.shown[0]) if all(row[n] == best[n] for n in asked))
        return next((row for row in here if row[measure]["value"] is not None), None)

    def patched(self, split: str) -> list[dict[str, Any]]:
        """Every set that was patched from the partner, small and large, by size.

        `size` is the mean number of features, `asked` the size that was asked for.
        """
        summary = self.summary[split]
        rows = [{**row, "asked": row["size"]} for row in summary["sets"] if row["kind"] == "patch"]
        rows += [
            {**row, "asked": row["size"], "size": round(row["features"]), "kind": "patch", "regime": "free"}
            for row in summary["swaps"]
        ]
        return sorted(
            (row for row in rows if row["size"] and row["change"]["value"] is not None),
            key=lambda row: int(row["size"]),
        )

    @property
    def shown(self) -> tuple[str, dict[str, Any]]:
        """The split that figures show, and its summary: test, if there are test prompts."""
        split = "test" if "test" in self.summary else "train"
        return split, self.summary[split]


def _by_kind(cells: list[xr.Dataset], config: Figures, prompts: Prompts) -> dict[str, dict[str, Any]]:
    """The summary of each kind of prompts among the cells of one split; nothing where there is one kind."""
    if prompts.kinds is None:
        return {}
    kind = dict(zip(prompts.ids, prompts.kinds[1].tolist(), strict=True))
    found: dict[str, list[xr.Dataset]] = {}
    for cell in cells:
        found.setdefault(kind[str(cell["name"].values)], []).append(cell)
    return {
        value: next(part for part in summarise(found[value], config).values() if isinstance(part, dict))
        for value in sorted(found)
    }


def _pooled(cells: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """Predicted (feature, method) and measured (feature,) effects of all prompts together."""
    predicted, measured = predictions(cells)
    return np.concatenate(predicted), np.concatenate(measured)


def _between(cells: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """Influence and effect (pair,) in whole graphs, constrained, of all prompts together."""
    columns = [cell.sel(among="graph", effect_regime="constrained") for cell in cells]
    influence, effect = (
        np.concatenate([column[f"feature_{name}"].values for column in columns])
        for name in ("influence", "effect")
    )
    return influence[np.isfinite(effect)], effect[np.isfinite(effect)]
