"""How well the effects of zeroing single features are predicted: on margin, output and other features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from circuitstore.circuits.methods import MARGIN_METHODS
from circuitstore.statistics.correlation import correlations, spearman
from tasks.parts.intervals import plain

if TYPE_CHECKING:
    import xarray as xr

    from tasks.parts.intervals import Intervals

PREDICTORS = ("influence", "direct", "response")
OUTPUT_PREDICTORS = ("influence", "direct", "activation")
LEAST = 1e-12  # what a logarithm is taken of is larger
ACTING = 1e-6  # nats of KL: what does less to the output does nothing
TARGETS = 3  # fewest changes of which a cosine is taken


def predictions(cells: list[xr.Dataset]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Predicted and measured effects on the margin, in nats, one array for each prompt.

    Predicted are (feature, method) float64, measured, which are -Δmargin, (feature,) float64. Each distinct
    feature that was zeroed alone occurs once, be it a top feature or a control.
    """
    predicted: list[np.ndarray] = []
    measured: list[np.ndarray] = []
    for cell in cells:
        index, once = np.unique(cell.single_control_index.values, return_index=True)
        once = once[(index >= 0) & ~np.isin(index, cell.single_index.values)]
        controls = cell.single_control_predicted.values.reshape(-1, len(MARGIN_METHODS))
        after = np.concatenate(
            [cell.single_margin.values[:, 0, 0], cell.single_control_margin.values.ravel()[once]]
        )
        rows = np.concatenate([cell.single_predicted.values, controls[once]])
        known = np.isfinite(after) & np.isfinite(rows).all(axis=1)
        predicted.append(rows[known].astype(np.float64))
        measured.append(float(cell.base_margin) - after[known].astype(np.float64))
    return predicted, measured


def check_of_margin(cells: list[xr.Dataset], intervals: Intervals) -> dict[str, object]:
    """Spearman's correlation of predicted with measured effects on the margin.

    For each method: `spearman` over all prompts together, `within_prompts` the mean over prompts;
    `features` counts the features.
    """
    predicted, measured = predictions(cells)
    result: dict[str, object] = {"features": sum(map(len, measured))}
    for m, method in enumerate(MARGIN_METHODS):
        within = np.array([spearman(x[:, m], y) for x, y in zip(predicted, measured, strict=True)])
        pooled = spearman(np.concatenate(predicted)[:, m], np.concatenate(measured))
        result[method] = {"spearman": plain(pooled), "within_prompts": intervals.mean(within)}
    return result


def check_of_features(cells: list[xr.Dataset], intervals: Intervals) -> list[dict[str, Any]]:
    """Spearman's correlation of predicted with measured effects of features on other features.

    The effect is the share of the target's activation that zeroing the source takes away. There is a row for
    each set of features that pairs are drawn `among`, each `regime` and each `predictor`:

        pairs       how many pairs
        size        correlation of sizes within a prompt, as published; mean over prompts
        signed      the same with signs (influence has none)
        pooled      correlation of sizes over the pairs of all prompts
        by_layers   `size` by the number of layers between source and target
        perturbation   by the same number, of predictor "response": `cosine` of the predicted and the measured
                    change of the drawn targets of a source, and `error`, the squared norm of their difference
                    over that of the measured change; of cosines the mean over the sources of a prompt and
                    over prompts, of errors both times the median; `sources` counts those with enough targets
        model       like `size`, but of the prediction with the response of the replacement model
    """
    rows: list[dict[str, Any]] = []
    for a, among in enumerate(cells[0].among.values.tolist()):
        layers = [cell.feature_layers.values[a] for cell in cells]
        for r, regime in enumerate(cells[0].effect_regime.values.tolist()):
            effects, responses = (
                [cell[f"feature_{name}"].values[a, :, r] for cell in cells] for name in ("effect", "response")
            )
            for predictor in PREDICTORS:
                predicted = (
                    responses
                    if predictor == "response"
                    else [cell[f"feature_{predictor}"].values[a] for cell in cells]
                )
                measures = _correlations(predictor, predicted, effects, responses, layers, intervals)
                row = {"among": among, "regime": regime, "predictor": predictor, **measures}
                if predictor == "response":
                    row["perturbation"] = _perturbation(cells, a, r, intervals)
                rows.append(row)
    return rows


def check_of_output(cells: list[xr.Dataset], intervals: Intervals) -> list[dict[str, Any]]:
    """Pearson's correlation of the logs of what a graph says of a feature and of the KL of zeroing it.

    A row for each set of features that sources are drawn `among`, each `regime` and each `predictor`
    (`OUTPUT_PREDICTORS`): `pooled` over the features of all prompts, `within_prompts` the mean over prompts,
    `features` how many have both numbers above zero. `kl` gives the least, the median and the largest KL in
    nats. `acting` is `pooled` over the `acting_features` whose KL is above `ACTING`: a correlation over
    features that do nothing is one of small numbers with small numbers.
    """
    rows: list[dict[str, Any]] = []
    for a, among in enumerate(cells[0].among.values.tolist()):
        for r, regime in enumerate(cells[0].effect_regime.values.tolist()):
            for predictor in OUTPUT_PREDICTORS:
                logs = []
                for cell in cells:
                    x = cell[f"source_{predictor}"].values[a].astype(np.float64)
                    y = cell.source_kl.values[a, :, r].astype(np.float64)
                    with np.errstate(invalid="ignore"):
                        both = (x > LEAST) & (y > LEAST)
                    logs.append(np.log(np.stack([x[both], y[both]])))
                within = np.array([float(correlations(*pair)[0]) for pair in logs])
                whole = np.concatenate(logs, axis=1)
                acting = whole[:, whole[1] > np.log(ACTING)]
                kl = np.exp(np.quantile(whole[1], (0, 0.5, 1))) if whole.size else np.full(3, np.nan)
                rows.append(
                    {
                        "among": among,
                        "regime": regime,
                        "predictor": predictor,
                        "features": whole.shape[1],
                        "pooled": plain(float(correlations(*whole)[0])),
                        "within_prompts": intervals.mean(within),
                        "kl": [plain(float(value)) for value in kl],
                        "acting": plain(float(correlations(*acting)[0])),
                        "acting_features": acting.shape[1],
                    }
                )
    return rows


def _perturbation(cells: list[xr.Dataset], a: int, r: int, intervals: Intervals) -> dict[str, Any]:
    """Cosine and normalised error of predicted changes by layers, sources with `TARGETS` targets or more.

    cosine: the mean over the sources of a prompt, then over prompts. error: the median over the sources of a
    prompt, then over prompts. worse: the share of sources whose error is above 1, that of predicting no
    change.
    """
    found: dict[int, dict[int, list[tuple[float, float]]]] = {}
    for number, cell in enumerate(cells):
        source, layers = cell.feature_source.values[a], cell.feature_layers.values[a]
        scale = cell.feature_activation.values[a]
        predicted, measured = (
            (cell[f"feature_{name}"].values[a, :, r] * scale).astype(np.float64)
            for name in ("response", "effect")
        )
        for one, count in sorted(
            {*zip(source[layers > 0].tolist(), layers[layers > 0].tolist(), strict=True)}
        ):
            x, y = (values[(source == one) & (layers == count)] for values in (predicted, measured))
            if len(x) >= TARGETS and (x @ x) * (y @ y) > 0:
                pair = float(x @ y / np.sqrt((x @ x) * (y @ y))), float((x - y) @ (x - y) / (y @ y))
                found.setdefault(int(count), {}).setdefault(number, []).append(pair)
    result: dict[str, Any] = {}
    for count, by_prompt in sorted(found.items()):
        table = np.full((len(cells), 2), np.nan)
        for number, pairs in by_prompt.items():
            # Errors have no finite mean where measured changes are small, nor have the medians of prompts.
            table[number] = np.mean([c for c, _ in pairs]), np.median([e for _, e in pairs])
        result[str(count)] = {
            "sources": sum(map(len, by_prompt.values())),
            "cosine": intervals.mean(table[:, 0]),
            "error": intervals.median(table[:, 1]),
            "worse": float(np.mean([e > 1 for pairs in by_prompt.values() for _, e in pairs])),
        }
    return result


def _correlations(
    predictor: str,
    predicted: list[np.ndarray],
    effects: list[np.ndarray],
    responses: list[np.ndarray],
    layers: list[np.ndarray],
    intervals: Intervals,
) -> dict[str, Any]:
    """The numbers of one row, from arrays (pair,) of each prompt; a pair that is none has layers -1."""
    pairs = list(zip(predicted, effects, layers, strict=True))
    sizes = [(np.abs(x[n > 0]), np.abs(y[n > 0])) for x, y, n in pairs]
    signed = [np.nan if predictor == "influence" else spearman(x[n > 0], y[n > 0]) for x, y, n in pairs]
    model = [spearman(x, np.abs(y[n > 0])) for (x, _), y, n in zip(sizes, responses, layers, strict=True)]
    distances = sorted({int(n) for part in layers for n in np.unique(part[part > 0])})
    by_layers = {
        count: [spearman(np.abs(x[n == count]), np.abs(y[n == count])) for x, y, n in pairs]
        for count in distances
    }
    pooled = spearman(*(np.concatenate(part) for part in zip(*sizes, strict=True)))
    return {
        "pairs": sum(len(x) for x, _ in sizes),
        "size": intervals.mean(np.array([spearman(x, y) for x, y in sizes])),
        "signed": intervals.mean(np.array(signed)),
        "pooled": plain(pooled),
        "model": intervals.mean(np.array(model)),
        "by_layers": {str(count): intervals.mean(np.array(each)) for count, each in by_layers.items()},
    }
