"""Phase `circuit`: one graph for a behaviour, aggregated over the attribution graphs of its *train* prompts.

A **unit** is something that graphs of different prompts have in common: a feature (layer, feature) in a
position role (phase `pairs`), the error of a layer in a role, the embedding in a role, or the margin (the
correct - incorrect logit difference). The value of a unit in a prompt is the sum over the positions that have
the role. Means are over all train prompts; a unit counts as 0 in a prompt that does not have it.

Nothing of a test prompt enters. Interventions on test prompts, with features that are chosen here, are
therefore a fair test.

Sources: aggregation over prompts after *Sparse Feature Circuits* (Marks et al., 2024), §3; false discoveries:
Benjamini and Hochberg (1995).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from circuitstore.errors import PromptError
from circuitstore.statistics.correlation import correlations
from circuitstore.statistics.false_discovery import benjamini_hochberg
from tasks.parts.aggregate import Aggregate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from circuitstore.engine.inputs import Upstream
    from circuitstore.storage.records import Coords
    from tasks.settings.phases import Circuit

CORRELATIONS: tuple[Literal["pearson", "spearman"], ...] = ("pearson", "spearman")


def circuit(
    cells: list[Coords],
    config: Circuit,
    prompts: Upstream,
    baseline: Upstream,
    pairs: Upstream,
    attribution: Upstream,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset. Units are sorted by kind, layer, feature, role; all values are of train prompts.

    Units:

        unit_kind, unit_role          (unit,) text
        unit_layer, unit_feature      (unit,) int32, -1 where there is none
        active_frequency              (unit,) float32: the share of prompts in which it is active
        kept_frequency                (unit,) float32: the share of prompts in which pruning keeps it
        influence                     (unit,) float32: mean
        direct_attribution, total_attribution, gradient_attribution, integrated_attribution
                                      (unit,) float32: means, nats of margin
        mean_activation               (unit,) float32: mean over all covered positions that have the role
        rank, absolute_rank           (unit,) int32: of features by mean attribution (`rank_by`), 0 for the
                                      largest, or for the largest in size; -1 for other units

    Edges. An edge into the margin is the direct attribution of a node that pruning kept:

        edge_target, edge_source      (edge,) int32: units
        edge_weight                   (edge,) float32: mean weight of the edges that pruning kept
        edge_frequency                (edge,) float32: the share of prompts with such an edge

    Activations of feature units. Correlations are tested for features that are active in at least
    `min_prompts` prompts, and are NaN elsewhere; q is p after Benjamini and Hochberg over all of these tests:

        activation_unit, activation_prompt   (activation,) int32: rows of unit and of train
        activation_value                     (activation,) float32: mean over the positions with the role
        train_prompt                         (train,) text: ids
        pearson, spearman, and of both _p, _q   (unit,) float64: correlation of activation and margin

    Raises PromptError when there are no train prompts.
    """
    split = {str(coords["prompt"]): str(row.split.values) for coords, row in prompts.all(cells[0])}
    if "train" not in split.values():
        raise PromptError(
            "circuit",
            expected="at least one train prompt",
            got="none",
            remedy='give some prompts "split": "train"',
        )
    pair, margins = (
        {str(coords["prompt"]): cell for coords, cell in phase.all(cells[0])} for phase in (pairs, baseline)
    )
    aggregate, names = Aggregate(), []
    for coords, graph in attribution.each(cells[0]):  # one at a time: a graph may take gigabytes
        if split[name := str(coords["prompt"])] == "train":
            aggregate.add(graph, pair[name].role.values, pair[name].covered.values)
            names.append(name)
    units, columns, edges, activations = aggregate.finish()
    is_feature, ranked = units["kind"] == "feature", columns[f"{config.rank_by}_attribution"]
    margin = np.array([float(margins[name].logit_difference) for name in names])
    importance = _importance(activations, margin, len(ranked), config.min_prompts)
    nats = {"units": "nats"}
    yield (
        cells[0],
        xr.Dataset(
            {
                **{f"unit_{name}": ("unit", value) for name, value in units.items()},
                **{
                    name: ("unit", value, nats if name.endswith("attribution") else {})
                    for name, value in columns.items()
                },
                "rank": ("unit", _rank(ranked, is_feature)),
                "absolute_rank": ("unit", _rank(np.abs(ranked), is_feature)),
                **{name: ("unit", value) for name, value in importance.items()},
                **{f"edge_{name}": ("edge", value) for name, value in edges.items()},
                **{f"activation_{name}": ("activation", value) for name, value in activations.items()},
                "train_prompt": ("train", np.array(names)),
            },
            attrs={"structure": "tree", "rank_by": config.rank_by},
        ),
    )


def summary(cells: Iterable[tuple[Coords, xr.Dataset]], config: Circuit) -> dict[str, object]:
    """Numbers of prompts, units and edges, and of features that go with the margin at q < 0.05."""
    ((_, cell),) = cells
    features = cell.unit_kind.values == "feature"
    return {
        "train_prompts": cell.sizes["train"],
        "features": int(features.sum()),
        "kept_features": int((features & (cell.kept_frequency.values > 0)).sum()),
        "edges": cell.sizes["edge"],
        "tested": int(np.isfinite(cell.spearman_q.values).sum()),
        "important_pearson": int((cell.pearson_q.values < 0.05).sum()),
        "important_spearman": int((cell.spearman_q.values < 0.05).sum()),
    }


def _rank(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The rank of each value, 0 for the largest, of those `among` (unit,) bool; -1 for the others."""
    rank = np.full(len(values), -1, dtype=np.int32)
    chosen = np.flatnonzero(among)
    rank[chosen[np.argsort(-values[chosen], kind="stable")]] = np.arange(len(chosen))
    return rank


def _importance(
    activations: dict[str, np.ndarray], margins: np.ndarray, count: int, min_prompts: int
) -> dict[str, np.ndarray]:
    """Correlation of the activation of each tested unit with the margin over prompts.

    `margins` is (train,) in nats, `count` the number of units. Returns r, p and q for each kind of
    correlation, (unit,) float64.
    """
    unit = activations["unit"]
    tested = np.flatnonzero(np.bincount(unit, minlength=count) >= min_prompts)
    row = np.full(count, -1)
    row[tested] = np.arange(len(tested))
    table, chosen = np.zeros((len(tested), len(margins))), row[unit] >= 0
    table[row[unit[chosen]], activations["prompt"][chosen]] = activations["value"][chosen]
    result: dict[str, np.ndarray] = {}
    for kind in CORRELATIONS:
        r, p, q = (np.full(count, np.nan) for _ in range(3))
        if len(tested):
            r[tested], p[tested] = correlations(table, margins, kind)
            q[tested] = benjamini_hochberg(p[tested])
        result |= {kind: r, f"{kind}_p": p, f"{kind}_q": q}
    return result
