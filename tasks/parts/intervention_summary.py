"""What the interventions of a behaviour say by split: effects, controls, prediction checks, faithfulness.

Phase `interventions` gives it as its summary. Phase `figures` computes it again from the same cells, so that
figures and summary cannot disagree.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.parts.intervals import Intervals
from tasks.parts.predictions import check_of_features, check_of_margin

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from tasks.settings.phases import Figures, Interventions

    Column = Callable[[str], np.ndarray]  # name of a variable → (prompt, …) float64, missing values as NaN

EVERY = slice(None)


def summarise(cells: list[xr.Dataset], config: Interventions | Figures) -> dict[str, Any]:
    """Plain data by split ("train", "test"), from the cells of phase `interventions`; margins are in nats.

    `config` gives seed, draws and level of the intervals. Entries of a split:

        sets             a row for each choice, size, kind and regime, see `_answers`
        swaps            the same for larger sets patched from the partner, with their mean number of features
        controls         mean absolute change of the margin by sets zeroed and by their matched random sets,
                         and the ratio of these
        overlap          of the sets that the prompt's own graph chooses, by size, the share that is also
                         chosen on train prompts; of single features, the share that no train prompt has
        prediction, feature_effects   see `tasks.parts.predictions`
        faithfulness     (m(C) - m(∅)) / (m(M) - m(∅)) by circuit size, for the circuit and its complement
        margin, accuracy, prompts     with nothing edited
    """
    splits = [str(cell.split.values) for cell in cells]
    result: dict[str, Any] = {"prompts": len(cells)}
    for split in sorted(set(splits)):
        chosen = [cell for cell, name in zip(cells, splits, strict=True) if name == split]
        result[split] = _split(
            chosen, Intervals(len(chosen), config.seed, config.bootstrap, config.confidence)
        )
    return result


def _split(cells: list[xr.Dataset], intervals: Intervals) -> dict[str, Any]:
    """The entries of one split."""

    @cache
    def column(name: str) -> np.ndarray:
        values = np.stack([cell[name].values for cell in cells]).astype(np.float64)
        return np.where(values < 0, np.nan, values) if "rank" in name else values

    base, coordinates = column("base_margin"), cells[0]
    return {
        "prompts": len(cells),
        "margin": intervals.mean(base),
        "accuracy": intervals.share((base > 0).astype(np.float64)),
        "sets": _sets(coordinates, column, intervals),
        "swaps": _swaps(coordinates, column, intervals),
        "controls": _controls(coordinates, column, intervals),
        "overlap": _overlap(coordinates, column, intervals),
        "prediction": check_of_margin(cells, intervals),
        "feature_effects": check_of_features(cells, intervals),
        "faithfulness": _faithfulness(coordinates, column, intervals),
    }


def _answers(group: str, index: tuple[Any, ...], column: Column, intervals: Intervals) -> dict[str, Any]:
    """What became of the answers of all prompts, at one index of a group of runs.

    change            mean change of the margin
    flips             of the prompts answered right, the share that is answered wrong
    incorrect_first   the share in which the incorrect answer, which is the partner's correct one, becomes
                      the most probable token
    """
    base = column("base_margin")
    margin, rank = column(f"{group}_margin")[index], column(f"{group}_rank_incorrect")[index]
    return {
        "change": intervals.mean(margin - base),
        "flips": intervals.share(np.where(np.isnan(margin) | (base <= 0), np.nan, margin < 0)),
        "incorrect_first": intervals.share(np.where(np.isnan(rank), np.nan, rank == 1)),
    }


def _sets(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> list[dict[str, Any]]:
    """A row for each choice, size, kind and regime."""
    return [
        {
            "choice": choice,
            "size": size,
            "kind": kind,
            "regime": regime,
            **_answers("set", (EVERY, c, s, k, r), column, intervals),
        }
        for c, choice in enumerate(coordinates.choice.values.tolist())
        for s, size in enumerate(coordinates["size"].values.tolist())
        for k, kind in enumerate(coordinates.kind.values.tolist())
        for r, regime in enumerate(coordinates.regime.values.tolist())
    ]


def _swaps(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> list[dict[str, Any]]:
    """A row for each choice and swap size."""
    return [
        {
            "choice": choice,
            "size": size,
            "features": float(column("swap_count")[:, c, s].mean()),
            **_answers("swap", (EVERY, c, s), column, intervals),
        }
        for c, choice in enumerate(coordinates.choice.values.tolist())
        for s, size in enumerate(coordinates.swap_size.values.tolist())
    ]


def _controls(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> list[dict[str, Any]]:
    """A row for each choice and size: zeroing all free, beside matched random sets."""
    base, rows = column("base_margin"), []
    for c, choice in enumerate(coordinates.choice.values.tolist()):
        for s, size in enumerate(coordinates["size"].values.tolist()):
            effect = np.abs(column("set_margin")[:, c, s, 0, 0] - base)  # zeroed, all free
            random = _mean(np.abs(column("control_margin")[:, c, s] - base[:, None]))
            rows.append(
                {
                    "choice": choice,
                    "size": size,
                    "effect": intervals.mean(effect),
                    "control": intervals.mean(random),
                    "ratio": intervals.of(lambda a, b: a / b, effect, random),
                }
            )
    return rows


def _overlap(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> dict[str, Any]:
    """How much of what matters in a prompt could be chosen on train prompts."""
    own = coordinates.choice.values.tolist().index("own")
    with np.errstate(invalid="ignore"):
        shared = column("set_shared") / column("set_count")[:, own]
    no_rank = np.isnan(column("single_rank"))
    unseen = _mean(np.where(column("single_index") >= 0, no_rank, np.nan))
    sizes = coordinates["size"].values.tolist()
    return {
        "unseen": intervals.mean(unseen),
        "sizes": [{"size": size, "shared": intervals.mean(shared[:, s])} for s, size in enumerate(sizes)],
    }


def _faithfulness(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> list[dict[str, Any]]:
    """A row for each circuit size."""
    base, empty, rows = column("base_margin"), column("empty_margin"), []
    for s, size in enumerate(coordinates.circuit_size.values.tolist()):
        row: dict[str, Any] = {"size": size, "features": float(column("circuit_count")[:, s].mean())}
        for name, group in (("faithfulness", "circuit"), ("complement", "complement")):
            row[name] = intervals.of(
                lambda m, none, whole: (m - none) / (whole - none),
                column(f"{group}_margin")[:, s],
                empty,
                base,
            )
        rows.append(row)
    return rows


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean along the last axis, NaN left out; NaN where there is nothing."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)
