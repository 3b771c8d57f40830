"""The phases' results as plain columns, each made from one phase alone, so that a figure's provenance is what
it was given.

Rows follow the order of the `prompts` phase. Cells are read one at a time: the graphs of a large model do not
fit in memory together.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from circuitstore.circuits.methods import MARGIN_METHODS
from circuitstore.transcoders.reconstruction import (
    explained_variance,
    normalised_mse,
    variance_about_mean,
)
from tasks.drawing.labels import printed, shortened
from tasks.parts.intervention_summary import predictions, summarise

THRESHOLDS = (0.95, 0.9, 0.8, 0.7)  # of pruning, as published
UNLABELLED = "unlabelled"  # as phase `interpretation` calls what has no dominant pattern
MAX_STEPS = 200  # of a path; in these graphs no path is longer than twice the layers


@dataclass
class Prompts:
    """Phase `prompts`: all (prompt,) text, but tokens, a list of lists, and labels, category → (prompt,)."""

    ids: list[str]
    text: np.ndarray
    correct: np.ndarray
    incorrect: np.ndarray
    split: np.ndarray
    template: np.ndarray
    partner: np.ndarray
    tokens: list[list[str]]
    labels: dict[str, np.ndarray]

    @property
    def splits(self) -> list[str]:
        """The splits that have prompts, train first."""
        return [split for split in ("train", "test") if (self.split == split).any()]

    def category(self, most: int = 8) -> tuple[str, np.ndarray]:
        """The first category of 2 to `most` values, by which prompts are told apart in figures: its name and
        values.
        """
        candidates = {**self.labels, "correct answer": self.correct, "template": self.template}
        for name, values in candidates.items():
            if 2 <= len(set(values)) <= most:
                return name.replace("_", " "), values
        return "split", self.split

    def contrast(self, most: int = 4) -> tuple[str, np.ndarray]:
        """What the behaviour turns on: of the categories of 2 to `most` values that differ within every
        minimal pair, the one that says most about the correct answer; `category` where there is none.
        """
        place = {name: i for i, name in enumerate(self.ids)}
        pairs = [(i, place[name]) for i, name in enumerate(self.partner) if name]
        found = {}
        for name, values in {"correct answer": self.correct, **self.labels}.items():
            if pairs and len(set(values)) <= most and all(values[i] != values[j] for i, j in pairs):
                common = [
                    Counter(self.correct[values == value].tolist()).most_common(1)[0][1]
                    for value in sorted(set(values))
                ]
                found[name] = sum(common)
        best = max(found, key=lambda name: found[name], default="")
        return (
            (best.replace("_", " "), {"correct answer": self.correct, **self.labels}[best])
            if best
            else self.category(most)
        )


def prompts(upstream) -> Prompts:
    rows = list(upstream.each({}))
    text = {
        name: np.array([str(row[name].values) for _, row in rows])
        for name in ("text", "correct", "incorrect", "split", "template")
    }
    labels = [json.loads(str(row.labels.values)) for _, row in rows]
    names = [name for name in labels[0] if all(name in row for row in labels)]
    return Prompts(
        ids=[str(coords["prompt"]) for coords, _ in rows],
        **text,
        partner=np.array([str(row.partner.values) for _, row in rows]),
        tokens=[list(map(str, row.token_text.values)) for _, row in rows],
        labels={name: np.array([str(row[name]) for row in labels]) for name in names},
    )


@dataclass
class Baseline:
    """Phase `baseline`: (prompt,) each; margins and log-probabilities in nats."""

    margin: np.ndarray
    log_prob_correct: np.ndarray
    rank: np.ndarray


def baseline(upstream) -> Baseline:
    rows = [row for _, row in upstream.each({})]
    columns = ("logit_difference", "log_prob_correct", "rank_correct")
    return Baseline(*(np.array([row[name].item() for row in rows]) for name in columns))


@dataclass
class Features:
    """Phase `features`: per layer and prompt, sums over kept positions; and every active feature's largest
    activation.

    l0, error, variance, square (layer, prompt): features active a position, and what normalised MSE and
    explained variance are made of; l0_at (layer, prompt) → (position,) active features; peak: (layer,
    feature) → (prompt,) largest activation.
    """

    layers: list[int]
    l0: np.ndarray
    error: np.ndarray
    square: np.ndarray
    explained: np.ndarray
    l0_at: dict[tuple[int, str], np.ndarray]
    error_at: dict[tuple[int, str], np.ndarray]
    entries: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]
    order: list[str]

    @property
    def normalised_mse(self) -> np.ndarray:
        """(layer,) Σ|error|² / Σ|output|² over all prompts."""
        return normalised_mse(self.error.sum(1), self.square.sum(1))

    def peak(self, layer: int, feature: int) -> np.ndarray:
        """(prompt,) the largest activation of a feature over the positions of each prompt; 0 where it is
        never active.
        """
        prompt, which, value = self.entries[layer]
        found = np.zeros(len(self.order))
        chosen = which == feature
        np.maximum.at(found, prompt[chosen], value[chosen])
        return found


def features(upstream) -> Features:
    cells: dict[int, dict[str, xr.Dataset]] = {}
    for coords, cell in upstream.each({}):
        cells.setdefault(int(coords["layer"]), {})[str(coords["prompt"])] = cell
    layers, order = sorted(cells), list(next(iter(cells.values())))
    first = {
        key: int(c.sizes["position"] == int(c.n_tokens)) for key, c in next(iter(cells.values())).items()
    }
    counts = np.array(
        [[cells[layer][name].sizes["position"] - first[name] for name in order] for layer in layers]
    )

    def sums(variable: str) -> np.ndarray:
        return np.array(
            [
                [float(cells[layer][name][variable].sum(dtype=np.float64)) for name in order]
                for layer in layers
            ]
        )

    error, square = sums("error_square"), sums("output_square")
    totals = [sum(cells[layer][name].output_sum.values for name in order) for layer in layers]
    variance = [variance_about_mean(*sums) for sums in zip(square.sum(1), totals, counts.sum(1), strict=True)]
    every = [(layer, name, cells[layer][name]) for layer in layers for name in order]
    return Features(
        layers=layers,
        l0=sums("l0") / np.maximum(counts, 1),
        error=error,
        square=square,
        explained=explained_variance(error.sum(1), variance),
        l0_at={(layer, name): cell.l0.values[first[name] :] for layer, name, cell in every},
        error_at={
            (layer, name): (cell.error_square.values / np.maximum(cell.output_square.values, 1e-30))[
                first[name] :
            ]
            for layer, name, cell in every
        },
        entries={layer: _entries([cells[layer][name] for name in order]) for layer in layers},
        order=order,
    )


def _entries(cells: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    which = [cell["activation.feature"].values for cell in cells]
    value = [cell["activation.value"].values for cell in cells]
    prompt = np.repeat(np.arange(len(cells)), [len(part) for part in which])
    return prompt, np.concatenate(which), np.concatenate(value)


@dataclass
class Graphs:
    """Phase `attribution`: (prompt,) of each graph's numbers, and the graphs of the examples whole.

    kept (prompt, threshold): nodes whose cumulative influence lies within each of `THRESHOLDS`, embeddings
    and logits included; path_length: see `path_length`; contributions: attributions of the features of all
    prompts to the margin, (entry,), nats, where they were computed, and spearman (prompt,), of gradient and
    direct.
    """

    completeness: np.ndarray
    replacement: np.ndarray
    identity_error: np.ndarray
    kept: np.ndarray
    path_length: np.ndarray
    graphs: dict[str, xr.Dataset]
    contributions: dict[str, np.ndarray] = field(default_factory=dict)
    spearman: np.ndarray = field(default_factory=lambda: np.zeros(0))


def attribution(upstream, examples: list[str]) -> Graphs:
    numbers, kept, lengths, spearman = [], [], [], []
    contributions: dict[str, list[np.ndarray]] = {}
    graphs = {}
    for coords, graph in upstream.each({}):
        name = str(coords["prompt"])
        if name in examples:
            graphs[name] = graph
        scores = ("completeness_score", "replacement_score", "identity_error")
        numbers.append([float(graph[score]) for score in scores])
        kept.append([int((graph.node_cumulative.values <= threshold).sum()) for threshold in THRESHOLDS])
        lengths.append(path_length(graph))
        if "gradient_attribution" in graph:
            for column in MARGIN_METHODS:
                values = graph[f"{column}_attribution"].values[: graph.sizes["feature_node"]]
                contributions.setdefault(column, []).append(values)
            spearman.append(float(graph.gradient_direct_spearman))
    completeness, replacement, identity_error = np.array(numbers).T
    return Graphs(
        completeness=completeness,
        replacement=replacement,
        identity_error=identity_error,
        kept=np.array(kept),
        path_length=np.array(lengths),
        graphs={name: graphs[name] for name in examples if name in graphs},
        contributions={name: np.concatenate(parts) for name, parts in contributions.items()},
        spearman=np.array(spearman),
    )


@dataclass
class Circuit:
    """Phase `circuit`: its one dataset, and the order of its position roles from the first token to the last."""

    data: xr.Dataset

    def top_features(self, count: int) -> list[tuple[int, int]]:
        """(layer, feature) of the features that contribute most to the margin on train prompts, whatever
        their sign and role.
        """
        data = self.data
        value = np.abs(data[f"{data.attrs['rank_by']}_attribution"].values)
        ranked = [
            i
            for i in np.argsort(-value, kind="stable")
            if data.unit_kind.values[i] == "feature" and value[i] > 0
        ]
        return list(
            dict.fromkeys((int(data.unit_layer.values[i]), int(data.unit_feature.values[i])) for i in ranked)
        )[:count]


def circuit(upstream) -> Circuit:
    ((_, data),) = upstream.each({})
    return Circuit(data)


@dataclass
class Interpretation:
    """Phase `interpretation`: its one dataset, and where each (layer, feature) is in it; a reviewer's label
    precedes the automatic.
    """

    data: xr.Dataset
    unit: dict[tuple[int, int], int]
    reviewed: dict[tuple[int, int], str] = field(default_factory=dict)

    def label(self, layer: int, feature: int) -> str:
        """The label of a feature without its effect size, "" for one that has none."""
        if (layer, feature) in self.reviewed:
            return self.reviewed[layer, feature]
        i = self.unit.get((layer, feature))
        return (
            ""
            if i is None or int(self.data.label_category.values[i]) < 0 or self.automatic(i) == UNLABELLED
            else self.automatic(i)
        )

    def printed(self, layer: int, feature: int) -> str:
        """The label as figures print it: a reviewer's words as they are, tokens in others as tokens are
        printed.
        """
        label = self.label(layer, feature)
        return label if (layer, feature) in self.reviewed else printed(label)

    def short(self, layer: int, feature: int) -> str:
        """The same without what goes without saying: the value of a label, the token."""
        label = self.label(layer, feature)
        return label if (layer, feature) in self.reviewed else shortened(label)

    def automatic(self, i: int) -> str:
        return str(self.data.label.values[i]).partition(" (r=")[0]

    def tokens(self, variable: str, i: int, count: int) -> list[str]:
        """Texts of the first tokens of a variable (unit, …) of token ids."""
        text = dict(zip(self.data.token.values.tolist(), map(str, self.data.token_text.values), strict=True))
        ids = self.data[variable].values[i][:count].tolist()
        return list(dict.fromkeys(text[token] for token in ids if token >= 0))


def interpretation(upstream) -> Interpretation:
    ((_, data),) = upstream.each({})
    places = zip(data.layer.values.tolist(), data.feature.values.tolist(), strict=True)
    return Interpretation(data, {place: i for i, place in enumerate(places)})


def labels_hash(review) -> str:
    """sha256 of what reviewers call features: (layer, feature) → label, author, note."""
    said = [
        [layer, feature, label.label, label.author, label.note]
        for (layer, feature), label in sorted(review.items())
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def roles(upstream) -> dict[str, float]:
    """Phase `pairs`: the mean place of each position role in its prompts, 0 for the first token, 1 for the
    last.
    """
    places: dict[str, list[float]] = {}
    for _, row in upstream.each({}):
        names = [str(name) for name in row.role.values]
        for i, name in enumerate(names):
            places.setdefault(name, []).append(i / max(len(names) - 1, 1))
    return {name: float(np.mean(where)) for name, where in places.items()}


@dataclass
class Interventions:
    """Phase `interventions`: its summary by split, and every predicted effect beside the measured one.

    predictions: split → predicted (feature, method), measured (feature,), nats; between: split → influence of
    one feature on another (pair,), and the share of the other's activation that zeroing the first takes away,
    as in the published check.
    """

    summary: dict[str, Any]
    predictions: dict[str, tuple[np.ndarray, np.ndarray]]
    methods: list[str]
    between: dict[str, tuple[np.ndarray, np.ndarray]]

    def feature_effects(self, split: str, **which: str) -> list[dict[str, Any]]:
        """Rows of the check of effects between features, those with pairs, by `among`, `regime`, `predictor`."""
        rows = self.summary[split]["feature_effects"]
        return [
            row for row in rows if row["pairs"] and all(row[name] == value for name, value in which.items())
        ]

    def patched(self, split: str) -> list[dict[str, Any]]:
        """Every set that was patched from the partner, small and large, by size; `size` is the mean number of
        features.
        """
        said = self.summary[split]
        rows = [row for row in said["sets"] if row["kind"] == "patch"]
        rows += [
            {**row, "size": round(row["features"]), "kind": "patch", "regime": "free"}
            for row in said["swaps"]
        ]
        return sorted(
            (row for row in rows if row["size"] and row["change"]["value"] is not None),
            key=lambda row: row["size"],
        )

    @property
    def shown(self) -> tuple[str, dict[str, Any]]:
        """The split that figures show, and its summary: test, if there are test prompts."""
        split = "test" if "test" in self.summary else "train"
        return split, self.summary[split]


def interventions(upstream, config) -> Interventions:
    cells = [cell for _, cell in upstream.each({})]
    summary = summarise(cells, config)
    splits = {
        split: [cell for cell in cells if str(cell.split.values) == split]
        for split in ("train", "test")
        if split in summary
    }
    return Interventions(
        summary={split: summary[split] for split in splits},
        predictions={split: _pooled(part) for split, part in splits.items()},
        methods=list(map(str, MARGIN_METHODS)),
        between={split: _between(part) for split, part in splits.items()},
    )


def _pooled(cells: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    predicted, measured = predictions(cells)
    return np.concatenate(predicted), np.concatenate(measured)


def _between(cells: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    columns = [cell.sel(among="graph", effect_regime="constrained") for cell in cells]
    influence, effect = (
        np.concatenate([column[f"feature_{name}"].values for column in columns])
        for name in ("influence", "effect")
    )
    return influence[np.isfinite(effect)], effect[np.isfinite(effect)]


def path_length(graph: xr.Dataset) -> float:
    """Mean number of edges on the way from embeddings to the logits, each path weighted by the product of its
    edges' shares.

    An edge's share is |weight| over the sum of |weight| into its target, so the weights of all paths into the
    logits that begin at an embedding or an error node sum to one; only those from embeddings count here.
    """
    count, n_logits = graph.sizes["node"], graph.sizes["logit"]
    target, source, weight = (
        graph.edge_target.values,
        graph.edge_source.values,
        np.abs(graph.edge_weight.values.astype(np.float64)),
    )
    total = np.bincount(target, weight, minlength=count)
    share = weight / np.where(total[target] > 0, total[target], 1)
    embeddings = slice(count - n_logits - graph.sizes["position"], count - n_logits)
    reached: np.ndarray = np.zeros(count)
    reached[count - n_logits :] = graph.logit_probabilities.values
    length = arrived = 0.0
    for step in range(1, MAX_STEPS):
        reached = np.bincount(source, reached[target] * share, minlength=count)
        if not reached.any():
            break
        arrived += reached[embeddings].sum()
        length += step * reached[embeddings].sum()
    return length / arrived if arrived > 0 else float("nan")


def examples(table: Prompts, margins: Baseline, count: int) -> list[str]:
    """Ids of `count` prompts to show: those whose margin is nearest the median of the test split, the first
    beside its partner.

    Chosen by the baseline alone, never by how the graph looks.
    """
    pool = [i for i in range(len(table.ids)) if table.split[i] == table.splits[-1]]
    median = float(np.median(margins.margin[pool]))
    ranked = [
        table.ids[i] for i in sorted(pool, key=lambda i: (abs(margins.margin[i] - median), table.ids[i]))
    ]
    partner = str(table.partner[table.ids.index(ranked[0])])
    chosen = dict.fromkeys([ranked[0], *([partner] if partner else []), *ranked])
    return list(chosen)[:count]
