"""What the interventions of a behaviour say, by split: effects beside controls, prediction checks,
faithfulness.

Intervals are percentiles of bootstrap resamples of the prompts (Efron and Tibshirani, 1993, §13.3). A ratio
is one of means, resampled as a whole: ratios of single prompts have no finite mean. Those of shares are
Wilson's (Brown, Cai and DasGupta, 2001): resampling prompts that all agree would claim certainty.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from statistics import NormalDist

import numpy as np
import xarray as xr

from circuitstore.circuits.methods import MARGIN_METHODS
from circuitstore.statistics.correlation import spearman

PREDICTORS = ("influence", "direct", "response")


def summarise(cells: list[xr.Dataset], config) -> dict[str, object]:
    """Plain data by split ("train", "test"), margins in nats.

    sets: a row for each choice, size, kind, regime: change (of the margin), flips (share of the prompts
    answered right that are answered wrong), incorrect_first (share in which the incorrect answer, which is
    the partner's correct one, becomes the most probable token), each with low and high. swaps: the same of
    larger sets patched from the partner, with the mean number of features. controls: mean absolute change of
    sets zeroed and of their matched random sets, and the ratio. overlap: of the sets chosen by the prompt's
    own graph, the share that is also chosen on train, by size, and the share that no train prompt had, of the
    single features. prediction: Spearman between predicted and measured effects of zeroing single features on
    the margin, over all prompts and as a mean over prompts. feature_effects: the same for effects on other
    features, see `_feature_effects`. faithfulness: (m(C) - m(∅)) / (m(M) - m(∅)) by circuit size, of the
    circuit and of its complement.
    """
    splits = [str(cell.split.values) for cell in cells]
    result: dict[str, object] = {"prompts": len(cells)}
    for split in sorted(set(splits)):
        chosen = [cell for cell, of in zip(cells, splits, strict=True) if of == split]
        result[split] = _split(
            chosen, _Bootstrap(len(chosen), config.seed, config.bootstrap, config.confidence)
        )
    return result


class _Bootstrap:
    """Resamples of the prompts, the same for every statistic."""

    def __init__(self, count: int, seed: int, draws: int, level: float):
        self.weights = (
            np.random.default_rng(seed)
            .multinomial(count, np.full(count, 1 / count), size=draws)
            .astype(np.float64)
        )
        self.tails = [(1 - level) / 2, (1 + level) / 2]
        self.normal = NormalDist().inv_cdf((1 + level) / 2)

    def share(self, column: np.ndarray) -> dict[str, object]:
        """Of the prompts (prompt,) that are 1 or 0, NaN left out, the share of ones: its value, low and high."""
        count, ones = int(np.isfinite(column).sum()), float(np.nansum(column))
        if not count:
            return {"value": None, "low": None, "high": None}
        value, square = ones / count, self.normal**2
        middle, scale = (ones + square / 2) / (count + square), self.normal / (count + square)
        reach = scale * np.sqrt(count * value * (1 - value) + square / 4)
        return {"value": value, "low": float(max(middle - reach, 0)), "high": float(min(middle + reach, 1))}

    def __call__(
        self, *columns: np.ndarray, of: Callable[..., np.ndarray] = lambda mean: mean
    ) -> dict[str, object]:
        """A statistic ``of`` means over prompts, columns (prompt,), NaN left out: its value, low and high."""
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(
                of(*(np.nanmean(column) if np.isfinite(column).any() else np.nan for column in columns))
            )
            draws = of(
                *(
                    self.weights @ np.nan_to_num(column) / (self.weights @ np.isfinite(column))
                    for column in columns
                )
            )
        finite = draws[np.isfinite(draws)]
        low, high = np.quantile(finite, self.tails) if len(finite) else (np.nan, np.nan)
        return {"value": _plain(value), "low": _plain(low), "high": _plain(high)}


def _split(cells: list[xr.Dataset], interval: _Bootstrap) -> dict[str, object]:
    @cache
    def column(name: str) -> np.ndarray:  # (prompt, …) float64, missing as NaN
        values = np.stack([cell[name].values for cell in cells]).astype(np.float64)
        return np.where(values < 0, np.nan, values) if "rank" in name else values

    def answers(
        group: str, place: tuple
    ) -> dict[str, object]:  # what became of them, (prompt,) at one place of a group
        margin, rank = column(f"{group}_margin")[place], column(f"{group}_rank_incorrect")[place]
        return {
            "change": interval(margin - base),
            "flips": interval.share(np.where(np.isnan(margin) | (base <= 0), np.nan, margin < 0)),
            "incorrect_first": interval.share(np.where(np.isnan(rank), np.nan, rank == 1)),
        }

    first, base = cells[0], column("base_margin")
    sets, swaps, controls = [], [], []
    for c, choice in enumerate(first.choice.values.tolist()):
        for s, size in enumerate(first["size"].values.tolist()):
            names = {"choice": choice, "size": size}
            for k, kind in enumerate(first.kind.values.tolist()):
                for r, regime in enumerate(first.regime.values.tolist()):
                    sets.append(
                        {**names, "kind": kind, "regime": regime, **answers("set", (slice(None), c, s, k, r))}
                    )
            effect = np.abs(column("set_margin")[:, c, s, 0, 0] - base)
            random = _mean(np.abs(column("control_margin")[:, c, s] - base[:, None]))
            ratio = interval(effect, random, of=lambda a, b: a / b)
            controls.append(
                {**names, "effect": interval(effect), "control": interval(random), "ratio": ratio}
            )
        for s, size in enumerate(first.swap_size.values.tolist()):
            count = float(column("swap_count")[:, c, s].mean())
            swaps.append(
                {"choice": choice, "size": size, "features": count, **answers("swap", (slice(None), c, s))}
            )
    return {
        "prompts": len(cells),
        "margin": interval(base),
        "accuracy": interval.share((base > 0).astype(np.float64)),
        "sets": sets,
        "swaps": swaps,
        "controls": controls,
        "overlap": _overlap(first, column, interval),
        "prediction": _prediction(cells, interval),
        "feature_effects": _feature_effects(cells, interval),
        "faithfulness": _faithfulness(first, column, base, interval),
    }


def predictions(cells: list[xr.Dataset]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Predicted (feature, method) and measured -Δmargin (feature,) of every prompt, in nats: each distinct
    feature that was zeroed alone once, top features and their controls.
    """
    predicted: list[np.ndarray] = []
    measured: list[np.ndarray] = []
    for cell in cells:
        index, once = np.unique(cell.single_control_index.values, return_index=True)
        once = once[(index >= 0) & ~np.isin(index, cell.single_index.values)]
        after = np.concatenate(
            [cell.single_margin.values[:, 0, 0], cell.single_control_margin.values.ravel()[once]]
        )
        rows = np.concatenate(
            [
                cell.single_predicted.values,
                cell.single_control_predicted.values.reshape(-1, len(MARGIN_METHODS))[once],
            ]
        )
        known = np.isfinite(after) & np.isfinite(rows).all(axis=1)
        predicted.append(rows[known].astype(np.float64))
        measured.append(float(cell.base_margin) - after[known].astype(np.float64))
    return predicted, measured


def _overlap(first: xr.Dataset, column, interval: _Bootstrap) -> dict[str, object]:
    """How much of what matters in a prompt could be chosen on train."""
    own = first.choice.values.tolist().index("own")
    with np.errstate(invalid="ignore"):
        shared = column("set_shared") / column("set_count")[:, own]
    unseen = _mean(
        np.where(column("single_index") >= 0, np.isnan(column("single_rank")), np.nan)
    )  # no rank is NaN here
    sizes = first["size"].values.tolist()
    return {
        "unseen": interval(unseen),
        "sizes": [{"size": size, "shared": interval(shared[:, s])} for s, size in enumerate(sizes)],
    }


def _prediction(cells: list[xr.Dataset], interval: _Bootstrap) -> dict[str, object]:
    """Spearman of predicted with measured effects on the margin."""
    predicted, measured = predictions(cells)
    result: dict[str, object] = {"features": sum(map(len, measured))}
    for m, method in enumerate(MARGIN_METHODS):
        within = np.array([spearman(x[:, m], y) for x, y in zip(predicted, measured, strict=True)])
        pooled = spearman(np.concatenate(predicted)[:, m], np.concatenate(measured))
        result[method] = {"spearman": _plain(pooled), "within_prompts": interval(within)}
    return result


def _feature_effects(cells: list[xr.Dataset], interval: _Bootstrap) -> list[dict[str, object]]:
    """A row for each of what pairs of features are drawn among, regime and predictor: Spearman between
    predicted and measured share of the target's activation that zeroing the source takes away.

    size: of their sizes, as published; signed: of themselves (influence has no sign), means over prompts of
    the correlation within; pooled: of sizes, over the pairs of all prompts; by_layers: size again, by the
    layers between source and target. model: size of the prediction beside that of the replacement model's
    response, not of the measured effect; pairs: how many.
    """
    rows: list[dict[str, object]] = []
    for a, among in enumerate(cells[0].among.values.tolist()):
        layers = [cell.feature_layers.values[a] for cell in cells]
        for r, regime in enumerate(cells[0].effect_regime.values.tolist()):
            effects, responses = (
                [cell[f"feature_{name}"].values[a, :, r] for cell in cells] for name in ("effect", "response")
            )
            for predictor in PREDICTORS:
                values = (
                    responses
                    if predictor == "response"
                    else [cell[f"feature_{predictor}"].values[a] for cell in cells]
                )
                pairs = list(zip(values, effects, layers, strict=True))
                sizes = [(np.abs(x[n > 0]), np.abs(y[n > 0])) for x, y, n in pairs]
                signed = [
                    np.nan if predictor == "influence" else spearman(x[n > 0], y[n > 0]) for x, y, n in pairs
                ]
                model = [
                    spearman(x, np.abs(y[n > 0]))
                    for (x, _), y, n in zip(sizes, responses, layers, strict=True)
                ]
                by_layers = {
                    str(count): interval(
                        np.array(
                            [spearman(np.abs(x[n == count]), np.abs(y[n == count])) for x, y, n in pairs]
                        )
                    )
                    for count in sorted({int(n) for part in layers for n in np.unique(part[part > 0])})
                }
                rows.append(
                    {
                        "among": among,
                        "regime": regime,
                        "predictor": predictor,
                        "pairs": sum(len(x) for x, _ in sizes),
                        "size": interval(np.array([spearman(x, y) for x, y in sizes])),
                        "signed": interval(np.array(signed)),
                        "pooled": _plain(
                            spearman(*(np.concatenate(part) for part in zip(*sizes, strict=True)))
                        ),
                        "model": interval(np.array(model)),
                        "by_layers": by_layers,
                    }
                )
    return rows


def _faithfulness(
    first: xr.Dataset, column, base: np.ndarray, interval: _Bootstrap
) -> list[dict[str, object]]:
    rows = []
    empty = column("empty_margin")
    for s, size in enumerate(first.circuit_size.values.tolist()):
        count = column("circuit_count")[:, s]
        row: dict[str, object] = {"size": size, "features": float(count.mean())}
        for name, group in (("faithfulness", "circuit"), ("complement", "complement")):
            row[name] = interval(
                column(f"{group}_margin")[:, s],
                empty,
                base,
                of=lambda m, none, full: (m - none) / (full - none),
            )
        rows.append(row)
    return rows


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean along the last axis, NaN left out; NaN where there is nothing."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
