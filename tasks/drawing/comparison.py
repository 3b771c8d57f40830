"""The numbers of a behaviour beside published numbers and beside targets; figure and report show the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.drawing import published, style
from tasks.drawing.lettering import wrap
from tasks.drawing.numerals import bounds, printed
from tasks.drawing.plate import Plate
from tasks.drawing.published import NONE
from tasks.drawing.tables_features import Features
from tasks.drawing.tables_graphs import THRESHOLDS, Graphs, mean
from tasks.drawing.tables_interventions import Interventions
from tasks.drawing.tables_prompts import Baseline, Prompts
from tasks.parts.predictions import ACTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.settings.phases import Figures

WIDTHS = (5.1, 4.0, 3.0, 4.8)  # cm, of the columns
LINE, APART = 0.36, 0.10  # cm, from line to line, and more from row to row
AMONG = {"graph": "whole", "pruned": "pruned"}  # part of a graph → its name
ASIDE = re.compile(r" \([^)]*\)")  # what the figure leaves out, and the report says: intervals
EVERY = 100_000  # a set that is asked to be as large holds all features


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
    accuracy, margin = f"{(baseline.margin > 0).mean():.3f}", printed(baseline.margin.mean())
    answers = [
        Row("accuracy (positive margin)", NONE, "", accuracy),
        Row("mean margin, nats", NONE, "", margin),
    ]
    case = published.CASES.get(study["behaviour"], NONE)
    known, source = case != NONE, published.BIOLOGY if case != NONE else ""
    here = {
        "completeness": both(attribution.completeness, attribution.pruned["completeness"], ".3f"),
        "replacement": both(attribution.replacement, attribution.pruned["replacement"], ".3f"),
        "path": both(attribution.path_length, attribution.pruned["path_length"], ".2f"),
        "nodes": f"{np.median(attribution.kept[:, THRESHOLDS.index(0.8)]):,.0f}",
        "prediction": each_graph(
            lambda among: influence(
                interventions.feature_effects(split, among=among, regime="constrained", predictor="influence")
            )
        ),
        "output": each_graph(lambda among: output(interventions.output(split, among=among, regime="free"))),
        "near": each_graph(
            lambda among: near(interventions.feature_effects(split, among=among, predictor="response"))
        ),
        "l0": f"{features.l0.mean(1).sum():.0f} ({features.l0.mean():.1f} a layer)",
        "mse": f"{features.normalised_mse.mean():.1%}; last token: {features.last_mse.mean():.1%}"
        if features.reconstructed
        else "not measured",
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


def both(whole: np.ndarray, pruned: np.ndarray, form: str) -> str:
    """The mean over graphs (prompt,) of a number of whole graphs, and that of their pruned parts."""
    means = {"graph": whole, "pruned": pruned}
    return each_graph(
        lambda among: format(mean(means[among]), form) if np.isfinite(means[among]).any() else ""
    )


def each_graph(measured: Callable[[str], str]) -> str:
    """What is measured of whole graphs and of pruned ones, as printed; "" stands for what is not known."""
    found = {name: measured(among) for among, name in AMONG.items()}
    return "; ".join(f"{name}: {words}" for name, words in found.items() if words) or "not measured"


def influence(rows: list[dict[str, Any]]) -> str:
    """The correlation of influence with effects between features, with its interval."""
    known = [row["size"] for row in rows if row["size"]["value"] is not None]
    return ", ".join(f"{printed(size['value'])} ({bounds(size)})" for size in known)


def output(rows: list[dict[str, Any]]) -> str:
    """The correlations of what a graph says of a feature with the KL of zeroing it."""
    known = [row for row in rows if row["pooled"] is not None]
    words = ", ".join(f"{row['predictor']} {printed(row['pooled'])}" for row in known)
    first = next((row for row in known if row["acting"] is not None), None)
    if first is None:
        return words
    return f"{words}; {first['predictor']} of those above {ACTING:g} nats {printed(first['acting'])}"


def near(rows: list[dict[str, Any]]) -> str:
    """Cosine and normalised error of the replacement model's predictions one layer on, constrained."""
    known = [row["perturbation"].get("1") for row in rows if row["regime"] == "constrained"]
    if not known or known[0] is None:
        return ""
    cosine, error = (known[0][name]["value"] for name in ("cosine", "error"))
    return f"{printed(cosine)}, {printed(error)} (pairs drawn; error: median of prompts)"


def percent(row: dict[str, Any] | None, measure: str = "incorrect_first") -> str:
    """A share with its interval and the set it belongs to."""
    if row is None:
        return "not measured"
    regime = row["regime"].replace("_", " ")
    share, interval = row[measure]["value"], bounds(row[measure], ".0%")
    size = f"{'all ' if row['asked'] >= EVERY else ''}{row['size']:,}"
    words = f"{share:.0%} with {size} features, {published.CHOICES[row['choice']]} ({interval}; {regime})"
    return words + lying(row)


def lying(row: dict[str, Any]) -> str:
    """Where most features of a patched set lie: at the last token, they are no step in between."""
    part = row["where"].get("last")
    return "" if part is None else f"; {part:.0%} of them at the last token"


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
    heads = ("quantity", "published", "source", f"{study['behaviour']}, {study['profile']}")
    texts = [heads, *((row.quantity, row.published, row.source, ASIDE.sub("", row.here)) for row in listed)]
    points = [(width - 0.15) * look.scale * style.CM * 72 for width in WIDTHS]
    lines = [[wrap(text, room, look.size) for text, room in zip(row, points, strict=True)] for row in texts]
    tops = np.cumsum([0.15, *(APART + LINE * max(map(len, row)) for row in lines)])
    height = tops[-1] + 0.15
    figure = look.figure(style.PAGE, height, layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, style.PAGE), ylim=(height, 0))
    axes.axis("off")
    for i, row in enumerate(lines):
        for left, cell in zip(np.cumsum([0.1, *WIDTHS]), row, strict=False):
            for k, line in enumerate(cell):
                axes.text(
                    left,
                    tops[i] + APART / 2 + LINE * (k + 0.5),
                    line,
                    va="center",
                    fontsize=look.size,
                    color=style.GREY if line == NONE else "black",
                    fontweight="bold" if i == 0 else "normal",
                )
    for y, width in ((tops[0], 1.0), (tops[1], 0.5), (tops[-1], 1.0)):
        axes.plot([0.05, style.PAGE - 0.05], [y, y], color="black", linewidth=width * look.scale)
    caption = (
        f"Behaviour {study['behaviour']} with profile {study['profile']} beside published results, which are "
        f"of other models and transcoders; {NONE}: none in the two papers compared here. Scores are means "
        f"over {len(prompts.ids)} graphs, nodes a median, where published ones are of single example graphs "
        "(marked); accuracy and margin are of all prompts. Whole: all stored nodes and edges. Pruned: what "
        "pruning keeps, which is what people read. In its scores, what is hidden counts as error; paths run "
        "along its edges; effects are between its features. The patched set has the size and the way of "
        "choosing that work best on train prompts; its share is that on the test split where there is one. A "
        "set at the last token swaps what is there already, and shows no step before it. Cosine and error "
        "are "
        "of the pairs that were drawn."
    )
    yield Plate("comparison", "Comparison with published results", caption, figure)
