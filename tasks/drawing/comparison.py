"""The numbers of a behaviour beside published numbers and beside targets; figure and report show the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.drawing import diagram, published, style
from tasks.drawing.plate import Plate
from tasks.drawing.published import NONE
from tasks.drawing.tables_features import Features
from tasks.drawing.tables_graphs import THRESHOLDS, Graphs
from tasks.drawing.tables_interventions import Interventions
from tasks.drawing.tables_prompts import Baseline, Prompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.settings.phases import Figures

WIDTHS = (5.1, 4.0, 3.0, 4.8)  # cm, of the columns
LINE = 0.46  # cm, a row's height


@dataclass(frozen=True)
class Row:
    """One quantity as printed: what was published, where, and what was measured here."""

    quantity: str
    published: str
    source: str
    here: str


def rows(
    study: dict[str, str],
    prompts: Prompts,
    baseline: Baseline,
    features: Features,
    attribution: Graphs,
    interventions: Interventions,
) -> list[Row]:
    """Every published result of `tasks.drawing.published`, with its counterpart here."""
    split, _ = interventions.shown
    accuracy, margin = f"{(baseline.margin > 0).mean():.3f}", f"{baseline.margin.mean():.2f}"
    answers = [
        Row("accuracy (positive margin)", NONE, "", accuracy),
        Row("mean margin, nats", NONE, "", margin),
    ]
    case = published.CASES.get(study["behaviour"], NONE)
    known, source = case != NONE, published.BIOLOGY if case != NONE else ""
    output = interventions.output(split, among="graph", regime="free")
    check = interventions.feature_effects(split, among="graph", regime="constrained", predictor="influence")
    here = {
        "completeness": f"{attribution.completeness.mean():.3f}",
        "replacement": f"{attribution.replacement.mean():.3f}",
        "path": f"{np.nanmean(attribution.path_length):.2f}",
        "nodes": f"{np.median(attribution.kept[:, THRESHOLDS.index(0.8)]):.0f}",
        "prediction": f"{check[0]['size']['value']:.2f} ({bounds(check[0]['size'], '.2f')})"
        if check
        else "not measured",
        "output": ", ".join(
            f"{row['predictor']} {row['pooled']:.2f}" for row in output if row["pooled"] is not None
        )
        or "not measured",
        "near": near(interventions.feature_effects(split, among="graph", predictor="response")),
        "l0": f"{features.l0.mean(1).sum():.0f} ({features.l0.mean():.1f} a layer)",
        "mse": f"{features.normalised_mse.mean():.1%}",
    }
    return [
        Row("case study in On the Biology", case, source, study["behaviour"]),
        *answers,
        Row(
            "patched answer is the partner's",
            "shown, no rate" if known else NONE,
            source,
            percent(interventions.chosen_patch("incorrect_first")),
        ),
        *(
            Row(quantity, value, "" if value == NONE else published.CT, here[kind])
            for kind, quantity, value in published.METHODS
        ),
    ]


def near(rows: list[dict[str, Any]]) -> str:
    """Cosine and normalised error of the replacement model's predictions one layer on, constrained."""
    known = [row["perturbation"].get("1") for row in rows if row["regime"] == "constrained"]
    if not known or known[0] is None:
        return "not measured"
    cosine, error = (known[0][name]["value"] for name in ("cosine", "error"))
    return f"{cosine:.2f}, {error:.2f}"


def percent(row: dict[str, Any] | None, measure: str = "incorrect_first") -> str:
    """A share with its interval and the set it belongs to."""
    if row is None:
        return "not measured"
    regime = row["regime"].replace("_", " ")
    share, interval = row[measure]["value"], bounds(row[measure], ".0%")
    return f"{share:.0%} with {row['size']} features ({interval}; {row['choice']}, {regime})"


def bounds(row: dict[str, Any], form: str) -> str:
    """The ends of an interval, as printed."""
    return "–".join("?" if row[end] is None else format(row[end], form) for end in ("low", "high"))


def table(
    look: style.Look,
    config: Figures,
    study: dict[str, str],
    prompts: Prompts,
    baseline: Baseline,
    features: Features,
    attribution: Graphs,
    interventions: Interventions,
) -> Iterator[Plate]:
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
        f"Behaviour {study['behaviour']} with profile {study['profile']} beside published results, which are "
        f"of other models and transcoders; {NONE}: nothing comparable was published. Scores are means over "
        f"{len(prompts.ids)} graphs, where published ones are of single example graphs (marked). The patched "
        "set is the one that works best on train prompts; its share is that on the test split where there is "
        "one."
    )
    yield Plate("comparison", "Comparison with published results", caption, figure)
