"""What the interventions of a behaviour say by split: effects, controls, prediction checks, faithfulness.

Phase `interventions` gives it as its summary. Phase `figures` computes it again from the same cells, so that
figures and summary cannot disagree.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.parts.faithfulness import counterfactual, empty_share, faithfulness
from tasks.parts.intervals import Intervals, clusters
from tasks.parts.predictions import check_of_features, check_of_margin, check_of_output

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
        controls         sets zeroed beside their matched random sets, see `_controls`
        steering         sets that are steered, beside their matched random sets, see `_steering`
        singles          single features zeroed beside their controls, by size of what is taken away
        places           a row for each place and depth that is patched (`tasks.parts.places`)
        overlap          of the sets that the prompt's own graph chooses, by size, the share that is also
                         chosen on train prompts; of single features, the share that no train prompt has
        prediction, feature_effects, output   see `tasks.parts.predictions`
        faithfulness     (m(C) - m(∅)) / (m(M) - m(∅)) by circuit size, for the circuit and its complement
        empty_share      m(∅) / m(M)
        fill             "mean" or "zero": what replaces features in both
        counterfactual   faithfulness with features replaced by the partner's, and the areas under it
        margin, accuracy, prompts     with nothing edited
        groups           lexical groups, which intervals resample
    """
    splits = [str(cell.split.values) for cell in cells]
    result: dict[str, Any] = {"prompts": len(cells)}
    for split in sorted(set(splits)):
        chosen = [cell for cell, name in zip(cells, splits, strict=True) if name == split]
        result[split] = _split(
            chosen, Intervals(_clusters(chosen), config.seed, config.bootstrap, config.confidence)
        )
    return result


def _clusters(cells: list[xr.Dataset]) -> list[str]:
    """What is resampled together, of cells of phase `interventions`."""
    columns = ([str(cell[name].values) for cell in cells] for name in ("group", "name", "partner"))
    return clusters(*columns)


def _split(cells: list[xr.Dataset], intervals: Intervals) -> dict[str, Any]:
    """The entries of one split."""

    @cache
    def column(name: str) -> np.ndarray:
        values = np.stack([cell[name].values for cell in cells]).astype(np.float64)
        return np.where(values < 0, np.nan, values) if "rank" in name else values

    base, coordinates = column("base_margin"), cells[0]
    return {
        "prompts": len(cells),
        "groups": intervals.groups,
        "margin": intervals.mean(base),
        "accuracy": intervals.share((base > 0).astype(np.float64)),
        "sets": _sets(coordinates, column, intervals),
        "swaps": _swaps(coordinates, column, intervals),
        "controls": _controls(coordinates, column, intervals),
        "steering": _steering(coordinates, column, intervals),
        "singles": _singles(column, intervals),
        "overlap": _overlap(coordinates, column, intervals),
        "prediction": check_of_margin(cells, intervals),
        "feature_effects": check_of_features(cells, intervals),
        "output": check_of_output(cells, intervals),
        "places": _places(coordinates, column, intervals),
        "faithfulness": faithfulness(coordinates, column, intervals),
        "empty_share": empty_share(column, intervals),
        "fill": str(coordinates.fill.values),
        "counterfactual": counterfactual(coordinates, column, intervals),
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
            "where": _where(coordinates, column("patch_where")[:, c, s]) if kind == "patch" else {},
            **_answers("set", (EVERY, c, s, k, r), column, intervals),
        }
        for c, choice in enumerate(coordinates.choice.values.tolist())
        for s, size in enumerate(coordinates["size"].values.tolist())
        for k, kind in enumerate(coordinates.kind.values.tolist())
        for r, regime in enumerate(coordinates.regime.values.tolist())
    ]


def _where(coordinates: xr.Dataset, counts: np.ndarray) -> dict[str, float]:
    """The share of patched features at each place, from counts (prompt, where); empty where none is."""
    total = counts.sum()
    names = coordinates["where"].values.tolist()
    return dict(zip(names, (counts.sum(0) / total).tolist(), strict=True)) if total else {}


def _swaps(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> list[dict[str, Any]]:
    """A row for each choice and swap size."""
    return [
        {
            "choice": choice,
            "size": size,
            "features": float(column("swap_count")[:, c, s].mean()),
            "where": _where(coordinates, column("swap_where")[:, c, s]),
            **_answers("swap", (EVERY, c, s), column, intervals),
        }
        for c, choice in enumerate(coordinates.choice.values.tolist())
        for s, size in enumerate(coordinates.swap_size.values.tolist())
    ]


def _controls(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> list[dict[str, Any]]:
    """A row for each choice and size: zeroing all free, beside matched random sets that take away as much.

    Only prompts that have such sets count, in every entry but `missing`:

        effect, control     mean absolute change of the margin, nats
        ratio               of these two
        signed, control_signed   mean change of the margin, nats
        per_unit            effect over the size of what was taken away, nats
        exceeded            mean share of random sets that change the margin at least as much
        opposite            mean share of random sets that change it the other way
        inside, size_ratio  share of controls within the caliper, and median size of a feature over that of
                            its control, both before any scaling
        missing             share of features and draws without control
        prompts             how many count
    """
    base, rows = column("base_margin"), []
    for c, choice in enumerate(coordinates.choice.values.tolist()):
        for s, size in enumerate(coordinates["size"].values.tolist()):
            random = column("control_margin")[:, c, s] - base[:, None]
            counted = np.isfinite(random).any(axis=1)
            change = np.where(counted, column("set_margin")[:, c, s, 0, 0] - base, np.nan)  # zeroed, free
            effect, control = np.abs(change), _mean(np.abs(random))
            beside = np.where(np.isfinite(random), change[:, None], np.nan)

            def share(of: np.ndarray, beside: np.ndarray = beside) -> np.ndarray:
                return _mean(np.where(np.isfinite(beside), of, np.nan))

            norm, inside, missing, ratio = (
                column(name)[:, c, s]
                for name in ("set_norm", "control_inside", "control_missing", "control_ratio")
            )
            rows.append(
                {
                    "choice": choice,
                    "size": size,
                    "prompts": int(counted.sum()),
                    "effect": intervals.mean(effect),
                    "control": intervals.mean(control),
                    "ratio": intervals.of(lambda a, b: a / b, effect, control),
                    "signed": intervals.mean(change),
                    "control_signed": intervals.mean(_mean(random)),
                    "per_unit": intervals.of(lambda a, b: a / b, effect, np.where(counted, norm, np.nan)),
                    "exceeded": intervals.mean(share(np.abs(random) >= np.abs(beside))),
                    "opposite": intervals.mean(share(random * beside < 0)),
                    "inside": intervals.mean(np.where(counted, inside, np.nan)),
                    "size_ratio": intervals.mean(np.where(counted, ratio, np.nan)),
                    "missing": intervals.mean(missing),
                }
            )
    return rows


def _steering(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> list[dict[str, Any]]:
    """A row for each size and strength: features chosen on train, beside random ones changed by as much.

    change, control: mean change of the margin, nats, all free, over the prompts that have controls; prompts:
    how many these are. Where none has, change is over all.
    """
    base, c = column("base_margin"), coordinates.choice.values.tolist().index("train")
    names = [f"steer {strength:+g}" for strength in coordinates.strength.values.tolist()]
    kinds = [coordinates.kind.values.tolist().index(name) for name in names]
    rows = []
    for s, size in enumerate(coordinates["size"].values.tolist()):
        for t, strength in enumerate(coordinates.strength.values.tolist()):
            control = _mean(column("steered_control_margin")[:, s, t]) - base
            change = column("set_margin")[:, c, s, kinds[t], 0] - base
            counted = np.isfinite(control) | ~np.isfinite(control).any()
            rows.append(
                {
                    "size": size,
                    "strength": strength,
                    "prompts": int(np.isfinite(control).sum()),
                    "change": intervals.mean(np.where(counted, change, np.nan)),
                    "control": intervals.mean(control),
                }
            )
    return rows


def _singles(column: Column, intervals: Intervals) -> dict[str, Any]:
    """Zeroing one feature at a time, where nothing cancels: effect per unit of size, and that of controls."""
    base = column("base_margin")
    change = column("single_margin")[:, :, 0, 0] - base[:, None]
    random = column("single_control_margin") - base[:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):  # of what writes nothing, nothing is taken away
        effect = _mean(np.abs(change) / column("single_norm"))
        control = _mean(_mean(np.abs(random) / column("single_control_norm")))
    both = np.isfinite(effect) & np.isfinite(control)
    effect, control = np.where(both, effect, np.nan), np.where(both, control, np.nan)
    return {
        "effect": intervals.mean(effect),
        "control": intervals.mean(control),
        "ratio": intervals.of(lambda a, b: a / b, effect, control),
        "signed": intervals.mean(_mean(change)),
        "control_signed": intervals.mean(_mean(_mean(random))),
    }


def _places(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> list[dict[str, Any]]:
    """A row for each place and depth that was patched from the partner."""
    return [
        {
            "place": place,
            "depth": depth,
            "features": intervals.mean(
                np.where(np.isfinite(column("place_margin")[:, p, d]), column("place_count")[:, p, d], np.nan)
            ),
            **_answers("place", (EVERY, p, d), column, intervals),
        }
        for p, place in enumerate(coordinates.place.values.tolist())
        for d, depth in enumerate(coordinates.depth.values.tolist())
    ]


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


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean along the last axis, NaN left out; NaN where there is nothing."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)
