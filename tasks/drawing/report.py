"""The report: one HTML page for a behaviour, with its figures, numbers and provenance inside.

The page needs no other file, no script and no network. It is readable on a phone and in dark mode; figures
keep a white ground.
"""

from __future__ import annotations

import base64
from html import escape
from typing import Any

import numpy as np

from tasks.drawing import comparison, published
from tasks.drawing.labels import printed
from tasks.drawing.plate import Plate
from tasks.drawing.style import token
from tasks.drawing.tables_features import Features, Interpretation
from tasks.drawing.tables_graphs import Circuit, Graphs
from tasks.drawing.tables_prompts import Baseline, Prompts

SECTIONS = {
    "prompts": "Prompts",
    "baseline": "What the model answers",
    "features": "Features",
    "interpretation": "What the features stand for",
    "graph": "Attribution graphs and the circuit",
    "interventions": "Interventions",
    "comparison": "Comparison with published results",
}
LAST_SECTIONS = {"references": "References", "provenance": "Provenance"}
SHOWN = 6  # example prompts listed
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --ground: #fff; --pale: #666; --line: #ddd; \
--mark: #a33f00 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --ground: #16181c; --pale: #a0a0a0; --line: #3a3d44; \
--mark: #ff9a5c }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); \
max-width: 46rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
figure { margin: 1.5rem 0 } figure img { width: 100%; background: #fff; border-radius: 4px; \
padding: 6px; box-sizing: border-box }
figure.narrow img { max-width: 24rem; display: block; margin: 0 auto }
figcaption { font-size: .88rem; color: var(--pale) }
details { font-size: .8rem; color: var(--pale) } pre { white-space: pre-wrap; overflow-wrap: anywhere }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .88rem; width: 100% }
td, th { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); \
vertical-align: top }
.toy { border-left: 3px solid var(--mark); padding-left: .7rem } nav { font-size: .88rem }
td:first-child { overflow-wrap: normal } .tight td, .tight th { font-size: .78rem; padding-right: .4rem; \
overflow-wrap: anywhere }
"""


def page(
    study: dict[str, str], sections: dict[str, list[str]], content: dict[str, str], settings: dict[str, Any]
) -> bytes:
    """The page, from the HTML of its sections.

    `content` gives the content hash of each artifact that was read, `settings` how figures are drawn.
    """
    title = f"{study['behaviour']} · {study['profile']}"
    origin = f"<p>Profile {escape(study['profile'])}. Made by circuitstore from what lies in the store.</p>"
    body = [f"<h1>{escape(study['behaviour'])}</h1>", origin]
    if toy := published.TOYS.get(study["profile"]):
        body.append(f'<p class="toy">{escape(toy)}</p>')
    shown = {name: heading for name, heading in SECTIONS.items() if sections.get(name)} | LAST_SECTIONS
    links = "".join(f'<li><a href="#{name}">{heading}</a></li>' for name, heading in shown.items())
    body.append(f"<nav><ol>{links}</ol></nav>")
    for name in (name for name in SECTIONS if name in shown):
        body += [f'<h2 id="{name}">{SECTIONS[name]}</h2>', *sections[name]]
    cited = "".join(
        f'<li><a href="{address}">{escape(text)}</a></li>' for text, address in published.REFERENCES
    )
    body.append(f'<h2 id="references">{LAST_SECTIONS["references"]}</h2><ul>{cited}</ul>')
    rows = [[phase, f"sha256:{digest}"] for phase, digest in content.items()]
    rows += [[f"set {key}", str(value)] for key, value in settings.items()]
    words = "Content hashes of the artifacts that were read, and settings of the figures."
    body.append(f'<h2 id="provenance">{LAST_SECTIONS["provenance"]}</h2><p>{words}</p>')
    body.append(table(["artifact or setting", "value"], rows, breaks=True))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{STYLE}</style>"
    html = f'<html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'
    return f"<!doctype html>{html}\n".encode()


def figure(plate: Plate, svg: bytes, origin: str, number: int) -> str:
    """A figure with its number, caption and provenance."""
    narrow = ' class="narrow"' if plate.figure.get_figwidth() < 5 else ""
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    words = f"<b>Figure {number}. {escape(plate.title)}.</b> {escape(plate.caption)}"
    traced = f"<details><summary>Provenance</summary><pre>{escape(origin)}</pre></details>"
    image = f'<img src="{source}" alt="{escape(plate.title)}">'
    return f'<figure{narrow} id="{plate.name}">{image}<figcaption>{words}{traced}</figcaption></figure>'


def table(heads: list[str], rows: list[list[str]], *, breaks: bool = False, tight: bool = False) -> str:
    """A table of text; `breaks` allows breaks within words, and `tight` smaller letters as well."""
    cells = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    style = ' style="overflow-wrap:anywhere"' if breaks else ""
    head = "".join(f"<th>{escape(head)}</th>" for head in heads)
    lines = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<div class="wide{" tight" if tight else ""}"{style}><table><tr>{head}</tr>{lines}</table></div>'


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
    words = (
        f"<p>{len(rows.ids)} prompts ({counts}); features are chosen on train prompts and tested on the "
        "others. The first of them:</p>"
    )
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


def features(measured: Features, labels: Interpretation) -> list[str]:
    """L0 and reconstruction by layer."""
    distinct = [measured.distinct_l0(layer, labels) for layer in measured.layers]
    every = [len(measured.place[layer]) / max(measured.positions, 1) for layer in measured.layers]
    columns = (measured.layers, every, distinct, measured.explained, measured.normalised_mse)
    rows = [
        [str(layer), f"{l0:.1f}", f"{once:.1f}", f"{explained:.3f}", f"{nmse:.3f}"]
        for layer, l0, once, explained, nmse in zip(*columns, strict=True)
    ]
    active, count = len(labels.unit), len(np.unique(labels.data.twin.values))
    words = (
        f"<p>The model has width {measured.d_model} and at least {measured.layers[-1] + 1} layers; here are "
        f"the transcoders of {len(measured.layers)} of them, with {measured.size:,} features each. {active} "
        f"features are active in some prompt, {count} of them distinct. Features whose encoder and decoder "
        "rows both have a cosine above 0.99 are one feature twice; distinct L0 counts them once. Both are "
        "means over positions.</p>"
    )
    heads = ["layer", "L0", "distinct L0", "explained variance", "normalised MSE"]
    return [words, table(heads, rows)]


def interpretation(circuit: Circuit, labels: Interpretation, count: int) -> list[str]:
    """The features of the circuit with their labels, where they are most active and what they promote."""
    rows = []
    for layer, feature in circuit.top_features(count):
        i = labels.unit.get((layer, feature))
        if i is None:
            continue
        reviewed = (layer, feature) in labels.reviewed
        confidence = "reviewed" if reviewed else f"{float(labels.data.confidence.values[i]):.2f}"
        shown = [
            ", ".join(token(text, 18) for text in labels.tokens(name, i, 4))
            for name in ("top_token", "promoted_token", "suppressed_token")
        ]
        active = str(int(labels.data.active_prompts.values[i]))
        named = [printed(text) for text in labels.categories(layer, feature)]
        label = labels.printed(layer, feature) if reviewed else " ≡ ".join(named) or "none"
        merit = f"{circuit.contribution(layer, feature):+.2f}"
        rows.append([f"L{layer} #{feature}", merit, label, confidence, active, *shown])
    words = (
        "<p>Features whose mean contribution to the margin on train prompts is largest in size; its sign "
        "says whether a feature supports the correct answer (+) or the incorrect one (−). A label is the "
        "category that accounts best for the activation; its confidence is effect size × share of the "
        "activation inside the category. “≡” joins categories that account for it equally well, the first "
        "being one whose value the feature promotes, if any is: the activations cannot tell which of them "
        f"the feature stands for.{confounded(labels)}</p>"
    )
    heads = ["feature", "nats", "label", "confidence", "prompts", "most active at", "promotes", "suppresses"]
    return [words, table(heads, rows, tight=True)]


def confounded(labels: Interpretation) -> str:
    """What the design of the prompts makes impossible to tell apart; "" for nothing."""
    listed = [
        f"{' and '.join(names)} ({count} value{'s' if count > 1 else ''})"
        for names, count in labels.confounded()
    ]
    return f" By design, these hold the same observations: {escape('; '.join(listed))}." if listed else ""


def graphs(attribution: Graphs) -> list[str]:
    """Both scores, and the identity that every graph obeys."""
    words = (
        f"<p>{len(attribution.completeness)} graphs: completeness {attribution.completeness.mean():.3f}, "
        f"replacement {attribution.replacement.mean():.3f}"
    )
    if np.isfinite(attribution.identity_error).any():
        error = np.nanmax(attribution.identity_error)
        words += f"; largest relative error of the identity Σ edges + bias = pre-activation: {error:.1e}"
    return [words + ".</p>"]


def compared(rows: list[comparison.Row]) -> list[str]:
    """The published results as a table of text, with intervals and what a reader must know of them."""
    cells = [[row.quantity, row.published, row.source, row.here] for row in rows]
    words = (
        "<p>Published numbers are of other models, other data and, where marked, of cross-layer transcoders "
        "or of single example graphs. They give the scale, and nothing here confirms or contradicts them.</p>"
    )
    return [words, table(["quantity", "published", "source", "here"], cells)]
