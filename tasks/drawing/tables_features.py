"""The results of phases `features` and `interpretation` as plain columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from circuitstore.transcoders.reconstruction import explained_variance, normalised_mse, variance_about_mean
from tasks.drawing.labels import parted, printed, shortened
from tasks.drawing.style import TIED, token
from tasks.parts.dominant import UNLABELLED
from tasks.parts.positions import blank

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.engine.inputs import Upstream
    from circuitstore.storage.reviews import Label

LEAST = 1e-30  # in place of a zero that would divide

Feature = tuple[int, int]  # layer, feature


@dataclass
class Features:
    """Phase `features`: sums over the kept positions of each prompt, and every active feature.

    Prompts are in the order of `order`. The prepended token is left out.
    """

    layers: list[int]
    order: list[str]
    l0: np.ndarray  # (layer, prompt): active features per position
    error: np.ndarray  # (layer, prompt): Σ|error|²
    square: np.ndarray  # (layer, prompt): Σ|output|²
    explained: np.ndarray  # (layer,): explained variance over all prompts
    l0_at: dict[tuple[int, str], np.ndarray]  # layer, prompt → (position,) active features
    error_at: dict[tuple[int, str], np.ndarray]  # layer, prompt → (position,) |error|² / |output|²
    square_at: dict[tuple[int, str], np.ndarray]  # layer, prompt → (position,) |output|²
    entries: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]  # layer → prompt, feature, activation
    place: dict[int, np.ndarray]  # layer → (entry,): number of prompt and position
    positions: int  # of all prompts, those with features
    size: int  # features of a transcoder

    @classmethod
    def of(cls, upstream: Upstream) -> Features:
        """From phase `features`."""
        cells: dict[int, dict[str, xr.Dataset]] = {}
        for coords, cell in upstream.each({}):
            cells.setdefault(int(coords["layer"]), {})[str(coords["prompt"])] = cell
        layers, any_layer = sorted(cells), next(iter(cells.values()))
        order = list(any_layer)
        first = {name: blank(int(cell.n_tokens), cell.sizes["position"]) for name, cell in any_layer.items()}
        counts = np.array(
            [[cells[layer][name].sizes["position"] - first[name] for name in order] for layer in layers]
        )

        def sums(variable: str, undefined: bool = False) -> np.ndarray:
            rows = [[cells[layer][name][variable] for name in order] for layer in layers]
            return np.array(
                [[float(cell.sum(dtype=np.float64, skipna=undefined)) for cell in row] for row in rows]
            )

        error, square = sums("error_square"), sums("output_square")
        totals = [sum(cells[layer][name].output_sum.values for name in order) for layer in layers]
        columns = zip(square.sum(1), totals, counts.sum(1), strict=True)
        variance = [variance_about_mean(*column) for column in columns]
        every = [(layer, name, cells[layer][name]) for layer in layers for name in order]
        return cls(
            layers=layers,
            order=order,
            l0=sums("l0", undefined=True) / np.maximum(counts, 1),
            error=error,
            square=square,
            explained=explained_variance(error.sum(1), variance),
            l0_at={(layer, name): cell.l0.values[first[name] :] for layer, name, cell in every},
            error_at={
                (layer, name): (cell.error_square.values / np.maximum(cell.output_square.values, LEAST))[
                    first[name] :
                ]
                for layer, name, cell in every
            },
            square_at={
                (layer, name): cell.output_square.values[first[name] :].astype(np.float64)
                for layer, name, cell in every
            },
            entries={layer: _entries([cells[layer][name] for name in order]) for layer in layers},
            place={layer: _places([cells[layer][name] for name in order]) for layer in layers},
            positions=int(counts[0].sum()),
            size=int(next(iter(any_layer.values())).feature_count),
        )

    @property
    def reconstructed(self) -> bool:
        """Whether there are reconstruction errors; phase `features` has none of cross-layer transcoders."""
        return bool(np.isfinite(self.error).all())

    @property
    def normalised_mse(self) -> np.ndarray:
        """Normalised mean squared error over all prompts: (layer,)."""
        return normalised_mse(self.error.sum(1), self.square.sum(1))

    @property
    def last_mse(self) -> np.ndarray:
        """Normalised mean squared error at the last token, where the answer is predicted: (layer,)."""
        square = np.array([[self.square_at[i, name][-1] for name in self.order] for i in self.layers])
        share = np.array([[self.error_at[i, name][-1] for name in self.order] for i in self.layers])
        return normalised_mse((share * square).sum(1), square.sum(1))

    def distinct_l0(self, layer: int, interpretation: Interpretation) -> float:
        """Active features a position, twins counted once, mean over all positions."""
        _, feature, _ = self.entries[layer]
        twin, unit = interpretation.data.twin.values, interpretation.unit
        active, inverse = np.unique(feature, return_inverse=True)
        first = np.array([twin[unit[layer, int(index)]] for index in active], dtype=np.int64)
        pairs = np.stack([self.place[layer], first[inverse]])
        return float(len(np.unique(pairs, axis=1).T) / max(self.positions, 1))

    def peak(self, layer: int, feature: int) -> np.ndarray:
        """The largest activation of a feature in each prompt, 0 where it is never active: (prompt,)."""
        prompt, features, value = self.entries[layer]
        peaks = np.zeros(len(self.order))
        chosen = features == feature
        np.maximum.at(peaks, prompt[chosen], value[chosen])
        return peaks


def _entries(cells: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompt, feature and activation of every active feature of a layer: (entry,) each."""
    features = [cell["activation.feature"].values for cell in cells]
    values = [cell["activation.value"].values for cell in cells]
    prompt = np.repeat(np.arange(len(cells)), [len(part) for part in features])
    return prompt, np.concatenate(features), np.concatenate(values)


def _places(cells: list[xr.Dataset]) -> np.ndarray:
    """A number for the prompt and position of every active feature of a layer: (entry,) int64."""
    counts = np.concatenate([np.diff(cell["activation.pointer"].values) for cell in cells])
    return np.repeat(np.arange(len(counts)), counts)


@dataclass
class Interpretation:
    """Phase `interpretation`: its dataset, and the labels of reviewers, which precede the automatic ones."""

    data: xr.Dataset
    unit: dict[Feature, int]  # feature → its row in `data`
    reviewed: dict[Feature, str] = field(default_factory=dict)

    @classmethod
    def of(cls, upstream: Upstream, review: Mapping[Feature, Label]) -> Interpretation:
        """From phase `interpretation`, and what reviewers call features."""
        ((_, data),) = upstream.each({})
        return cls(data, cls._units(data), {feature: label.label for feature, label in review.items()})

    @classmethod
    def opened(cls, data: xr.Dataset) -> Interpretation:
        """From phase `interpretation` as it is opened, with its reviewers' labels."""
        units = cls._units(data)
        labels = data.reviewer_label.values.tolist()
        return cls(data, units, {feature: labels[i] for feature, i in units.items() if labels[i]})

    @staticmethod
    def _units(data: xr.Dataset) -> dict[Feature, int]:
        """Feature → its row."""
        features = zip(data.layer.values.tolist(), data.feature.values.tolist(), strict=True)
        return {feature: i for i, feature in enumerate(features)}

    def label(self, layer: int, feature: int) -> str:
        """The label of a feature, the first where several tie; "" for a feature without a label."""
        if (layer, feature) in self.reviewed:
            return self.reviewed[layer, feature]
        categories = self.categories(layer, feature)
        return categories[0] if categories else ""

    def first_categories(self, features: Iterable[Feature]) -> list[int]:
        """Rows of the categories that the automatic labels of these features name first."""
        rows = [self.unit[each] for each in features if each not in self.reviewed and self.categories(*each)]
        return list(dict.fromkeys(self.data.label_category.values[rows].tolist()))

    def told(self, features: Iterable[Feature]) -> str:
        """The sentence that says which category each value is of that `short` prints alone; "" for none."""
        names: dict[str, list[str]] = {}
        for row in self.first_categories(features):
            name, _ = parted(str(self.data.category.values[row]))
            if name not in ("", "correct"):
                value = shortened(str(self.data.category.values[row]))
                names.setdefault(name.replace("_", " "), []).append(f"“{value}”")
        listed = "; ".join(f"{', '.join(sorted(set(values)))}: {name}" for name, values in names.items())
        return f" Categories of values: {listed}." if listed else ""

    def categories(self, layer: int, feature: int) -> list[str]:
        """The categories that the automatic label names, the first first; none for a feature without one.

        What gives the value of an earlier one another name is left out: a state that is the group, too.
        """
        i = self.unit.get((layer, feature))
        if i is None or str(self.data.label.values[i]) == UNLABELLED:
            return []
        first = int(self.data.label_category.values[i])
        others = [j for j in np.flatnonzero(self.data.tied.values[i]).tolist() if j != first]
        texts, values = self.data.category.values, self.data.category_value.values
        named: dict[str, str] = {}
        for j in (first, *others):
            named.setdefault(str(values[j]).strip(), str(texts[j]))
        return list(named.values())

    def printed(self, layer: int, feature: int) -> str:
        """The label as figures print it: a reviewer's words as they are, tokens in others as tokens are."""
        label = self.label(layer, feature)
        return label if (layer, feature) in self.reviewed else printed(label) + self._tied(layer, feature)

    def short(self, layer: int, feature: int) -> str:
        """The label as diagrams print it, with as little as tells features apart.

        Where there is none, it is the token that the feature promotes most.
        """
        label = self.label(layer, feature)
        if (layer, feature) in self.reviewed:
            return label
        if label:
            return shortened(label) + self._tied(layer, feature)
        i = self.unit.get((layer, feature))
        return "" if i is None else "".join(f"→{token(text)}" for text in self.tokens("promoted_token", i, 1))

    def _tied(self, layer: int, feature: int) -> str:
        """The sign of a label that ties with others."""
        return f" {TIED}" if len(self.categories(layer, feature)) > 1 else ""

    def confounded(self) -> list[tuple[list[str], int]]:
        """Which labels hold the same prompts, by their names, and for how many values: most first."""
        names, first = self.data.category_name.values, self.data.category_same.values
        sets: dict[tuple[str, ...], int] = {}
        for start in np.unique(first[first != np.arange(len(first))]).tolist():
            key = tuple(map(str, names[first == start]))
            sets[key] = sets.get(key, 0) + 1
        return [(list(key), count) for key, count in sorted(sets.items(), key=lambda pair: -pair[1])]

    def tokens(self, variable: str, i: int, count: int) -> list[str]:
        """Texts of the first `count` tokens of row `i` of a variable (unit, …) of token ids."""
        text = dict(zip(self.data.token.values.tolist(), map(str, self.data.token_text.values), strict=True))
        ids = self.data[variable].values[i][:count].tolist()
        return list(dict.fromkeys(text[token] for token in ids if token >= 0))


def labels_hash(review: Mapping[Feature, Label]) -> str:
    """sha256 (hexadecimal) of what reviewers call features, with authors and notes."""
    rows = [
        [layer, feature, label.label, label.author, label.note]
        for (layer, feature), label in sorted(review.items())
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
