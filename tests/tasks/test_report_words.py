"""What the report says of features, training texts, importance and pruned graphs is what was measured."""

from __future__ import annotations

import re
from copy import deepcopy

import numpy as np
import pytest
import xarray as xr
from drawn import SETTINGS

from recipes.tiny import corpus
from tasks.drawing import (
    comparison,
    effects,
    faithfulness,
    report,
    report_features,
    report_interventions,
    trained,
)
from tasks.drawing.style import Look
from tasks.drawing.tables_graphs import Circuit
from tasks.drawing.tables_prompts import Pairs
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import generate

NAMES = ("addition", "antonym", "capital", "plural")


def words(parts: list[str]) -> str:
    """Parts of the report without markup; cells are followed by a bar."""
    return re.sub(r"<[^>]*>", "", "\n".join(parts).replace("</td>", "|").replace("</tr>", "\n"))


def test_held_out_groups_are_those_of_the_recipe():
    """Of the prompts that default settings draw, all test prompts ask for what was held out."""
    drawn = {name: generate(declaration(name)) for name in NAMES}
    asked = corpus.test_groups(drawn)
    assert {name: each.groups for name, each in trained.HELD_OUT["tiny"].items()} == asked
    for name in NAMES:
        groups = [prompt.group for prompt in drawn[name] if prompt.split == "test"]
        assert trained.known("tiny", name, groups).startswith("Of 20 test prompts, 20 ask for")


def test_what_training_held_out_is_claimed_of_the_prompts_that_are_there():
    """Another draw has other test prompts; own prompts and other models are not known."""
    groups = [prompt.group for prompt in generate(declaration("plural"), seed=7) if prompt.split == "test"]
    unseen = sum(group in trained.HELD_OUT["tiny"]["plural"].groups for group in groups)
    assert unseen < len(groups)
    assert f"Of {len(groups)} test prompts, {unseen} ask for" in trained.known("tiny", "plural", groups)
    assert "is not known" in trained.known("tiny", "mine", ["", ""])
    assert "not recorded" in trained.known("qwen3-4b", "plural", groups)


def test_the_report_says_what_the_training_held_out(given):
    """In the section of the prompts, for the profile and behaviour that are reported on."""
    study = {"behaviour": "plural", "profile": "tiny"}
    assert "test prompts, 0 ask for" in report.prompts(study, given["prompts"], given["baseline"])[0]
    assert "not recorded" in report.prompts(given["study"], given["prompts"], given["baseline"])[0]


@pytest.mark.parametrize(("q", "null"), [([0.2, 0.9, np.nan], True), ([0.2, 0.01, np.nan], False)])
def test_a_null_result_on_importance_is_said(q, null):
    """Two features are tested; where neither correlation is significant, the report says so."""
    data = xr.Dataset({f"{kind}_q": ("unit", q) for kind in ("spearman", "pearson")})
    (said,) = report.importance(Circuit(data.assign(train_prompt=("train", ["a", "b", "c"]))))
    assert "of 2 features" in said and "over 3 train prompts" in said and ("null result" in said) == null
    assert f"the activation of {0 if null else 1} goes" in said


def test_importance_that_was_not_tested_is_no_null_result():
    data = xr.Dataset({f"{kind}_q": ("unit", [np.nan]) for kind in ("spearman", "pearson")})
    (said,) = report.importance(Circuit(data))
    assert "was not tested" in said and "null result" not in said


def test_reconstruction_by_role_adds_up_to_that_of_all_positions(given):
    """Positions, and each role's error over its output, computed anew from single positions."""
    table, pairs = given["features"], given["pairs"]
    rows = [row.split("|") for row in words(report_features.by_role(table, pairs)).splitlines() if "|" in row]
    assert sum(int(row[1]) for row in rows) == table.positions
    names = [row[0] for row in rows]
    assert {"contrast", "last"} <= set(names) and "first" not in names
    last = next(row for row in rows if row[0] == "last")
    errors = [
        sum(table.error_at[layer, name][-1] * table.square_at[layer, name][-1] for name in table.order)
        / sum(table.square_at[layer, name][-1] for name in table.order)
        for layer in table.layers
    ]
    assert last[3] == f"{np.mean(errors):.3f}"
    assert np.allclose(table.last_mse, errors)
    assert last[4] == f"{max(errors):.3f} (layer {table.layers[int(np.argmax(errors))]})"
    assert (
        last[2]
        == f"{np.mean([table.l0_at[layer, n][-1] for layer in table.layers for n in table.order]):.1f}"
    )


def test_many_roles_are_pooled_and_none_is_cut(given, monkeypatch):
    """Where all positions but the last are slots of their own, they are one row, and the last stays."""
    table, pairs = given["features"], given["pairs"]
    roles = {name: [*(f"slot {i}" for i in range(len(old) - 1)), "last"] for name, old in pairs.roles.items()}
    monkeypatch.setattr(report_features, "ROLES", 2)
    page = words(report_features.by_role(table, Pairs(roles)))
    rows = [row.split("|") for row in page.splitlines() if "|" in row]
    assert [row[0] for row in rows] == ["slots", "last"]
    assert [int(row[1]) for row in rows] == [table.positions - len(table.order), len(table.order)]


def test_whole_and_pruned_graphs_stand_side_by_side(given):
    """Scores, path lengths and predictions of both, each as it was measured."""
    needs = ("study", "prompts", "baseline", "features", "attribution", "interventions")
    rows = {row.quantity: row.here for row in comparison.rows(*(given[name] for name in needs))}
    graphs = given["attribution"]
    for quantity, name in (("completeness score", "completeness"), ("replacement score", "replacement")):
        whole, pruned = getattr(graphs, name).mean(), graphs.pruned[name].mean()
        assert rows[quantity] == f"whole: {whole:.3f}; pruned: {pruned:.3f}" and pruned < whole
    split, _ = given["interventions"].shown
    for among, part in comparison.AMONG.items():
        (row,) = given["interventions"].feature_effects(
            split, among=among, regime="constrained", predictor="influence"
        )
        assert f"{part}: {row['size']['value']:.2f} (" in rows["influence between features, ρ"]
        assert f"{part}: influence" in rows["influence and KL of ablation, log-log r"]


def test_steering_has_bands_of_controls(given):
    """Each panel has a band for the features and one for their matched controls, at the ends of intervals."""
    look = Look()
    with look.applied():
        (plate,) = effects.steering(look, SETTINGS, given["interventions"])
    _, summary = given["interventions"].shown
    for axes in plate.figure.axes:
        size = int(axes.get_title().split()[0])
        rows = [row for row in summary["steering"] if row["size"] == size]
        bands = [band.get_paths()[0].vertices[:, 1] for band in axes.collections]
        assert len(bands) == 2
        for name, heights in zip(("control", "change"), bands, strict=True):
            ends = [row[name][end] for row in rows for end in ("low", "high")]
            assert heights.min() == pytest.approx(min(0, *ends))
            assert heights.max() == pytest.approx(max(0, *ends))


def test_faithfulness_stands_beside_random_circuits_of_equal_size(given):
    """The axis of (a) counts features kept in a prompt; (b) has both curves at the same shares."""
    look = Look()
    with look.applied():
        (plate,) = faithfulness.faithfulness(look, SETTINGS, given["interventions"])
    by_size, by_share = plate.figure.axes
    _, summary = given["interventions"].shown
    curves = {tuple(line.get_xdata()) for line in by_size.lines if line.get_marker() == "D"}
    assert curves == {tuple(row["features"] for row in summary["faithfulness"] if row["features"] > 0)}
    rows = summary["counterfactual"]["rows"]
    drawn = [line for line in by_share.lines if len(line.get_xdata()) == len(rows) + 2]
    for name, line in zip(("circuit", "random"), drawn, strict=True):
        assert list(line.get_xdata()[1:-1]) == [row["share"]["value"] for row in rows]
        assert list(line.get_ydata()[1:-1]) == [row[name]["value"] for row in rows]
    assert "random circuits" in plate.caption.lower() and "axis counts" in plate.caption


def test_areas_say_how_much_of_them_was_measured(given):
    """The curve is straight from the largest circuit on."""
    _, summary = given["interventions"].shown
    share = summary["counterfactual"]["rows"][-1]["share"]["value"]
    page = words(report_interventions.kept(given["interventions"]))
    assert f"largest circuit keeps {share:.0%} of the features" in page and 0 < share < 1


@pytest.mark.parametrize(
    ("low", "said", "unsaid"),
    [
        (0.0, "sets of 10 show no larger effect than their controls", "no interval"),
        (0.9, "sets of 10 show no larger effect than their controls", "no interval"),
        (1.1, "", "no larger effect"),
        (None, "ratios of sets of 10 have no interval", "no larger effect"),
    ],
)
def test_a_set_is_called_no_better_than_its_controls_only_by_an_interval(given, low, said, unsaid):
    """One group of prompts gives no interval, and so neither an effect nor its absence."""
    table = deepcopy(given["interventions"])
    _, summary = table.shown
    rows = [row for row in summary["controls"] if row["choice"] == "train"]
    assert {row["size"] for row in rows} == {1, 10}
    for row in rows:
        value = {1: 3.0, 10: 1.5}[row["size"]]
        row["ratio"] = {"value": value, "low": {1: 2.0, 10: low}[row["size"]], "high": None}
        row["prompts"] = 2
    page = words(report_interventions.controlled(table))
    assert said in page and unsaid not in page
