"""The report's words and tables on predictions: how well graphs foretell what zeroing a feature does."""

from __future__ import annotations

from typing import Any

from tasks.drawing.effects import number
from tasks.drawing.published import PREDICTION
from tasks.drawing.relations import PREDICTORS
from tasks.drawing.report import table
from tasks.drawing.report_interventions import ranged
from tasks.drawing.tables_interventions import Interventions

REGIMES = {
    "constrained": "constrained, attention frozen",
    "frozen_attention": "attention frozen",
    "free": "all free",
}


def predictions(edited: Interventions) -> list[str]:
    """How well effects are predicted: on the margin by attribution, between features by the graph."""
    split, summary = edited.shown
    rows: list[list[str]] = []
    more: list[list[str]] = []
    for method in edited.methods:
        row = summary["prediction"][method]
        pooled = "not measured" if row["spearman"] is None else f"{row['spearman']:.2f}"
        rows.append(["margin, all free", f"{method} attribution", pooled, ranged(row["within_prompts"]), ""])
    for among in ("graph", "pruned"):
        for row in edited.feature_effects(split, among=among):
            graph = "whole" if among == "graph" else "pruned"
            target = f"features of the {graph} graph, {REGIMES[row['regime']]}"
            pooled = "" if row["pooled"] is None else f"{row['pooled']:.2f}"
            listed = rows if among == "graph" else more
            listed.append(
                [target, PREDICTORS[row["predictor"]], pooled, ranged(row["size"]), ranged(row["signed"])]
            )
    heads = ["effect on", "predicted by", "ρ, all prompts", "ρ within prompts", "ρ with sign"]
    words = [
        "<p>Prediction checks: zeroing single features, Spearman between predicted and measured effect. "
        "Between features, the effect is the share of its activation that a feature downstream loses, and ρ "
        f"is of sizes, as in the published check (influence, whole graph, constrained: {PREDICTION}). "
        f"{_by_margin(summary['prediction'])}</p>"
    ]
    if published := edited.feature_effects(split, among="graph", regime="constrained"):
        words.append(_where_predictions_fail(published))
    rest = "<p>The same between features that pruning kept, which are the ones that people read:</p>"
    pruned = [rest, table(heads, more)] if more else []
    return [*words, table(heads, rows), *pruned, *output(edited), *perturbed(edited)]


def _by_margin(prediction: dict[str, Any]) -> str:
    """What the predictors of effects on the margin are for, and whether the edges that are drawn are best."""
    words = (
        "Direct attribution is the edge of the graph: what a feature adds when nothing else reacts. Total "
        "attribution follows paths through features, the gradient everything, to first order. Integrated "
        "attribution shares out what taking away all nodes of a layer at once does, and is no prediction of "
        "one feature alone."
    )
    direct, gradient = (prediction[name]["spearman"] for name in ("direct", "gradient"))
    if direct is not None and gradient is not None and gradient > direct:
        words += (
            f" Here direct edges, which the graphs show, order the effects of zeroing at ρ = {direct:.2f}, "
            f"and the gradient at {gradient:.2f}: direct edges alone order the effects less well."
        )
    return words


def _where_predictions_fail(rows: list[dict[str, Any]]) -> str:
    """What the three predictors of effects between features say together."""
    influence, edge, response = (next(row for row in rows if row["predictor"] == name) for name in PREDICTORS)
    by_layers = response["by_layers"]
    near, far = (f"{number(by_layers[n])} ({n})" for n in (min(by_layers), max(by_layers)))
    return (
        "<p>Influence follows all paths, as shares of all that enters a target. One edge as a share of the "
        f"target's activation, to which the measured effect is related, reaches ρ = {number(edge['size'])} "
        f"where influence reaches {number(influence['size'])}. Influence follows what the replacement "
        "model itself "
        f"does at ρ = {number(influence['model'])}; what the replacement model does follows the real model "
        f"at ρ = {number(response['size'])}, from {near} to {far} by the number of layers between source and "
        "target. It leaves out what the transcoders do not reconstruct, features that were silent, and "
        "norms; "
        "which of these costs most was not measured.</p>"
    )


def output(edited: Interventions) -> list[str]:
    """What the graph says of a feature beside the KL of zeroing it."""
    split, _ = edited.shown
    rows = [
        [
            "whole" if row["among"] == "graph" else "pruned",
            row["predictor"],
            str(row["features"]),
            "" if row["pooled"] is None else f"{row['pooled']:.2f}",
            ranged(row["within_prompts"]),
        ]
        for row in edited.output(split, regime="free")
    ]
    if not rows:
        return []
    words = (
        "<p>On the output: Pearson's r of the logs of what the graph says of a feature (its influence, its "
        "direct edges to the logits, its activation) and of the KL between the model's next-token "
        "distribution and that of the model with the feature zeroed, all free. Features are drawn at "
        "random.</p>"
    )
    return [words, table(["graph", "predicted by", "features", "r, all prompts", "r within prompts"], rows)]


def perturbed(edited: Interventions) -> list[str]:
    """How well the replacement model predicts what zeroing a feature does, by layers downstream."""
    split, _ = edited.shown
    rows = [
        [
            REGIMES[row["regime"]],
            layers,
            str(found["sources"]),
            ranged(found["cosine"]),
            ranged(found["error"]),
            f"{found['worse']:.0%}",
        ]
        for row in edited.feature_effects(split, among="graph", predictor="response")
        for layers, found in row["perturbation"].items()
    ]
    if not rows:
        return []
    words = (
        "<p>Perturbation faithfulness: the changes of activations downstream that the replacement model "
        "predicts, beside the measured ones, by the number of layers downstream: cosine, and squared error "
        "as "
        "a share of the squared change. Cosines are means over the features zeroed. The error is the median "
        "over those of a prompt, for it has no finite mean where the measured change is small; above 1 it is "
        "worse than to predict no change. All numbers are then averaged over prompts.</p>"
    )
    heads = ["regime", "layers on", "features zeroed", "cosine", "normalised error, median", "error above 1"]
    return [words, table(heads, rows)]
