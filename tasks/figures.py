"""Phase `figures`: what the results look like, drawn from what lies in the store and from nothing else.

`CONTENTS` is the table of contents, in the order in which a report tells the story. Each drawing names the
phases that it is given, and these make its provenance. The drawing code is in `tasks/drawing/`, one file for
each kind of figure. The same inputs give the same bytes. A drawing whose inputs hold nothing to draw yields
no figure rather than an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tasks.drawing import (
    activity,
    comparison,
    effects,
    faithfulness,
    graphs,
    margins,
    reconstruction,
    relations,
    report,
    report_features,
    report_interventions,
    report_predictions,
    scores,
    tables_features,
    tables_graphs,
    tables_interventions,
    tables_prompts,
)
from tasks.drawing.plate import Plate, provenance, render, settle
from tasks.drawing.style import Look

if TYPE_CHECKING:
    from circuitstore.engine.inputs import Upstream
    from circuitstore.storage.records import Coords
    from circuitstore.storage.reviews import Labels
    from tasks.settings.phases import Figures

Draw = Callable[..., Iterator[Plate]]

CONTENTS: tuple[
    tuple[str, Draw, tuple[str, ...]], ...
] = (  # section of the report, drawing, what it is given
    ("baseline", margins.by_category, ("prompts", "baseline")),
    ("features", reconstruction.by_layer, ("features",)),
    ("features", reconstruction.by_position, ("prompts", "baseline", "features")),
    ("interpretation", activity.heatmap, ("prompts", "features", "circuit", "interpretation")),
    ("interpretation", activity.associations, ("circuit", "interpretation")),
    ("graph", scores.graph_scores, ("prompts", "attribution")),
    ("graph", graphs.examples, ("prompts", "baseline", "attribution", "interpretation")),
    ("graph", relations.methods, ("attribution",)),
    ("graph", graphs.aggregated, ("pairs", "circuit", "interpretation")),
    ("interventions", effects.ablation, ("interventions",)),
    ("interventions", effects.edits, ("interventions",)),
    ("interventions", effects.steering, ("interventions",)),
    ("interventions", faithfulness.faithfulness, ("interventions",)),
    ("interventions", relations.predictions, ("interventions",)),
    ("interventions", relations.between_features, ("interventions",)),
    (
        "comparison",
        comparison.table,
        ("study", "prompts", "baseline", "features", "attribution", "interventions"),
    ),
)


def figures(
    cells: list[Coords],
    config: Figures,
    study: dict[str, str],
    architecture: dict[str, Any],
    review: Labels,
    prompts: Upstream,
    baseline: Upstream,
    features: Upstream,
    interpretation: Upstream,
    pairs: Upstream,
    attribution: Upstream,
    circuit: Upstream,
    interventions: Upstream,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each figure, and the report last; axis `figure` is its name.

    `study` names the behaviour, with its title and description, and the profile; `architecture` says what
    the model is (`tasks.inputs.architecture`); `review` holds the labels of reviewers.

        title, caption, section   text; the section is that of the report
        provenance                text: a line for each phase that the figure was drawn from, with the content
                                  hash of that artifact, and a line for each setting
        png, svg, pdf             (…_byte,) uint8: the file in each of `config.formats`
        html                      (html_byte,) uint8: the report; empty for figures
    """
    upstream = {
        "prompts": prompts,
        "baseline": baseline,
        "features": features,
        "interpretation": interpretation,
        "pairs": pairs,
        "attribution": attribution,
        "circuit": circuit,
        "interventions": interventions,
    }
    content = {name: phase.content({}) for name, phase in upstream.items()}
    content["review"] = tables_features.labels_hash(review)
    given = {"study": study, "architecture": architecture, **tables(config, review, **upstream)}
    settings = {name: getattr(config, name) for name in config.__struct_fields__}
    look = Look(config.style, config.sequential, config.diverging)
    sections = _words(given, config)
    number = 0
    with look.applied():
        for section, draw, needs in CONTENTS:
            for plate in map(settle, draw(look, config, *(given[name] for name in needs))):
                origin = provenance(plate.name, _sources(content, needs), settings)
                kinds = dict.fromkeys((*config.formats, "svg"))
                files = {kind: render(plate, kind, origin, config.dpi) for kind in kinds}
                number += 1
                sections[section].append(report.figure(plate, files["svg"], origin, number))
                stored = {kind: files[kind] for kind in config.formats}
                yield {"figure": plate.name}, _dataset(plate.title, plate.caption, section, origin, stored)
    origin = provenance("report", content, settings)
    title = f"Report on {study['behaviour']}"
    caption = "All figures and numbers of this behaviour in order, in one page."
    page = report.page(study, architecture, sections, content, settings)
    no_files = dict.fromkeys(config.formats, b"")
    yield {"figure": "report"}, _dataset(title, caption, "report", origin, no_files, page)


def tables(
    config: Figures,
    review: Labels,
    prompts: Upstream,
    baseline: Upstream,
    features: Upstream,
    interpretation: Upstream,
    pairs: Upstream,
    attribution: Upstream,
    circuit: Upstream,
    interventions: Upstream,
) -> dict[str, Any]:
    """What drawings are given, by the phase that it is made from."""
    rows, answers = tables_prompts.Prompts.of(prompts), tables_prompts.Baseline.of(baseline)
    examples = tables_prompts.examples(rows, answers, config.examples)
    return {
        "prompts": rows,
        "baseline": answers,
        "features": tables_features.Features.of(features),
        "pairs": tables_prompts.Pairs.of(pairs),
        "interpretation": tables_features.Interpretation.of(interpretation, review),
        "attribution": tables_graphs.Graphs.of(attribution, examples),
        "circuit": tables_graphs.Circuit.of(circuit),
        "interventions": tables_interventions.Interventions.of(interventions, config, rows),
    }


def _sources(content: dict[str, str], needs: tuple[str, ...]) -> dict[str, str]:
    """The content hashes of what a drawing is given.

    Where features have labels, the labels of reviewers are among it.
    """
    names = (*needs, "review") if "interpretation" in needs else needs
    return {name: content[name] for name in names if name in content}


def _words(given: dict[str, Any], config: Figures) -> dict[str, list[str]]:
    """The words and tables that stand before the figures of each section of the report."""
    sections: dict[str, list[str]] = {name: [] for name in report.SECTIONS}
    sections["prompts"] = report.prompts(given["study"], given["prompts"], given["baseline"])
    sections["baseline"] = report.baseline(given["prompts"], given["baseline"])
    sections["features"] = [
        *report_features.features(
            given["features"], given["interpretation"], given["architecture"]["layers"]
        ),
        *report_features.by_role(given["features"], given["pairs"]),
    ]
    sections["interpretation"] = report_features.interpretation(
        given["circuit"], given["interpretation"], config.heatmap_features
    )
    sections["graph"] = [*report.graphs(given["attribution"]), *report.importance(given["circuit"])]
    edited = given["interventions"]
    sections["interventions"] = [
        *report_interventions.interventions(edited, config),
        *report_predictions.predictions(edited),
    ]
    names = ("study", "prompts", "baseline", "features", "attribution", "interventions")
    sections["comparison"] = report.compared(comparison.rows(*(given[name] for name in names)))
    return sections


def _dataset(
    title: str, caption: str, section: str, origin: str, files: Mapping[Any, bytes], page: bytes = b""
) -> xr.Dataset:
    """The dataset of a figure, with its files by format, or of the report, with its page."""
    texts = {"title": title, "caption": caption, "section": section, "provenance": origin}
    variables: dict[str, Any] = {name: ((), np.array(text, dtype=str)) for name, text in texts.items()}
    for kind, data in {**files, "html": page}.items():
        variables[kind] = (f"{kind}_byte", np.frombuffer(data, dtype=np.uint8))
    return xr.Dataset(variables, attrs={"structure": "tree"})
