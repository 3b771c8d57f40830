"""A behaviour as a record: prompts, baseline and gate, what each phase says of itself, figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.exploring.phases import ATTRIBUTION, BASELINE, FIGURES, Built, column

PICTURES = {"svg": "image/svg+xml", "png": "image/png"}  # what a browser shows, in this order


def of_behaviour(built: Built) -> dict[str, Any]:
    """The record of a behaviour. Margins are in nats, NaN where phase `baseline` is not built."""
    margins = np.full(len(built.prompts), np.nan)
    answers: list[list[Any]] = [[] for _ in built.prompts]
    for name, cell in built.cells(BASELINE) if BASELINE in built.phases else ():
        i = built.place[name]
        margins[i] = float(cell.logit_difference)
        top = zip(map(str, cell.top_text.values), cell.top_log_prob.values.tolist(), strict=True)
        answers[i] = list(map(list, top))
    has_graph = set()
    if ATTRIBUTION in built.phases:
        has_graph = set(map(str, built.artifact(ATTRIBUTION).coordinates("prompt")))
    return {
        "behaviour": built.behaviour,
        "profile": built.profile,
        "prompts": [
            {
                "id": name,
                "tokens": list(map(str, row.token_text.values)),
                **{
                    part: str(row[part].values)
                    for part in ("text", "correct", "incorrect", "split", "partner")
                },
                "roles": built.roles.get(name, []),
                "graph": name in has_graph,
                "top": answers[built.place[name]],
            }
            for name, row in built.rows.items()
        ],
        "margin": column(margins),
        "phases": {phase: _short(built.artifact(phase).summary) for phase in sorted(built.phases)},
        "figures": _figures(built),
    }


def _short(summary: dict[str, Any]) -> dict[str, Any]:
    """The numbers and texts of a summary, without its long tables."""
    short: dict[str, Any] = {}
    for name, value in summary.items():
        if isinstance(value, dict):
            short[name] = _short(value)
        elif not isinstance(value, list):
            short[name] = value
    return short


def _figures(built: Built) -> list[dict[str, str]]:
    if FIGURES not in built.phases:
        return []
    return [
        {"name": name, "title": str(figure.title.values), "section": str(figure.section.values)}
        for name, figure in built.cells(FIGURES, "figure")
        if _picture(figure)
    ]


def of_figure(built: Built, name: str) -> dict[str, Any]:
    """One figure: its picture, title, caption and what it was drawn from. Raises UsageError."""
    figure = built.cell(FIGURES, name, "figure")
    texts = {part: str(figure[part].values) for part in ("title", "caption", "provenance")}
    kind = _picture(figure)
    picture = figure[kind].values if kind else np.zeros(0, dtype=np.uint8)
    return {"name": name, **texts, "kind": PICTURES.get(kind, ""), "picture": picture}


def _picture(figure: Any) -> str:
    return next((kind for kind in PICTURES if kind in figure and figure[kind].size), "")
