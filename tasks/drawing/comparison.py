"""A behaviour's numbers beside the published ones, and beside this project's targets; the same rows in figure
and report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.drawing import diagram, published, style
from tasks.drawing.plate import Plate
from tasks.drawing.published import NONE
from tasks.drawing.relations import PREDICTORS
from tasks.drawing.tables import THRESHOLDS, Baseline, Features, Graphs, Interventions, Prompts

WIDTHS = (5.1, 4.0, 3.0, 4.8)  # cm, of the columns
LINE = 0.46  # cm, a row's height


@dataclass(frozen=True)
class Row:
    """One quantity: what was published, where, and what was found here, as printed."""

    quantity: str
    published: str
    source: str
    here: str


@dataclass(frozen=True)
class Target:
    """Something a behaviour is to reach: the numbers, and whether it does."""

    what: str
    wanted: str
    found: str
    met: bool


def rows(
    study: dict[str, str],
    prompts: Prompts,
    baseline: Baseline,
    features: Features,
    attribution: Graphs,
    interventions: Interventions,
) -> list[Row]:
    """Every published result of the anchors, with its counterpart here."""
    split, said = interventions.shown
    accuracy, margin = f"{(baseline.margin > 0).mean():.3f}", f"{baseline.margin.mean():.2f}"
    if name := published.BEHAVIOURS.get(study["behaviour"]):
        answers = [
            Row(quantity, value, source, {"accuracy": accuracy, "margin": margin}[kind])
            for kind, quantity, value, source in name
        ]
    else:
        answers = [
            Row("accuracy (positive margin)", NONE, "", accuracy),
            Row("mean margin, nats", NONE, "", margin),
        ]
    case = published.CASES.get(study["behaviour"], NONE)
    known, source = case != NONE, published.BIOLOGY if case != NONE else ""
    agreement = {method: said["prediction"][method]["spearman"] for method in interventions.methods}
    check = interventions.feature_effects(split, among="graph", regime="constrained", predictor="influence")
    here = {
        "completeness": f"{attribution.completeness.mean():.3f}",
        "replacement": f"{attribution.replacement.mean():.3f}",
        "path": f"{np.nanmean(attribution.path_length):.2f}",
        "nodes": f"{np.median(attribution.kept[:, THRESHOLDS.index(0.8)]):.0f}",
        "prediction": f"{check[0]['size']['value']:.2f} ({bounds(check[0]['size'], '.2f')})"
        if check
        else "not measured",
        "margin": ", ".join(
            f"{method} {value:.2f}" for method, value in agreement.items() if value is not None
        )
        or "not measured",
        "l0": f"{features.l0.mean():.1f}",
        "mse": f"{features.normalised_mse.mean():.1%}",
    }
    return [
        Row("case study in On the Biology", case, source, study["behaviour"]),
        *answers,
        Row(
            "patched answer is the partner's",
            "shown, no rate" if known else NONE,
            source,
            percent(best(interventions.patched(split), "incorrect_first")),
        ),
        *(
            Row(quantity, value, "" if value == NONE else published.CT, here[kind])
            for kind, quantity, value in published.METHODS
        ),
    ]


def targets(baseline: Baseline, interventions: Interventions) -> list[Target]:
    """What every behaviour is to reach, and whether this one does."""
    split, said = interventions.shown
    right = float((baseline.margin > 0).mean())
    found = [
        Target(
            "accuracy of the model",
            f"≥ {published.ACCURACY:.0%}",
            f"{right:.1%}",
            right >= published.ACCURACY,
        )
    ]
    for row in said["controls"]:
        if row["size"] == published.RATIO_SIZE:
            what = f"zeroing {row['size']} features beside matched controls, {published.CHOICES[row['choice']]}, {split}"
            found.append(_target(what, f"≥ {published.RATIO}×", row["ratio"], ".1f", published.RATIO))
    patched = best(interventions.patched(split), "flips")
    met = patched is not None and patched["flips"]["value"] >= published.FLIPS
    what = f"answers flipped by patching from the partner, {split}"
    found.append(Target(what, f"≥ {published.FLIPS:.0%} at some size", percent(patched, "flips"), met))
    for method in interventions.methods:
        value = {"value": said["prediction"][method]["spearman"]}
        what = f"predicted and measured effects on the margin, Spearman, {method} attribution, {split}"
        found.append(_target(what, f"≥ {published.PREDICTION}", value, ".2f", published.PREDICTION))
    for row in interventions.feature_effects(split, among="graph", regime="constrained"):
        what = f"predicted and measured effects between features, Spearman, {PREDICTORS[row['predictor']]}, {split}"
        found.append(_target(what, f"≥ {published.PREDICTION}", row["size"], ".2f", published.PREDICTION))
    return found


def _target(what: str, wanted: str, row: dict[str, Any], form: str, least: float) -> Target:
    value = row["value"]
    if value is None:
        return Target(what, wanted, "not measured", False)
    return Target(
        what,
        wanted,
        format(value, form) + (f" ({bounds(row, form)})" if "low" in row else ""),
        value >= least,
    )


def best(patched: list[dict[str, Any]], measure: str) -> dict[str, Any] | None:
    """Of all sets that were patched, the row with the largest share; the smallest such set."""
    known = [row for row in patched if row[measure]["value"] is not None]
    return max(known, key=lambda row: (row[measure]["value"], -row["size"]), default=None)


def percent(row: dict[str, Any] | None, measure: str = "incorrect_first") -> str:
    """A share with its interval and the set it belongs to."""
    if row is None:
        return "not measured"
    regime = row["regime"].replace("_", " ")
    return f"{row[measure]['value']:.0%} with {row['size']} features ({bounds(row[measure], '.0%')}; {row['choice']}, {regime})"


def bounds(row: dict[str, Any], form: str) -> str:
    return "–".join("?" if row[end] is None else format(row[end], form) for end in ("low", "high"))


def table(look: style.Look, config, study, prompts, baseline, features, attribution, interventions):
    """The comparison as a typeset table."""
    listed = rows(study, prompts, baseline, features, attribution, interventions)
    height = LINE * (len(listed) + 1) + 0.3
    figure = look.figure(style.PAGE, height, layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, style.PAGE), ylim=(height, 0))
    axes.axis("off")
    heads = ("quantity", "published", "source", f"{study['behaviour']}, {study['profile']}")
    lines = [heads, *((row.quantity, row.published, row.source, row.here.split(" (")[0]) for row in listed)]
    for i, cells in enumerate(lines):
        left = 0.1
        for width, text in zip(WIDTHS, cells, strict=True):
            pale = style.GREY if text == NONE else "black"
            shown = diagram.fit(text, (width - 0.15) * look.scale * style.CM * 72, look.size) if text else ""
            weight = "bold" if i == 0 else "normal"
            axes.text(
                left,
                0.15 + LINE * (i + 0.5),
                shown,
                va="center",
                fontsize=look.size,
                color=pale,
                fontweight=weight,
            )
            left += width
    for y, width in ((0.15, 1.0), (0.15 + LINE, 0.5), (height - 0.12, 1.0)):
        axes.plot([0.05, style.PAGE - 0.05], [y, y], color="black", linewidth=width * look.scale)
    caption = (
        f"Behaviour {study['behaviour']} with profile {study['profile']} beside published results, which are of other models and "
        f"transcoders; {NONE}: nothing comparable was published. Scores are means over {len(prompts.ids)} graphs; of several shares the "
        "largest over set sizes is given, on the test split where there is one."
    )
    yield Plate("comparison", "Comparison with published results", caption, figure)
