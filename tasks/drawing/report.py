"""The report: one HTML page a behaviour that tells the story in order, with its figures, numbers and
provenance inside.

It needs no other file, no script and no network; it is readable on a phone and in dark mode (figures keep a
white ground).
"""

from __future__ import annotations

import base64
from html import escape
from typing import Any

import numpy as np

from tasks.drawing import comparison
from tasks.drawing.effects import number
from tasks.drawing.plate import Plate
from tasks.drawing.published import PREDICTION
from tasks.drawing.relations import PREDICTORS
from tasks.drawing.style import token
from tasks.drawing.tables import Baseline, Circuit, Features, Graphs, Interpretation, Interventions, Prompts

SECTIONS = {
    "prompts": "Prompts",
    "baseline": "What the model answers",
    "features": "Features",
    "interpretation": "What the features stand for",
    "graph": "Attribution graphs and the circuit",
    "interventions": "Interventions",
    "comparison": "Comparison with published results",
}
REGIMES = {
    "constrained": "constrained, attention frozen",
    "frozen_attention": "attention frozen",
    "free": "all free",
}
SHOWN = 6  # example prompts listed
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --ground: #fff; --pale: #666; --line: #ddd; --good: #00664b; --bad: #a33f00 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --ground: #16181c; --pale: #a0a0a0; --line: #3a3d44; --good: #4fd1a5; --bad: #ff9a5c }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 46rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
figure { margin: 1.5rem 0 } figure img { width: 100%; background: #fff; border-radius: 4px; padding: 6px; box-sizing: border-box }
figure.narrow img { max-width: 24rem; display: block; margin: 0 auto }
figcaption { font-size: .88rem; color: var(--pale) }
details { font-size: .8rem; color: var(--pale) } pre { white-space: pre-wrap; overflow-wrap: anywhere }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .88rem; width: 100% }
td, th { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
.met { color: var(--good) } .short { color: var(--bad); font-weight: 600 }
"""


def page(
    study: dict[str, str], sections: dict[str, list[str]], content: dict[str, str], settings: dict[str, Any]
) -> bytes:
    """The page, from the HTML of its sections; `content` are the artifacts everything was made from."""
    title = f"{study['behaviour']} · {study['profile']}"
    origin = f"<p>Profile {escape(study['profile'])}. Made by circuitstore from what lies in the store.</p>"
    body = [f"<h1>{escape(study['behaviour'])}</h1>", origin]
    for name, heading in SECTIONS.items():
        if sections.get(name):
            body += [f'<h2 id="{name}">{heading}</h2>', *sections[name]]
    said = [[phase, f"sha256:{digest}"] for phase, digest in content.items()]
    said += [[f"set {key}", str(value)] for key, value in settings.items()]
    body.append(
        '<h2 id="provenance">Provenance</h2><p>Content hashes of the artifacts that were read, and settings of the figures.</p>'
    )
    body.append(table(["artifact or setting", "value"], said, breaks=True))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{"".join(body)}</body></html>\n'.encode()


def figure(plate: Plate, svg: bytes, origin: str) -> str:
    """A figure with its caption and provenance."""
    narrow = ' class="narrow"' if plate.figure.get_figwidth() < 5 else ""
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    said = f"<b>{escape(plate.title)}.</b> {escape(plate.caption)}"
    traced = f"<details><summary>Provenance</summary><pre>{escape(origin)}</pre></details>"
    image = f'<img src="{source}" alt="{escape(plate.title)}">'
    return f'<figure{narrow} id="{plate.name}">{image}<figcaption>{said}{traced}</figcaption></figure>'


def table(heads: list[str], rows: list[list[str]], *, breaks: bool = False) -> str:
    """A table of text; a cell that begins with "<" is HTML already."""
    cells = [
        "".join(f"<td>{cell if cell.startswith('<') else escape(cell)}</td>" for cell in row) for row in rows
    ]
    style = ' style="overflow-wrap:anywhere"' if breaks else ""
    lines = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<div class="wide"{style}><table><tr>{"".join(f"<th>{escape(head)}</th>" for head in heads)}</tr>{lines}</table></div>'


def prompts(rows: Prompts, answers: Baseline) -> list[str]:
    """How many prompts there are, and the first few."""
    counts = ", ".join(f"{int((rows.split == split).sum())} {split}" for split in rows.splits)
    columns = (
        rows.text,
        rows.correct,
        rows.incorrect,
        rows.split,
        [f"{margin:.2f}" for margin in answers.margin],
    )
    listed = [list(map(str, row)) for row in zip(*columns, strict=True)][:SHOWN]
    words = f"<p>{len(rows.ids)} prompts ({counts}); features are chosen on train prompts and tested on the others. The first of them:</p>"
    return [words, table(["prompt", "correct", "incorrect", "split", "margin, nats"], listed)]


def baseline(rows: Prompts, answers: Baseline) -> list[str]:
    """Accuracy and margins by split."""
    listed = []
    for split in rows.splits:
        here = rows.split == split
        margin, first = answers.margin[here], answers.rank[here] == 1
        shares = [f"{share:.3f}" for share in ((margin > 0).mean(), first.mean())]
        listed.append([split, str(here.sum()), *shares, f"{margin.mean():.2f}", f"{np.median(margin):.2f}"])
    return [
        table(
            ["split", "prompts", "margin > 0", "correct answer first", "mean margin, nats", "median"], listed
        )
    ]


def features(found: Features) -> list[str]:
    """L0 and reconstruction by layer."""
    rows = [
        [str(layer), f"{l0:.1f}", f"{explained:.3f}", f"{nmse:.3f}"]
        for layer, l0, explained, nmse in zip(
            found.layers, found.l0.mean(1), found.explained, found.normalised_mse, strict=True
        )
    ]
    return [table(["layer", "L0", "explained variance", "normalised MSE"], rows)]


def interpretation(circuit: Circuit, found: Interpretation, count: int) -> list[str]:
    """The circuit's features with their labels, where they are most active and what they promote."""
    rows = []
    for layer, feature in circuit.top_features(count):
        i = found.unit.get((layer, feature))
        if i is None:
            continue
        kind = (
            "reviewed"
            if (layer, feature) in found.reviewed
            else f"{float(found.data.confidence.values[i]):.2f}"
        )
        shown = [
            ", ".join(token(text, 18) for text in found.tokens(name, i, 4))
            for name in ("top_token", "promoted_token", "suppressed_token")
        ]
        prompts = str(int(found.data.active_prompts.values[i]))
        rows.append([f"L{layer} #{feature}", found.printed(layer, feature) or "none", kind, prompts, *shown])
    words = "<p>Features that contribute most to the margin on train prompts. A label is the category that accounts best for the "
    words += "activation; its confidence is effect size × share of the activation inside the category.</p>"
    return [
        words,
        table(
            ["feature", "label", "confidence", "prompts active", "most active at", "promotes", "suppresses"],
            rows,
        ),
    ]


def graphs(found: Graphs) -> list[str]:
    """Both scores, and the identity that every graph obeys."""
    words = f"<p>{len(found.completeness)} graphs: completeness {found.completeness.mean():.3f}, replacement {found.replacement.mean():.3f}"
    if np.isfinite(found.identity_error).any():
        words += f"; largest relative error of the identity Σ edges + bias = pre-activation: {np.nanmax(found.identity_error):.1e}"
    return [words + ".</p>"]


def interventions(answers: Baseline, found: Interventions) -> list[str]:
    """Every target with its numbers, and what falls short."""
    listed = comparison.targets(answers, found)
    verdict = {True: '<span class="met">met</span>', False: '<span class="short">short</span>'}
    rows = [[row.what, row.wanted, row.found, verdict[row.met]] for row in listed]
    short = [row for row in listed if not row.met]
    if short:
        missed = "; ".join(f"{row.what}: {row.found} where {row.wanted} is wanted" for row in short)
        words = f'<p class="short">This behaviour falls short of {len(short)} of {len(listed)} targets: {escape(missed)}.</p>'
    else:
        words = f"<p>This behaviour reaches all {len(listed)} targets.</p>"
    return [words, table(["target", "wanted", "found", ""], rows), *chosen(found), *checks(found)]


def chosen(found: Interventions) -> list[str]:
    """How much features chosen on train can be those that matter in a prompt."""
    split, said = found.shown
    effects = {(row["choice"], row["size"]): row["effect"] for row in said["controls"]}
    rows = [
        [
            str(row["size"]),
            percent(row["shared"]),
            *(ranged(effects[choice, row["size"]]) for choice in ("own", "circuit")),
        ]
        for row in said["overlap"]["sizes"]
        if row["shared"]["value"] is not None
    ]
    if not rows:
        return []
    words = (
        "<p>Features chosen on train are those of largest mean attribution there that are active in the prompt. The less of what a "
        f"prompt's own graph puts first is among them, the less one circuit explains. Of the {split} prompts' first features, "
        f"{percent(said['overlap']['unseen'])} were active in no train prompt.</p>"
    )
    heads = [
        "features",
        "of own also chosen on train",
        "|change of margin|, own, nats",
        "the same, chosen on train",
    ]
    return [words, table(heads, rows)]


def checks(found: Interventions) -> list[str]:
    """How well effects are predicted: on the margin by attribution, between features by the graph; and where
    that is lost.
    """
    split, said = found.shown
    rows: list[list[str]] = []
    more: list[list[str]] = []
    for method in found.methods:
        row = said["prediction"][method]
        pooled = "not measured" if row["spearman"] is None else f"{row['spearman']:.2f}"
        rows.append(["margin, all free", f"{method} attribution", pooled, ranged(row["within_prompts"]), ""])
    for among in ("graph", "pruned"):
        for row in found.feature_effects(split, among=among):
            where = (
                f"features of the {'whole' if among == 'graph' else 'pruned'} graph, {REGIMES[row['regime']]}"
            )
            pooled = "" if row["pooled"] is None else f"{row['pooled']:.2f}"
            listed = rows if among == "graph" else more
            listed.append(
                [where, PREDICTORS[row["predictor"]], pooled, ranged(row["size"]), ranged(row["signed"])]
            )
    heads = ["effect on", "predicted by", "ρ, all prompts", "ρ within prompts", "ρ with sign"]
    words = [
        "<p>Prediction checks: zeroing single features, Spearman between predicted and measured effect. Between features, the effect is "
        "the share of its activation that a feature downstream loses, and ρ is of sizes, as in the published check (influence, whole "
        f"graph, constrained: {PREDICTION}).</p>"
    ]
    if published := found.feature_effects(split, among="graph", regime="constrained"):
        influence, edge, response = (
            next(row for row in published if row["predictor"] == name) for name in PREDICTORS
        )
        near, far = (
            f"{number(response['by_layers'][n])} ({n})"
            for n in (min(response["by_layers"]), max(response["by_layers"]))
        )
        words.append(
            "<p>Influence relates an edge to all that enters the target, the effect to the activation that is left of it: related to the "
            f"activation, the same edges reach ρ = {number(edge['size'])} where influence reaches {number(influence['size'])}. Influence "
            f"follows what the replacement model itself does at ρ = {number(influence['model'])}; what the replacement model does "
            f"follows the real model at ρ = {number(response['size'])}, from {near} to {far} by the number of layers between source and "
            "target: it leaves out what the transcoders do not reconstruct, features that were silent, and norms.</p>"
        )
    rest = (
        [f"<details><summary>Features that pruning kept</summary>{table(heads, more)}</details>"]
        if more
        else []
    )
    return [*words, table(heads, rows), *rest]


def ranged(row: dict[str, Any]) -> str:
    """A statistic with its interval."""
    return "" if row["value"] is None else f"{number(row)} ({comparison.bounds(row, '.2f')})"


def percent(row: dict[str, Any]) -> str:
    return number(row, ".0%")


def compared(rows: list[comparison.Row]) -> list[str]:
    """The published results as a table of text, with intervals."""
    return [
        table(
            ["quantity", "published", "source", "here"],
            [[row.quantity, row.published, row.source, row.here] for row in rows],
        )
    ]
