"""Phase `figures`: what the results look like, drawn from what lies in the store and from nothing else.

`CONTENTS` is the table of contents, in the order in which a report tells the story; each drawing names the
phases that it is given, and these make its provenance. The drawing code is in `tasks/drawing/`, one file a
kind of figure. The same inputs give the same bytes. A drawing whose inputs hold nothing to draw yields no
figure rather than an empty one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from tasks.drawing import (
    activity,
    comparison,
    effects,
    graphs,
    margins,
    reconstruction,
    relations,
    report,
    scores,
    tables,
)
from tasks.drawing.plate import provenance, render, settle
from tasks.drawing.style import Look

CONTENTS = (  # section of the report, drawing, what it is drawn from
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
    ("interventions", effects.faithfulness, ("interventions",)),
    ("interventions", relations.predictions, ("interventions",)),
    ("interventions", relations.between_features, ("interventions",)),
    (
        "comparison",
        comparison.table,
        ("study", "prompts", "baseline", "features", "attribution", "interventions"),
    ),
)


def figures(
    cells,
    config,
    study,
    review,
    prompts,
    baseline,
    features,
    interpretation,
    pairs,
    attribution,
    circuit,
    interventions,
):
    """Yield one dataset a figure, and last the report; axis `figure` is its name.

    title, caption, section (of the report), provenance (a line for each phase it was drawn from, with the
    content hash of that artifact, and for each setting): text; for each of `config.formats` the file itself,
    (byte,) uint8, as `png`, `svg`, `pdf`; html (html_byte,) uint8: the report, empty for figures.
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
    content["review"] = tables.labels_hash(review)
    read = {"study": study, **_tables(config, **upstream)}
    read["interpretation"].reviewed.update({place: said.label for place, said in review.items()})
    settings = {name: getattr(config, name) for name in config.__struct_fields__}
    look = Look(config.style, config.sequential, config.diverging)
    sections = _words(read, config)
    with look.applied():
        for section, draw, needs in CONTENTS:
            for plate in map(settle, draw(look, config, *(read[name] for name in needs))):
                origin = provenance(plate.name, _sources(content, needs), settings)
                files = {
                    kind: render(plate, kind, origin, config.dpi)
                    for kind in dict.fromkeys((*config.formats, "svg"))
                }
                sections[section].append(report.figure(plate, files["svg"], origin))
                shown = {kind: files[kind] for kind in config.formats}
                yield {"figure": plate.name}, _dataset(plate.title, plate.caption, section, origin, shown)
    origin = provenance("report", content, settings)
    title, caption = (
        f"Report on {study['behaviour']}",
        "All figures and numbers of this behaviour in order, in one page.",
    )
    page = report.page(study, sections, content, settings)
    yield (
        {"figure": "report"},
        _dataset(title, caption, "report", origin, dict.fromkeys(config.formats, b""), page),
    )


def _tables(
    config, prompts, baseline, features, interpretation, pairs, attribution, circuit, interventions
) -> dict[str, Any]:
    """What drawings are given, by the phase it comes from."""
    rows, answers = tables.prompts(prompts), tables.baseline(baseline)
    shown = tables.examples(rows, answers, config.examples)
    return {
        "prompts": rows,
        "baseline": answers,
        "features": tables.features(features),
        "pairs": tables.roles(pairs),
        "interpretation": tables.interpretation(interpretation),
        "attribution": tables.attribution(attribution, shown),
        "circuit": tables.circuit(circuit),
        "interventions": tables.interventions(interventions, config),
    }


def _sources(content: dict[str, str], needs: tuple[str, ...]) -> dict[str, str]:
    """Of what a drawing is given, the hashes; where features have labels, reviewers' labels are among it."""
    read = (*needs, "review") if "interpretation" in needs else needs
    return {name: content[name] for name in read if name in content}


def _words(read: dict[str, Any], config) -> dict[str, list[str]]:
    """The numbers that stand before the figures of each section of the report."""
    sections: dict[str, list[str]] = {name: [] for name in report.SECTIONS}
    sections["prompts"] = report.prompts(read["prompts"], read["baseline"])
    sections["baseline"] = report.baseline(read["prompts"], read["baseline"])
    sections["features"] = report.features(read["features"])
    sections["interpretation"] = report.interpretation(
        read["circuit"], read["interpretation"], config.heatmap_features
    )
    sections["graph"] = report.graphs(read["attribution"])
    sections["interventions"] = report.interventions(read["baseline"], read["interventions"])
    names = ("study", "prompts", "baseline", "features", "attribution", "interventions")
    sections["comparison"] = report.compared(comparison.rows(*(read[name] for name in names)))
    return sections


def _dataset(
    title: str, caption: str, section: str, origin: str, files: dict[str, bytes], page: bytes = b""
) -> xr.Dataset:
    said = {"title": title, "caption": caption, "section": section, "provenance": origin}
    variables: dict[str, Any] = {name: ((), np.array(text, dtype=str)) for name, text in said.items()}
    for kind, data in {**files, "html": page}.items():
        variables[kind] = (f"{kind}_byte", np.frombuffer(data, dtype=np.uint8))
    return xr.Dataset(variables, attrs={"structure": "graph"})
