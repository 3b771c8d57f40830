"""Supernodes: features that do one thing, grouped without a person.

Four measures say how alike two units (features in a position role) are, each from -1 to 1:

    write       cosine of the decoder rows
    read        cosine of the encoder rows
    activity    Pearson correlation of the activations over prompts
    neighbours  cosine of the edges that enter, and of those that leave, the mean of both

The likeness of two units is the mean of the four. Groups are those of average linkage, cut by a rate of false
discoveries: each measure by itself is shuffled among the units, so that measures agree by accident alone, and
the cut lies where chance would put at most a share `level` of the units that are in groups into one. Among
units that have nothing to do with each other, there is a group with about this probability.

Between supernodes, an edge is a flow in nats of margin. The flow s → t of a graph is edge s→t · total_t /
activation_t, what s contributes to the margin by way of t. All that leaves a feature, its edge to the margin
included, sums to its total contribution (`margin`), and so does all that leaves a group.

Sources: supernodes: *On the Biology of a Large Language Model* (Anthropic, 2025), where they are made by
hand; average linkage: Sokal and Michener (1958); false discoveries by shuffling: Tusher, Tibshirani and Chu
(2001); agreement of groupings: Hubert and Arabie, *Comparing
Partitions* (1985).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage

if TYPE_CHECKING:
    import xarray as xr

MEASURES = ("write", "read", "activity", "neighbours")
ROUNDING = 1e-9  # of a likeness

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]


def cosines(rows: NDArray[np.floating]) -> Values:
    """Cosine of every two rows: (unit, n) → (unit, unit) float64; 0 with a row of zeros."""
    rows = rows.astype(np.float64)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(norm > 0, norm, 1)
    return np.asarray(unit @ unit.T)


def correlations(activations: NDArray[np.floating]) -> Values:
    """Pearson correlation of every two rows: (unit, prompt) → (unit, unit) float64.

    It is 0 with a row that is the same in all prompts: such a unit goes with no other.
    """
    centred = activations - activations.mean(axis=1, keepdims=True)
    largest = np.abs(activations).max(axis=1, initial=0, keepdims=True)
    return cosines(np.where(np.abs(centred) > 1e-6 * largest, centred, 0))


def neighbours(target: Numbers, source: Numbers, weight: NDArray[np.floating], units: Numbers) -> Values:
    """How alike the edges of `units` (unit,) are: (unit, unit) float64.

    `target`, `source` and `weight` are (edge,), ends as numbers of nodes. Each weight counts as a share of
    all that enters its target, by absolute value. Where neither of two units has edges of a direction, the
    other direction counts alone.
    """
    count = int(max(target.max(initial=-1), source.max(initial=-1), units.max(initial=-1))) + 1
    entering = np.bincount(target, np.abs(weight), minlength=count)
    share = weight / np.where(entering[target] > 0, entering[target], 1)
    matrix = sparse.csr_array((share, (target, source)), shape=(count, count))
    alike: Values = np.zeros((len(units), len(units)))
    sides: Values = np.zeros_like(alike)
    for rows in (matrix[units], matrix.T.tocsr()[units]):
        norm = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
        scaled = sparse.diags_array(1 / np.where(norm > 0, norm, 1)) @ rows
        alike += np.asarray((scaled @ scaled.T).toarray())
        sides += (norm[:, None] > 0) | (norm > 0)
    alike /= np.maximum(sides, 1)
    return alike


def needed(measures: Values, draws: int, level: float, seed: int) -> float:
    """How alike units must be to form a group, from (measure, unit, unit); NaN where none are.

    It is the least likeness at which the mean number of units that are in a group in a shuffle is at most the
    share `level` of those that are in one as it is.
    """
    joined = _joined(measures.mean(axis=0))
    if len(joined) < 2:
        return float("nan")
    generator, by_chance = np.random.default_rng(seed), []
    for _ in range(draws):
        shuffled = np.zeros(measures.shape[1:])
        for measure in measures:
            order = generator.permutation(len(joined))
            shuffled += measure[np.ix_(order, order)] / len(measures)
        by_chance.append(_joined(shuffled))
    chance = np.concatenate(by_chance)
    cuts = np.unique(np.concatenate([joined, chance]))  # ascending
    found, expected = (len(some) - np.searchsorted(np.sort(some), cuts) for some in (joined, chance))
    enough = np.flatnonzero((expected / draws <= level * found) & (found > 0))
    return float(cuts[enough[0]]) if len(enough) else float("nan")


def grouped(likeness: Values, least: float) -> Numbers:
    """The group of each unit: (unit, unit) → (unit,) int64, numbered by their first units.

    Two groups are joined, the likest first, as long as the mean likeness between them is at least `least`.
    With NaN each unit stays by itself.
    """
    if len(likeness) < 2 or np.isnan(least):
        return np.arange(len(likeness))
    numbers = fcluster(_tree(likeness), 1 - least + ROUNDING, criterion="distance")
    _, first, group = np.unique(numbers, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group]


def _tree(likeness: Values) -> Values:
    """Average linkage, by distances 1 - likeness, as scipy describes trees."""
    tree: Values = linkage(1 - likeness[np.triu_indices(len(likeness), 1)], method="average")
    return tree


def _joined(likeness: Values) -> Values:
    """The likeness at which each unit first joins another, or a group: (unit,) float64."""
    count = len(likeness)
    if count < 2:
        return np.full(count, np.nan)
    tree = _tree(likeness)
    result: Values = np.zeros(count)
    for side in (0, 1):
        units = tree[:, side] < count
        result[tree[units, side].astype(np.int64)] = 1 - tree[units, 2]
    return result


def coherence(likeness: Values, group: Numbers) -> Values:
    """Mean likeness of two units of each group: (group,) float64; NaN for a unit by itself."""
    member = np.eye(int(group.max(initial=-1)) + 1)[group]  # (unit, group)
    pairs = member.sum(0) * (member.sum(0) - 1)
    inside = np.einsum("ug,uv,vg->g", member, likeness - np.diag(np.diag(likeness)), member)
    mean: Values = np.divide(inside, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return mean


def agreement(one: Numbers, other: Numbers) -> float:
    """The adjusted Rand index of two groupings (unit,): 1 for the same, about 0 for unrelated ones.

    Where neither puts units together, or both put all together, they are the same.
    """

    def pairs(counts: NDArray[np.int64]) -> float:
        return float((counts * (counts - 1)).sum() / 2)

    ones, others = (np.unique(group, return_inverse=True)[1] for group in (one, other))
    table = np.zeros((ones.max(initial=-1) + 1, others.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(table, (ones, others), 1)
    both, first, second = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    every = len(one) * (len(one) - 1) / 2
    expected = first * second / every if every else 0.0
    most = (first + second) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def flows(graph: xr.Dataset, group: Numbers, count: int) -> Values:
    """What nodes of each group contribute to the margin by way of each group, in nats.

    `graph` is a stored attribution graph with contributions to the margin, `group` (node,) a number from 0 to
    `count` - 2 for each node; those of logits are not read. Returns (target, source) float64, `count` of
    both; the last target is the margin itself. A column sums to the total contribution of its group, as far
    as edges are stored.
    """
    n_features = graph.sizes["feature_node"]
    activation = graph.activation_values.values[graph.selected_features.values].astype(np.float64)
    total, direct = (graph[f"{name}_attribution"].values.astype(np.float64) for name in ("total", "direct"))
    inner = graph.edge_target.values < n_features
    target, source = graph.edge_target.values[inner], graph.edge_source.values[inner]
    weight = graph.edge_weight.values[inner] * (total[:n_features] / activation)[target]
    n_inner = len(total) - graph.sizes["logit"]
    flow: Values = np.zeros((count, count))
    np.add.at(flow, (group[target], group[source]), weight)
    np.add.at(flow, (np.full(n_inner, count - 1), group[:n_inner]), direct[:n_inner])
    return flow


def necessity(whole: NDArray[np.floating], without: NDArray[np.floating]) -> Values:
    """How much less probable the answer is without the circuit, in points (100 is certainty)."""
    return 100 * (np.asarray(whole, dtype=np.float64) - without)


def sufficiency(whole: NDArray[np.floating], alone: NDArray[np.floating]) -> Values:
    """The probability that the answer has with the circuit alone, as a share of what it has in the model."""
    return np.asarray(alone, dtype=np.float64) / whole
