"""The report's words and tables on interventions: what was found, beside controls and with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.drawing import comparison, intervals
from tasks.drawing.markup import cite, table
from tasks.drawing.markup import words as words_of
from tasks.drawing.numerals import number, percent, printed, ranged, share
from tasks.drawing.published import CHOICES
from tasks.drawing.tables_interventions import FILLS, Interventions

if TYPE_CHECKING:
    from tasks.settings.phases import Figures

TYPICAL = 10  # features of a set that stands for all sizes


def interventions(edited: Interventions, config: Figures) -> list[str]:
    """What edits do, in words and tables."""
    brackets = intervals.note(config, edited.shown[1], "In brackets")
    shares = "" if edited.shown[1]["groups"] < 2 else " Those of shares are Wilson's."
    return [
        f"<p>{words_of(brackets + shares)}</p>",
        *controlled(edited),
        *steered(edited),
        *placed(edited),
        *by_kind(edited),
        *chosen(edited),
        *kept(edited),
    ]


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
            number(row["size_ratio"]),
        ]
        for row in summary["controls"]
        if row["prompts"]
    ]
    if not rows:
        return []
    single = summary["singles"]
    words = (
        f"<p>Features zeroed on {split} prompts ({cite('ablation')}, {cite('edits')}), beside random "
        "features of the same layer and position that "
        "take away as much from the MLP output (|activation| × norm of the decoder row; outside the caliper, "
        "their edit is scaled). A prompt counts if every feature of its set has a control. Random features "
        "have either sign, so those of a set cancel in part, while sets were chosen for one sign: the ratio "
        f"grows with the size of a set. {_scaled(summary['controls'])}"
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
        "size of feature / control",
    ]
    return [words, table("controls", "Sets zeroed beside matched random sets", heads, rows, tight=True)]


def _scaled(rows: list[dict[str, Any]]) -> str:
    """What scaling does to the activations of controls, by how much smaller than their features they are."""
    ratios = [row["size_ratio"]["value"] for row in rows if row["size_ratio"]["value"] is not None]
    if not ratios or max(ratios) <= 1:
        return ""
    sizes = " to ".join(dict.fromkeys(map(printed, (min(ratios), max(ratios)))))
    return (
        f"A feature is {sizes} times the size of its control (median of a set, before scaling). A control "
        "whose edit is scaled up by s goes to (1 − s) times its activation, below zero."
    )


def steered(edited: Interventions) -> list[str]:
    """For which sizes and strengths steering does no more than changing random features by as much."""
    _, summary = edited.shown
    alike: dict[int, list[float]] = {}
    for row in summary["steering"]:
        ends = [row[name][end] for name in ("change", "control") for end in ("low", "high")]
        if None not in ends and ends[0] <= ends[3] and ends[2] <= ends[1]:
            alike.setdefault(row["size"], []).append(row["strength"])
    if not summary["steering"]:
        return []
    if not alike:
        return [f"<p>Steering ({cite('steering')}): no interval of a set meets that of its controls.</p>"]
    sets = "; ".join(
        f"of {size} feature{'s' if size > 1 else ''} at {', '.join(printed(s, '+g') for s in strengths)}"
        for size, strengths in alike.items()
    )
    return [
        f"<p>Steering ({cite('steering')}): of these sets it is not shown that they change the margin more "
        "than random features that are changed by as much, for the intervals of both meet: "
        f"{sets}.</p>"
    ]


def placed(edited: Interventions) -> list[str]:
    """Where in the prompt patching works."""
    split, summary = edited.shown
    rows = [
        [
            row["place"],
            row["depth"],
            number(row["features"], ",.0f"),
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
        "where the answer is predicted, between lies what is after the contrast and before the last, and "
        "all are these three: before the contrast, both prompts are equal. "
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
    return [f"{words}</p>", table("places", "Patching all features of a place", heads, rows)]


def by_kind(edited: Interventions) -> list[str]:
    """The same by kinds of prompts: what holds of one of them may not hold of another."""
    split, _ = edited.shown
    if len(edited.by_kind) < 2:
        return []
    rows = []
    for value, summary in edited.by_kind.items():
        at_last = {row["depth"]: row["flips"] for row in summary["places"] if row["place"] == "last"}
        zeroed = [row for row in summary["controls"] if row["choice"] == "train" and row["prompts"]]
        most = min(zeroed, key=lambda row: abs(row["size"] - TYPICAL), default=None)
        ratio = "" if most is None else f"{ranged(most['ratio'])}, of {most['size']}"
        flips = (share(at_last[depth]) for depth in ("all", "lower", "upper"))
        rows.append([value, f"{summary['prompts']:,}", *flips, ratio])
    words = (
        f"<p>All other numbers are of all {split} prompts together. {cite('kinds')} has those of each kind "
        "of "
        f"prompts by itself, told apart by “{words_of(edited.kinds)}”: answers flipped by patching all "
        "features "
        "of the last position, and the effect of zeroing features chosen on train over that of their "
        "controls.</p>"
    )
    heads = [edited.kinds, "prompts", "last, all layers", "last, lower", "last, upper", "ratio to controls"]
    return [words, table("kinds", "Effects by kind of prompts", heads, rows)]


def kept(edited: Interventions) -> list[str]:
    """Faithfulness against the partner's activations: areas, beside random circuits."""
    split, summary = edited.shown
    found = summary["counterfactual"]
    empty = summary["empty_share"]
    rows = [
        [name, *(ranged(found[key][area]) for area in ("cpr", "measured", "cmd"))]
        for name, key in (("circuit", "circuit"), ("random, equal size", "random"))
        if found[key]["cpr"]["value"] is not None
    ]
    words = (
        f"<p>Faithfulness ({cite('faithfulness')}) is defined as by {cite('marks')}, but error terms, "
        "attention "
        "and embeddings stay, where they ablate error nodes too and take means over the data set; "
        f"{cite('hanna')} patch edges from another prompt, not features. Faithfulness is 0 where all "
        f"features are replaced. That leaves {percent(empty['configured'])} "
        f"of the margin on {split} prompts when they are replaced by {FILLS[summary['fill']]}, and "
        f"{percent(empty['partner'])} when they are replaced by the partner's."
    )
    if not rows:
        return [f"{words}</p>"]
    words += (
        " The areas are under the curve of faithfulness against the partner's activations, over the share of "
        f"features kept ({cite('mueller')}): CPR = ∫ f (best large), CMD = ∫ |1 − f| (best 0), which is 1 "
        "− CPR unless f "
        f"exceeds 1. The largest circuit keeps {percent(found['rows'][-1]['share'])} of the features; from "
        "there to all of them the curves are straight by definition, and nothing was measured: only the part "
        "of CPR that is called measured lies under circuits that were run. Components "
        "are features at positions, where MIB's are edges or nodes of the model, so its numbers do not "
        "compare.</p>"
    )
    heads = ["kept", "CPR", "of it, measured", "CMD"]
    return [words, table("areas", "Areas under faithfulness", heads, rows)]


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
    return [words, table("overlap", "Own features that are chosen on train", heads, rows)]
