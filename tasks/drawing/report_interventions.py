"""The report's words and tables on interventions: what was found, beside controls and with intervals."""

from __future__ import annotations

from typing import Any

from tasks.drawing import comparison
from tasks.drawing.effects import number
from tasks.drawing.published import CHOICES, PREDICTION
from tasks.drawing.relations import PREDICTORS
from tasks.drawing.report import table
from tasks.drawing.tables_interventions import Interventions

REGIMES = {
    "constrained": "constrained, attention frozen",
    "frozen_attention": "attention frozen",
    "free": "all free",
}


def interventions(edited: Interventions) -> list[str]:
    """All of the section's words and tables."""
    return [*controlled(edited), *placed(edited), *chosen(edited), *kept(edited), *checks(edited)]


def controlled(edited: Interventions) -> list[str]:
    """Sets zeroed beside matched random sets."""
    split, summary = edited.shown
    rows = [
        [
            CHOICES[row["choice"]],
            str(row["size"]),
            str(row["prompts"]),
            ranged(row["effect"]),
            ranged(row["control"]),
            ranged(row["ratio"]),
            f"{number(row['signed'])}, {number(row['control_signed'])}",
            percent(row["exceeded"]),
            percent(row["opposite"]),
            f"{percent(row['inside'])}, {percent(row['missing'])}",
        ]
        for row in summary["controls"]
        if row["prompts"]
    ]
    if not rows:
        return []
    single = summary["singles"]
    words = (
        f"<p>Features zeroed on {split} prompts, beside random features of the same layer and position that "
        "take away as much from the MLP output (|activation| × norm of the decoder row; outside the caliper, "
        "their edit is scaled). A prompt counts if every feature of its set has a control. Random features "
        "have either sign, so those of a set cancel in part; zeroed one at a time, features of largest "
        f"attribution change the margin {ranged(single['ratio'])} times as much per unit taken away as their "
        "controls.</p>"
    )
    heads = [
        "set",
        "features",
        "prompts",
        "|Δm|, nats",
        "of controls",
        "ratio",
        "Δm, of controls",
        "controls ≥ set",
        "controls of opposite sign",
        "in caliper, missing",
    ]
    return [words, table(heads, rows, tight=True)]


def placed(edited: Interventions) -> list[str]:
    """Where in the prompt patching works."""
    split, summary = edited.shown
    rows = [
        [
            row["place"],
            row["depth"],
            number(row["features"], ".0f"),
            ranged(row["change"]),
            share(row["flips"]),
            share(row["incorrect_first"]),
        ]
        for row in summary["places"]
        if row["change"]["value"] is not None
    ]
    if not rows:
        return []
    by = {row["place"]: row for row in summary["places"] if row["depth"] == "all"}
    says = [f"{name} {percent(by[name]['flips'])}" for name in by if by[name]["flips"]["value"] is not None]
    best = edited.chosen_patch("flips")
    words = f"<p>All features of a place patched from the partner, {split} prompts. Answers flipped: "
    words += f"{'; '.join(says)}. The contrast is where the partner has another token, the last position is "
    words += (
        "where the answer is predicted, and between lies what is after the contrast and before the last. "
    )
    words += "A result that is computed between the words and the answer shows where patching these places "
    words += "alone changes the answer; where only the last position does, nothing is shown of an "
    words += "intermediate result elsewhere."
    if best is not None:
        parts = ", ".join(f"{name} {part:.0%}" for name, part in best["where"].items() if part)
        words += (
            f" Of the set that patches best on train ({comparison.percent(best, 'flips')}), the features "
        )
        words += f"lie at: {parts}."
    heads = ["place", "layers", "features", "Δm, nats", "answers flipped", "partner's answer first"]
    return [f"{words}</p>", table(heads, rows)]


def kept(edited: Interventions) -> list[str]:
    """Faithfulness against the partner's activations: areas, beside random circuits."""
    split, summary = edited.shown
    found = summary["counterfactual"]
    empty = summary["empty_share"]
    rows = [
        [name, ranged(found[key]["cpr"]), ranged(found[key]["cmd"])]
        for name, key in (("circuit", "circuit"), ("random, equal size", "random"))
        if found[key]["cpr"]["value"] is not None
    ]
    words = (
        f"<p>Faithfulness is 0 where all features are replaced. That leaves {percent(empty['configured'])} "
        f"of the margin on {split} prompts when they are replaced as in the figure, and "
        f"{percent(empty['partner'])} when they are replaced by the partner's: error terms, attention and "
        "embeddings stay."
    )
    if not rows:
        return [f"{words}</p>"]
    words += (
        " The areas are under the curve of faithfulness against the partner's activations, over the share of "
        "features kept: CPR = ∫ f (best large), CMD = ∫ |1 − f| (best 0). Components are features at "
        "positions, where MIB's are edges or nodes of the model, so its numbers do not compare.</p>"
    )
    return [words, table(["kept", "CPR", "CMD"], rows)]


def chosen(edited: Interventions) -> list[str]:
    """How many of the features that matter in a prompt are chosen on train prompts, too."""
    split, summary = edited.shown
    effects = {(row["choice"], row["size"]): row["effect"] for row in summary["controls"]}
    rows = [
        [
            str(row["size"]),
            percent(row["shared"]),
            *(ranged(effects[choice, row["size"]]) for choice in ("own", "circuit")),
        ]
        for row in summary["overlap"]["sizes"]
        if row["shared"]["value"] is not None
    ]
    if not rows:
        return []
    words = (
        "<p>Features chosen on train are those of largest mean attribution there that are active in the "
        "prompt. The less of what a prompt's own graph puts first is among them, the less one circuit "
        f"explains. Of the {split} prompts' first features, {percent(summary['overlap']['unseen'])} were "
        "active in no train prompt.</p>"
    )
    heads = [
        "features",
        "of own also chosen on train",
        "|change of margin|, own, nats",
        "the same, chosen on train",
    ]
    return [words, table(heads, rows)]


def checks(edited: Interventions) -> list[str]:
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
        f"is of sizes, as in the published check (influence, whole graph, constrained: {PREDICTION}).</p>"
    ]
    if published := edited.feature_effects(split, among="graph", regime="constrained"):
        words.append(_where_predictions_fail(published))
    rest = "<p>The same between features that pruning kept, which are the ones that people read:</p>"
    pruned = [rest, table(heads, more)] if more else []
    return [*words, table(heads, rows), *pruned, *output(edited), *perturbed(edited)]


def _where_predictions_fail(rows: list[dict[str, Any]]) -> str:
    """What the three predictors of effects between features say together."""
    influence, edge, response = (next(row for row in rows if row["predictor"] == name) for name in PREDICTORS)
    by_layers = response["by_layers"]
    near, far = (f"{number(by_layers[n])} ({n})" for n in (min(by_layers), max(by_layers)))
    return (
        "<p>Influence relates an edge to all that enters the target, the effect to the activation that is "
        f"left of it: related to the activation, the same edges reach ρ = {number(edge['size'])} where "
        f"influence reaches {number(influence['size'])}. Influence follows what the replacement model itself "
        f"does at ρ = {number(influence['model'])}; what the replacement model does follows the real model "
        f"at ρ = {number(response['size'])}, from {near} to {far} by the number of layers between source and "
        "target: it leaves out what the transcoders do not reconstruct, features that were silent, and "
        "norms.</p>"
    )


def ranged(row: dict[str, Any]) -> str:
    """A statistic with its interval."""
    return "" if row["value"] is None else f"{number(row)} ({comparison.bounds(row, '.2f')})"


def percent(row: dict[str, Any]) -> str:
    """A share as printed."""
    return number(row, ".0%")


def share(row: dict[str, Any]) -> str:
    """A share with its interval, as printed."""
    return "" if row["value"] is None else f"{percent(row)} ({comparison.bounds(row, '.0%')})"


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
        ]
        for row in edited.feature_effects(split, among="graph", predictor="response")
        for layers, found in row["perturbation"].items()
    ]
    if not rows:
        return []
    words = (
        "<p>Perturbation faithfulness: the changes of activations downstream that the replacement model "
        "predicts, beside the measured ones: cosine, and squared error as a share of the squared change, by "
        "the number of layers downstream.</p>"
    )
    return [words, table(["regime", "layers on", "features zeroed", "cosine", "normalised error"], rows)]
