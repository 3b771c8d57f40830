"""Captions and the report say of what intervals are, of which graph scores are, and how controls match."""

from __future__ import annotations

import re
from typing import Any

import pytest
from drawn import SETTINGS

from tasks.drawing import effects, graphs, intervals, margins, paths, relations
from tasks.drawing.report_interventions import interventions
from tasks.drawing.style import Look

SPLIT = {"groups": 8, "resampled": "lexical groups"}


def plates(draw: Any, *needs: Any) -> list[str]:
    """The captions of what a drawing yields."""
    look = Look()
    with look.applied():
        return [plate.caption for plate in draw(look, SETTINGS, *needs)]


@pytest.mark.parametrize("groups", [1, 2, intervals.FEW - 1, intervals.FEW])
def test_intervals_over_few_groups_are_warned_of(groups):
    """None is drawn over one group; over few they are too narrow."""
    said = intervals.note(SETTINGS, {**SPLIT, "groups": groups}, "In brackets")
    assert ("there are no intervals" in said) == (groups < 2)
    assert ("In brackets" in said and f"over {groups} lexical groups" in said) == (groups >= 2)
    assert ("too narrow" in said) == (2 <= groups < intervals.FEW)


def test_every_figure_with_intervals_says_over_how_many_groups(given):
    """The margins of prompts, ablation and edits; the report's tables too."""
    edited = given["interventions"]
    (margin,) = plates(margins.by_category, given["prompts"], given["baseline"])
    (ablation,) = plates(effects.ablation, edited)
    (edits,) = plates(effects.edits, edited)
    groups = edited.shown[1]["groups"]
    assert 1 < groups < intervals.FEW
    assert re.search(r"over as few as \d+ of these\. So few make intervals too narrow", margin)
    for said in (ablation, edits, interventions(edited, SETTINGS)[0]):
        assert f"over {groups} " in said and "So few make intervals too narrow" in said


def test_a_diagram_of_a_pruned_graph_has_its_scores(given):
    """Beside those of the whole graph, which are higher."""
    needs = (given[name] for name in ("prompts", "baseline", "attribution", "interpretation"))
    said = plates(graphs.examples, *needs)
    assert said
    for caption, graph in zip(said, given["attribution"].graphs.values(), strict=True):
        part = paths.numbers(graph, graph.prune_edge_mask.values)
        whole = f"whole graph {float(graph.completeness_score):.2f}"
        assert whole in caption
        assert f"of the pruned one {part.completeness:.2f} and {part.replacement:.2f}" in caption


def test_ablation_says_how_many_controls_take_away_as_much():
    """From the least to the largest share of the sets that have any."""
    rows = [{"inside": {"value": value}} for value in (0.15, None, 0.4)]
    assert "15% to 40%" in effects._matched(rows) and "scaled" in effects._matched(rows)
    assert effects._matched(rows[1:2]) == ""


@pytest.mark.parametrize(("count", "said"), [(10, ""), (relations.MOST_POINTS + 1, "One in 2 is drawn.")])
def test_dots_that_are_left_out_are_counted(count, said):
    """By how many of them one is drawn."""
    assert relations.thinned(count) == said
