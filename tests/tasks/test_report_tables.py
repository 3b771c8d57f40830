"""Tables of the report: under each head stands the number it names, whatever the numbers are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from tasks.drawing import comparison, report, report_features, report_interventions, report_predictions
from tasks.drawing.published import CHOICES

NUMBERS = {"pooled", "spearman", "acting", "worse"}  # of a summary, without an interval


def numbered(summary, numbers: Iterator[int]):
    """The summary with another number in every place, so that no two columns look alike."""
    if isinstance(summary, list):
        return [numbered(each, numbers) for each in summary]
    if not isinstance(summary, dict):
        return summary
    if set(summary) == {"value", "low", "high"}:
        value = next(numbers) / 100
        return {"value": value, "low": value - 0.3, "high": value + 0.4}
    return {
        name: next(numbers) / 100 if name in NUMBERS else numbered(each, numbers)
        for name, each in summary.items()
    }


@pytest.fixture
def table(given):
    """What the report is given of interventions, with numbers that are all different."""
    made = deepcopy(given["interventions"])
    made.summary = numbered(made.summary, count(100))
    return made


def rows(parts: list[str], name: str) -> list[dict[str, str]]:
    """The rows of the table of this name, cell by head."""
    (found,) = re.findall(rf'<table id="{name}">(.*?)</table>', "".join(parts), re.DOTALL)
    heads = re.findall("<th>(.*?)</th>", found)
    lines = re.findall("<tr>(.*?)</tr>", found)[1:]
    return [dict(zip(heads, re.findall("<td>(.*?)</td>", line), strict=True)) for line in lines]


def plain(statistic: dict) -> str:
    return f"{statistic['value']:.2f}"


def whole(statistic: dict) -> str:
    return f"{plain(statistic)} ({statistic['low']:.2f}–{statistic['high']:.2f})"


def part(statistic: dict) -> str:
    return f"{statistic['value']:.0%}"


def words(parts: list[str]) -> str:
    return re.sub("<[^>]*>", "", "".join(parts))


def test_sets_beside_their_controls(table):
    """Effects, ratios, and the quality of the match."""
    _, summary = table.shown
    made = report_interventions.controlled(table)
    listed = rows(made, "controls")
    compared = [row for row in summary["controls"] if row["prompts"]]
    assert len(listed) == len(compared) > 1
    for cells, row in zip(listed, compared, strict=True):
        assert cells == {
            "set": CHOICES[row["choice"]].replace("'", "&#x27;"),
            "features": str(row["size"]),
            "prompts": str(row["prompts"]),
            "|Δm|, nats": whole(row["effect"]),
            "of controls": whole(row["control"]),
            "ratio": whole(row["ratio"]),
            "Δm, of controls": f"{plain(row['signed'])}, {plain(row['control_signed'])}",
            "controls ≥ set": part(row["exceeded"]),
            "controls of opposite sign": part(row["opposite"]),
            "in caliper, missing": f"{part(row['inside'])}, {part(row['missing'])}",
            "size of feature / control": plain(row["size_ratio"]),
        }
    sizes = [row["size_ratio"]["value"] for row in summary["controls"]]
    assert f"A feature is {min(sizes):.2f} to {max(sizes):.2f} times the size of its control" in words(made)
    assert f"change the margin {whole(summary['singles']['ratio'])} times" in words(made)


def test_places_that_are_patched(table):
    """Changes and both shares; of many features, the number has a comma."""
    _, summary = table.shown
    for row in summary["places"]:
        row["features"]["value"] *= 1000
    for cells, row in zip(rows(report_interventions.placed(table), "places"), summary["places"], strict=True):
        assert cells["place"] == row["place"] and cells["layers"] == row["depth"]
        assert cells["features"] == f"{row['features']['value']:,.0f}" and "," in cells["features"]
        assert cells["Δm, nats"] == whole(row["change"])
        assert cells["answers flipped"].startswith(f"{part(row['flips'])} (")
        assert cells["partner&#x27;s answer first"].startswith(f"{part(row['incorrect_first'])} (")


def test_what_circuits_keep(table):
    """Areas of the circuit and of random ones, what was measured of them, and what is left without any."""
    _, summary = table.shown
    made, found = report_interventions.kept(table), summary["counterfactual"]
    circuit, drawn = rows(made, "areas")
    for cells, areas in ((circuit, found["circuit"]), (drawn, found["random"])):
        assert cells["CPR"] == whole(areas["cpr"]) and cells["CMD"] == whole(areas["cmd"])
        assert cells["of it, measured"] == whole(areas["measured"])
    assert (circuit["kept"], drawn["kept"]) == ("circuit", "random, equal size")
    empty = summary["empty_share"]
    assert f"That leaves {part(empty['configured'])} of the margin" in words(made)
    assert f"and {part(empty['partner'])} when they are replaced by the partner's" in words(made)


def test_own_features_that_are_chosen_on_train(table):
    """The share, and the effects of both choices."""
    _, summary = table.shown
    effects = {(row["choice"], row["size"]): row["effect"] for row in summary["controls"]}
    made = report_interventions.chosen(table)
    for cells, row in zip(rows(made, "overlap"), summary["overlap"]["sizes"], strict=True):
        assert cells["of own also chosen on train"] == part(row["shared"])
        assert cells["|change of margin|, own, nats"] == whole(effects["own", row["size"]])
        assert cells["the same, chosen on train"] == whole(effects["train", row["size"]])
    assert f"first features, {part(summary['overlap']['unseen'])} were active" in words(made)


def test_predicted_effects(table):
    """Correlations of the margin and between features, of whole graphs and of pruned ones."""
    split, summary = table.shown
    made = report_predictions.predictions(table)
    listed = rows(made, "predictions")
    for cells, method in zip(listed, table.methods, strict=False):
        row = summary["prediction"][method]
        assert cells["predicted by"] == f"{method} attribution"
        assert cells["ρ, all prompts"] == f"{row['spearman']:.2f}"
        assert cells["ρ within prompts"] == whole(row["within_prompts"])
    graphs = {"graph": listed[len(table.methods) :], "pruned": rows(made, "predictions-pruned")}
    for among, cells_of in graphs.items():
        for cells, row in zip(cells_of, table.feature_effects(split, among=among), strict=True):
            assert cells["ρ, all prompts"] == f"{row['pooled']:.2f}"
            assert cells["ρ within prompts"] == whole(row["size"])
            assert cells["ρ with sign"] == whole(row["signed"])
    influence, edge, response = table.feature_effects(split, among="graph", regime="constrained")
    layers = response["by_layers"]
    for said in (
        f"reaches ρ = {plain(edge['size'])} where influence reaches {plain(influence['size'])}.",
        f"does at ρ = {plain(influence['model'])}; ",
        f"follows the real model at ρ = {plain(response['size'])}, from {plain(layers['1'])} (1) to "
        f"{plain(layers[max(layers)])} ({max(layers)}) by",
    ):
        assert said in words(made)


@pytest.mark.parametrize(("direct", "said"), [(0.5, True), (0.95, False)])
def test_the_gradient_is_called_better_only_where_it_is(table, direct, said):
    _, summary = table.shown
    summary["prediction"]["direct"]["spearman"], summary["prediction"]["gradient"]["spearman"] = direct, 0.9
    assert ("and the gradient at 0.90: direct" in words(report_predictions.predictions(table))) == said


def test_predicted_effects_on_the_output(table):
    """Correlations over all features and over those that act; the range of what they do."""
    split, summary = table.shown
    for row in summary["output"]:
        row["kl"] = [1e-9, 1e-5, 0.2]
    made = report_predictions.output(table)
    for cells, row in zip(rows(made, "output"), table.output(split, regime="free"), strict=True):
        assert cells["graph"] == {"graph": "whole", "pruned": "pruned"}[row["among"]]
        assert cells["predicted by"] == row["predictor"] and cells["features"] == str(row["features"])
        assert cells["r, all prompts"] == f"{row['pooled']:.2f}"
        assert cells["r within prompts"] == whole(row["within_prompts"])
        assert cells["acting"] == str(row["acting_features"])
        assert cells["r of these"] == f"{row['acting']:.2f}"
    assert "from 1e−09 to 2e−01 nats, with a median of 1e−05" in words(made)


def test_perturbations(table):
    """Cosine, error and how often it is worse than nothing, by layers."""
    split, _ = table.shown
    listed = rows(report_predictions.perturbed(table), "perturbations")
    measured = [
        (row["regime"], layers, found)
        for row in table.feature_effects(split, among="graph", predictor="response")
        for layers, found in row["perturbation"].items()
    ]
    assert listed
    for cells, (_, layers, found) in zip(listed, measured, strict=True):
        assert cells["layers on"] == layers and cells["features zeroed"] == str(found["sources"])
        assert cells["cosine"] == whole(found["cosine"])
        assert cells["error, median of prompts"] == whole(found["error"])
        assert cells["error above 1"] == f"{found['worse']:.0%}"


def test_answers_by_split(given):
    """Mean and median margin, with minus signs."""
    prompts, baseline = given["prompts"], given["baseline"]
    margin = np.linspace(-9.0, -1.0, len(prompts.ids)) ** 3
    for cells in rows(report.baseline(prompts, replace(baseline, margin=margin)), "answers"):
        here = margin[prompts.split == cells["split"]]
        assert cells["mean margin, nats"] == f"{here.mean():.2f}".replace("-", "−")
        assert cells["median"] == f"{np.median(here):.2f}".replace("-", "−")
    (first, *_) = rows(
        report.prompts(given["study"], prompts, replace(baseline, margin=margin)), "first-prompts"
    )
    assert first["margin, nats"] == f"{margin[0]:.2f}".replace("-", "−")


def test_scores_of_graphs(given):
    """Those of whole graphs, then those of what pruning keeps."""
    graphs, said = given["attribution"], words(report.graphs(given["attribution"]))
    scores = [
        (graphs.completeness, graphs.replacement),
        (graphs.pruned["completeness"], graphs.pruned["replacement"]),
    ]
    (whole, part) = ((f"{first.mean():.3f}", f"{second.mean():.3f}") for first, second in scores)
    assert f"completeness {whole[0]}, replacement {whole[1]};" in said
    assert f"(mean {graphs.pruned['nodes'].mean():.0f} nodes)" in said
    assert f"counts as error, {part[0]} and {part[1]};" in said and whole != part


def test_contributions_have_minus_signs(given):
    """Of the features of the circuit, too."""
    circuit, labels = given["circuit"], given["interpretation"]
    listed = rows(report_features.interpretation(circuit, labels, 100), "circuit-features")
    merits = [circuit.contribution(*feature)[1] for feature in circuit.top_features(len(listed))]
    assert [cells["nats"] for cells in listed] == [f"{x:+.2f}".replace("-", "−") for x in merits]
    assert min(merits) < -0.005


def test_thousands_have_commas(given):
    """Features that were patched, positions of a role, and nodes."""
    row = {"size": 1156, "asked": 10**6, "regime": "free", "choice": "own", "where": {}}
    row["flips"] = {"value": 0.5, "low": 0.25, "high": 0.75}
    assert comparison.percent(row, "flips").startswith("50% with all 1,156 features")
    assert comparison.percent(row | {"asked": 1156}, "flips").startswith("50% with 1,156 features")
    features = replace(given["features"], order=given["features"].order * 400)
    roles = rows(report_features.by_role(features, given["pairs"]), "roles")
    assert next(cells for cells in roles if cells["position role"] == "last")["positions"] == "4,800"
    graphs = replace(given["attribution"], kept=given["attribution"].kept * 1000)
    needs = ("study", "prompts", "baseline", "features", "attribution", "interventions")
    listed = comparison.rows(*((given | {"attribution": graphs})[name] for name in needs))
    nodes = next(row.here for row in listed if row.quantity == "nodes that hold 0.8 of influence")
    assert "," in nodes
