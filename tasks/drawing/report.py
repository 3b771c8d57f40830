"""The report: one HTML page for a behaviour, with its figures, numbers and provenance inside.

The page needs no other file, no script and no network. It is readable on a phone and in dark mode; figures
keep a white ground.
"""

from __future__ import annotations

import base64
from html import escape
from typing import Any

import numpy as np

from tasks.drawing import comparison, markup, trained
from tasks.drawing.markup import cite, table
from tasks.drawing.numerals import printed
from tasks.drawing.plate import Plate
from tasks.drawing.style import visible
from tasks.drawing.tables_graphs import Circuit, Graphs, mean
from tasks.drawing.tables_prompts import Baseline, Prompts

SECTIONS = {
    "prompts": "Prompts",
    "baseline": "What the model answers",
    "features": "Features",
    "interpretation": "What the features stand for",
    "graph": "Attribution graphs and circuits",
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
caption { text-align: left; color: var(--pale); padding-bottom: .25rem }
td, th { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); \
vertical-align: top }
.toy { border-left: 3px solid var(--mark); padding-left: .7rem } nav { font-size: .88rem }
td:first-child { overflow-wrap: normal } .tight td, .tight th { font-size: .78rem; padding-right: .4rem; \
overflow-wrap: anywhere }
"""


def page(
    study: dict[str, str],
    architecture: dict[str, Any],
    sections: dict[str, list[str]],
    content: dict[str, str],
    settings: dict[str, Any],
) -> bytes:
    """The page, from the HTML of its sections.

    `architecture` says what the model is (`tasks.inputs.architecture`), `content` gives the content hash of
    each artifact that was read, `settings` how figures are drawn.
    """
    title = visible(f"{study['behaviour']} · {study['profile']}")
    origin = (
        f"<p>Profile {markup.words(study['profile'])}: {markup.words(_model(architecture))}. "
        "Made by circuitstore from what lies in the store.</p>"
    )
    body = [f"<h1>{markup.words(study['behaviour'])}</h1>", *_about(study), origin]
    if toy := trained.TOYS.get(study["profile"]):
        body.append(f'<p class="toy">{escape(toy)}</p>')
    shown = {name: heading for name, heading in SECTIONS.items() if sections.get(name)} | LAST_SECTIONS
    links = "".join(f'<li><a href="#{name}">{heading}</a></li>' for name, heading in shown.items())
    body.append(f"<nav><ol>{links}</ol></nav>")
    for name in (name for name in SECTIONS if name in shown):
        body += [f'<h2 id="{name}">{SECTIONS[name]}</h2>', *sections[name]]
    listed = markup.references("".join(body))
    body.append(f'<h2 id="references">{LAST_SECTIONS["references"]}</h2>{listed}')
    rows = [[phase, f"sha256:{digest}"] for phase, digest in content.items()]
    rows += [[f"set {key}", str(value)] for key, value in settings.items()]
    words = "Content hashes of the artifacts that were read, and settings of the figures."
    body.append(f'<h2 id="provenance">{LAST_SECTIONS["provenance"]}</h2><p>{words}</p>')
    heads = ["artifact or setting", "value"]
    body.append(table("artifacts", "Artifacts and settings", heads, rows, breaks=True))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{STYLE}</style>"
    html = f'<html lang="en"><head>{head}</head><body>{markup.resolved("".join(body))}</body></html>'
    return f"<!doctype html>{html}\n".encode()


def _model(architecture: dict[str, Any]) -> str:
    """What the model is: its architecture, its size, and of a repository of the hub which one."""
    words = "{name}, {layers} layers, d_model {d_model:,}".format_map(architecture)
    return f"{words}, {architecture['repo']} at {architecture['commit']}" if "repo" in architecture else words


def _about(study: dict[str, str]) -> list[str]:
    """What the behaviour is, in the words of its declaration; nothing of prompts from a file."""
    words = [study.get(name, "") for name in ("title", "description")]
    return [f"<p><b>{markup.words(words[0])}.</b> {markup.words(words[1])}</p>"] if any(words) else []


def figure(plate: Plate, svg: bytes, origin: str, number: int) -> str:
    """A figure with its number, caption and provenance."""
    narrow = ' class="narrow"' if plate.figure.get_figwidth() < 5 else ""
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    words = f"<b>Figure {number}. {markup.words(plate.title)}.</b> {markup.quoting(plate.caption)}"
    traced = f"<details><summary>Provenance</summary><pre>{markup.words(origin)}</pre></details>"
    image = f'<img src="{source}" alt="{markup.words(plate.title)}">'
    return f'<figure{narrow} id="{plate.name}">{image}<figcaption>{words}{traced}</figcaption></figure>'


def prompts(study: dict[str, str], rows: Prompts, answers: Baseline) -> list[str]:
    """How many prompts there are, what the model's training held out of them, and the first few."""
    counts = ", ".join(f"{int((rows.split == split).sum()):,} {split}" for split in rows.splits)
    columns = (
        rows.text,
        rows.correct,
        rows.incorrect,
        rows.split,
        map(printed, answers.margin),
    )
    listed = [list(map(str, row)) for row in zip(*columns, strict=True)][:SHOWN]
    asked = rows.group[rows.split == "test"].tolist()
    held_out = trained.known(study["profile"], study["behaviour"], asked)
    tested = (
        "tested on the others, while labels are of all prompts"
        if asked
        else "tested on the same ones, for there are no test prompts: nothing below is of unseen prompts"
    )
    words = (
        f"<p>{len(rows.ids):,} prompts ({counts}); features are chosen on train prompts and {tested}. "
        f"{escape(held_out)} {cite('first-prompts')} lists the first of them.</p>"
    )
    heads = ["prompt", "correct", "incorrect", "split", "margin, nats"]
    return [words, table("first-prompts", f"The first {len(listed)} prompts", heads, listed)]


def baseline(rows: Prompts, answers: Baseline) -> list[str]:
    """Accuracy and margins by split."""
    listed = []
    for split in rows.splits:
        here = rows.split == split
        margin, first = answers.margin[here], answers.rank[here] == 1
        shares = [f"{share:.3f}" for share in ((margin > 0).mean(), first.mean())]
        listed.append([split, f"{here.sum():,}", *shares, *map(printed, (margin.mean(), np.median(margin)))])
    heads = ["split", "prompts", "margin > 0", "correct answer first", "mean margin, nats", "median"]
    return [table("answers", "Answers by split", heads, listed)]


def importance(circuit: Circuit) -> list[str]:
    """How many features have an activation that goes with the margin over train prompts."""
    data = circuit.data
    tested = int(np.isfinite(data.spearman_q.values).sum())
    if not tested:
        return [
            "<p>Importance: no feature is active in enough train prompts (circuit.min_prompts), or their "
            "margins are all equal, so whether activations go with the margin was not tested.</p>"
        ]
    spearman, pearson = (int((data[f"{kind}_q"].values < 0.05).sum()) for kind in ("spearman", "pearson"))
    words = (
        f"<p>Importance: of {tested:,} features in a position role that are active in enough train prompts "
        f"(circuit.min_prompts), the activation of {spearman:,} goes with the margin by Spearman’s "
        f"correlation and that of {pearson:,} by Pearson’s, q &lt; 0.05 (Benjamini–Hochberg), over "
        f"{data.sizes['train']:,} train prompts. Prompts are treated as independent, though those of a "
        "lexical group are not. Pearson’s test supposes normal values, and activations that are often 0 are "
        "not: with few prompts it finds too many. "
    )
    if not spearman and not pearson:
        words += (
            "This is a null result: which prompts are answered with a larger margin is told by no single "
            "feature’s activation. "
        )
    return [f"{words}A correlation is no effect: effects are measured by interventions.</p>"]


def graphs(attribution: Graphs) -> list[str]:
    """Both scores of whole graphs and of what pruning keeps, and the identity that every graph obeys."""
    pruned = attribution.pruned
    words = (
        f"<p>{len(attribution.completeness):,} graphs: completeness {attribution.completeness.mean():.3f}, "
        f"replacement {attribution.replacement.mean():.3f}"
    )
    if np.isfinite(completeness := mean(pruned["completeness"])):
        words += (
            f"; of what pruning keeps (mean {pruned['nodes'].mean():,.0f} nodes), where what is hidden "
            f"counts as error, {completeness:.3f} and {mean(pruned['replacement']):.3f}"
        )
    if np.isfinite(attribution.identity_error).any():
        error = np.nanmax(attribution.identity_error)
        words += f"; largest relative error of the identity Σ edges + bias = pre-activation: {error:.1e}"
    if (held := attribution.kept_weight.min()) < 1:
        words += f"; of the weight of a graph's edges, the store holds {held:.1%} or more "
        words += "(attribution.max_edges)"
    words += f" ({cite('scores')})"
    meaning = (
        "Each MLP is replaced by its transcoder, and attention patterns and norms are frozen, so that edges "
        f"are products of weights and activations ({cite('dunefsky')}; {cite('ameisen')}). A circuit of n "
        "units is a part of the train prompts’ aggregated graph: the n features in a position "
        "role whose mean contribution to the margin is largest in size, and the edges between them. Features "
        "“chosen on train” are no circuit but a set to be edited in one prompt: those active there that "
        "support the answer most on train prompts."
    )
    return [f"{words}.</p><p>{meaning}</p>"]


def compared(rows: list[comparison.Row]) -> list[str]:
    """The published results as a table of text, with intervals and what a reader must know of them."""
    cells = [[row.quantity, row.published, row.source, row.here] for row in rows]
    words = (
        f"<p>Published numbers ({cite('ameisen')}; {cite('lindsey')}) are of other models, other data and, "
        "where marked, of cross-layer transcoders "
        "or of single example graphs. They give the scale, and nothing here confirms or contradicts them.</p>"
    )
    heads = ["quantity", "published", "source", "here"]
    return [words, table("published", "Beside published results", heads, cells)]
