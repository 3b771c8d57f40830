"""The report's words and tables on predictions: how well graphs foretell what zeroing a feature does."""

from __future__ import annotations

from typing import Any

from tasks.drawing.markup import cite, table
from tasks.drawing.numerals import number, printed, ranged
from tasks.drawing.published import PREDICTION
from tasks.drawing.relations import PREDICTORS
from tasks.drawing.tables_interventions import Interventions
from tasks.parts.predictions import ACTING, TARGETS

REGIMES = {
    "constrained": "constrained, attention frozen",
    "frozen_attention": "attention frozen",
    "free": "all free",
}
TARGETED = (
    "The changes are those of the targets that were drawn: features active in the prompt, for sources with "
    "at "
    f"least {TARGETS} of them in a layer. Features that were silent, and the rest of a layer, are left out."
)


def predictions(edited: Interventions) -> list[str]:
    """How well effects are predicted: on the margin by attribution, between features by the graph."""
    split, summary = edited.shown
    rows: list[list[str]] = []
    more: list[list[str]] = []
    for method in edited.methods:
        row = summary["prediction"][method]
        pooled = "not measured" if row["spearman"] is None else printed(row["spearman"])
        rows.append(["margin, all free", f"{method} attribution", pooled, ranged(row["within_prompts"]), ""])
    for among in ("graph", "pruned"):
        for row in edited.feature_effects(split, among=among):
            graph = "whole" if among == "graph" else "pruned"
            target = f"features of the {graph} graph, {REGIMES[row['regime']]}"
            pooled = "" if row["pooled"] is None else printed(row["pooled"])
            listed = rows if among == "graph" else more
            listed.append(
                [target, PREDICTORS[row["predictor"]], pooled, ranged(row["size"]), ranged(row["signed"])]
            )
    heads = ["effect on", "predicted by", "ρ, all prompts", "ρ within prompts", "ρ with sign"]
    words = [
        f"<p>Prediction checks ({cite('prediction')}, {cite('influence')}): zeroing single features, "
        "Spearman between predicted and measured effect. "
        "Between features, the effect is the share of its activation that a feature downstream loses, and ρ "
        f"is of sizes, as in the published check ({cite('ameisen')}; influence, whole graph, constrained: "
        f"{PREDICTION}). "
        f"{_by_margin(summary['prediction'])}</p>"
    ]
    if published := edited.feature_effects(split, among="graph", regime="constrained"):
        words.append(_where_predictions_fail(published))
    rest = "<p>The same between features that pruning kept, which are the ones that people read:</p>"
    of_pruned = "Predicted and measured effects in pruned graphs"
    pruned = [rest, table("predictions-pruned", of_pruned, heads, more)] if more else []
    whole = table("predictions", "Predicted and measured effects", heads, rows)
    return [*words, whole, *pruned, *output(edited), *perturbed(edited)]


def _by_margin(prediction: dict[str, Any]) -> str:
    """What the predictors of effects on the margin are for, and whether the edges that are drawn are best."""
    words = (
        "Direct attribution is the edge of the graph: what a feature adds when nothing else reacts. Total "
        "attribution follows paths through features, the gradient everything, to first order "
        f"({cite('syed')}). These three predict what one feature does alone. Integrated attribution "
        f"({cite('marks')}; {cite('hanna')}) shares out what taking away all nodes of a layer at once does: "
        "it stands beside them for comparison."
    )
    direct, gradient = (prediction[name]["spearman"] for name in ("direct", "gradient"))
    if direct is not None and gradient is not None and gradient > direct:
        words += (
            " Here direct edges, which the graphs show, order the effects of zeroing at ρ = "
            f"{printed(direct)}, "
            f"and the gradient at {printed(gradient)}: direct edges alone order the effects less well."
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
    found = edited.output(split, regime="free")
    rows = [
        [
            "whole" if row["among"] == "graph" else "pruned",
            row["predictor"],
            f"{row['features']:,}",
            "" if row["pooled"] is None else printed(row["pooled"]),
            ranged(row["within_prompts"]),
            f"{row['acting_features']:,}",
            "" if row["acting"] is None else printed(row["acting"]),
        ]
        for row in found
    ]
    if not rows:
        return []
    low, middle, high = (f"{value:.0e}".replace("-", "−") for value in found[0]["kl"])
    words = (
        "<p>On the output: Pearson's r of the logs of what the graph says of a feature (its influence, its "
        "direct edges to the logits, its activation) and of the KL between the model's next-token "
        "distribution and that of the model with the feature zeroed, all free. Features are drawn at "
        f"random. In {'whole' if found[0]['among'] == 'graph' else 'pruned'} graphs their KL reaches from "
        f"{low} to {high} nats, with a median of {middle}. Where most features do nothing, r says that small "
        f"numbers go with small ones: the last column has those alone whose KL is above {ACTING:g} nats.</p>"
    )
    heads = [
        "graph",
        "predicted by",
        "features",
        "r, all prompts",
        "r within prompts",
        "acting",
        "r of these",
    ]
    return [words, table("output", "Predicted effects on the output", heads, rows)]


def perturbed(edited: Interventions) -> list[str]:
    """How well the replacement model predicts what zeroing a feature does, by layers downstream."""
    split, _ = edited.shown
    rows = [
        [
            REGIMES[row["regime"]],
            layers,
            f"{found['sources']:,}",
            ranged(found["cosine"]),
            ranged(found["error"]),
            printed(found["worse"], ".0%"),
        ]
        for row in edited.feature_effects(split, among="graph", predictor="response")
        for layers, found in row["perturbation"].items()
    ]
    if not rows:
        return []
    words = (
        "<p>Perturbation faithfulness: the changes of activations downstream that the replacement model "
        "predicts, beside the measured ones, by the number of layers downstream: cosine, and squared error "
        f"as a share of the squared change. {TARGETED} Cosines are means over the features zeroed in a "
        "prompt, then over prompts. Errors have no finite mean where measured changes are small: they are "
        "medians over the features zeroed in a prompt, then over prompts. Above 1 it is worse than to "
        "predict "
        "no change.</p>"
    )
    heads = ["regime", "layers on", "features zeroed", "cosine", "error, median of prompts", "error above 1"]
    return [words, table("perturbations", "Perturbation faithfulness", heads, rows)]
