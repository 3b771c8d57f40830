"""The report's words and tables on interventions: what was found, beside controls and with intervals."""

from __future__ import annotations

from typing import Any

from tasks.drawing import comparison
from tasks.drawing.effects import number
from tasks.drawing.published import CHOICES
from tasks.drawing.report import table
from tasks.drawing.tables_interventions import FILLS, Interventions


def interventions(edited: Interventions) -> list[str]:
    """What edits do, in words and tables."""
    return [*controlled(edited), *placed(edited), *chosen(edited), *kept(edited)]


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
        "have either sign, so those of a set cancel in part, while sets were chosen for one sign: the ratio "
        "grows with the size of a set. Where an edit is scaled up, an activation can fall below zero."
    )
    if single["ratio"]["value"] is not None:
        words += (
            " Zeroed one at a time, features of largest attribution in the prompt's own graph change the "
            f"margin {ranged(single['ratio'])} times as much per unit taken away as their controls."
        )
    known = [row for row in summary["controls"] if row["ratio"]["value"] is not None]
    on_train = {row["size"]: row["ratio"]["low"] for row in known if row["choice"] == "train"}
    if null := [str(size) for size, low in on_train.items() if low is not None and low <= 1]:
        listed = ", ".join(null)
        words += f" Of features chosen on train, sets of {listed} show no larger effect than their controls."
    if unknown := [str(size) for size, low in on_train.items() if low is None]:
        words += f" Of features chosen on train, ratios of sets of {', '.join(unknown)} have no interval."
    words += "</p>"
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
    says = [f"{name} {share(by[name]['flips'])}" for name in by if by[name]["flips"]["value"] is not None]
    best = edited.chosen_patch("flips")
    words = f"<p>All features of a place patched from the partner, {split} prompts. Answers flipped: "
    words += f"{'; '.join(says)}. The contrast is where the partner has another token, the last position is "
    words += (
        "where the answer is predicted, and between lies what is after the contrast and before the last. "
    )
    words += "If features between these flip answers alone, they carry the difference. If they do not, "
    words += (
        "nothing follows: embeddings, attention and errors stay, and a result may form at the last position."
    )
    if best is not None:
        parts = ", ".join(f"{name} {part:.0%}" for name, part in best["where"].items() if part)
        words += (
            f" The size and way of choosing whose patch flips most answers on train flips, on {split} "
            f"prompts, {comparison.percent(best, 'flips')}; these features lie at: {parts}."
        )
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
        f"of the margin on {split} prompts when they are replaced by {FILLS[summary['fill']]}, as in the "
        "figure, and "
        f"{percent(empty['partner'])} when they are replaced by the partner's: error terms, attention and "
        "embeddings stay."
    )
    if not rows:
        return [f"{words}</p>"]
    words += (
        " The areas are under the curve of faithfulness against the partner's activations, over the share of "
        "features kept: CPR = ∫ f (best large), CMD = ∫ |1 − f| (best 0), which is 1 − CPR unless f "
        f"exceeds 1. The largest circuit keeps {percent(found['rows'][-1]['share'])} of the features; from "
        "there to all of them the curves are straight by definition, and nothing was measured. Components "
        "are features at positions, where MIB's are edges or nodes of the model, so its numbers do not "
        "compare.</p>"
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
            *(ranged(effects[choice, row["size"]]) for choice in ("own", "train")),
        ]
        for row in summary["overlap"]["sizes"]
        if row["shared"]["value"] is not None
    ]
    if not rows:
        return []
    words = (
        "<p>Features chosen on train are those of largest positive mean attribution there, active in the "
        "prompt. The less of what a prompt's own graph puts first is among them, the less one circuit "
        f"explains. Of the {split} prompts' first features, {percent(summary['overlap']['unseen'])} were "
        "active in no train prompt in the same role. Changes are over the prompts whose sets have "
        "controls.</p>"
    )
    heads = [
        "features",
        "of own also chosen on train",
        "|change of margin|, own, nats",
        "the same, chosen on train",
    ]
    return [words, table(heads, rows)]


def ranged(row: dict[str, Any]) -> str:
    """A statistic with its interval."""
    return "" if row["value"] is None else f"{number(row)} ({comparison.bounds(row, '.2f')})"


def percent(row: dict[str, Any]) -> str:
    """A share as printed."""
    return number(row, ".0%")


def share(row: dict[str, Any]) -> str:
    """A share with its interval, as printed."""
    return "" if row["value"] is None else f"{percent(row)} ({comparison.bounds(row, '.0%')})"
