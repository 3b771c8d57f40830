"""Tables of figures: they agree with the phases, and choose examples and labels by stated rules."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from drawn import SETTINGS

import circuitstore as cs
from tasks.drawing.labels import printed, shortened
from tasks.drawing.tables_graphs import THRESHOLDS
from tasks.drawing.tables_interventions import Interventions
from tasks.drawing.tables_prompts import examples

LARGEST_SET = 10  # in the small store


def test_examples_are_chosen_by_margin_alone(given):
    """The test prompt of median margin and its minimal pair come first."""
    prompts, baseline = given["prompts"], given["baseline"]
    first, second = examples(prompts, baseline, 2)
    test = prompts.split == "test"
    distance = np.abs(baseline.margin - np.median(baseline.margin[test]))
    assert distance[prompts.ids.index(first)] == distance[test].min()
    assert second == prompts.partner[prompts.ids.index(first)]


def test_contrast_is_what_the_behaviour_turns_on(given):
    """Of what differs within every pair, it is what says most about the answer."""
    prompts = given["prompts"]
    assert prompts.contrast()[0] == "correct answer"
    noise = np.array(["ab"[i % 4 in (1, 2)] for i in range(len(prompts.ids))])  # differs within pairs
    both = {"a noise": noise, "number": prompts.labels["number"]}
    assert replace(prompts, labels=both).contrast()[0] == "correct answer"
    one_answer = np.array(["x"] * len(prompts.ids))
    assert replace(prompts, labels=both, correct=one_answer).contrast()[0] == "a noise"


def test_without_pairs_the_contrast_is_the_first_category(given):
    """Any category of few values."""
    prompts = given["prompts"]
    noise = np.array(["ab"[i % 4 in (1, 2)] for i in range(len(prompts.ids))])
    labels = {"a noise": noise, "number": prompts.labels["number"]}
    alone = replace(prompts, labels=labels, partner=np.array([""] * len(prompts.ids)))
    assert alone.contrast()[0] == "a noise"


def test_short_labels_keep_what_tells_features_apart(given):
    """The value of a label, the answer, the token as it is printed; a reviewer's words as they are."""
    texts = [
        "subject_number=plural",
        "correct= is",
        "correct=7",
        "after token ' the'",
        "token ' \"'",
        'token "\'"',
        "token '\\n'",
    ]
    assert [shortened(label) for label in texts] == ["plural", "=␣is", "=7", "after ␣the", '␣"', "'", "⏎"]
    assert [printed(label) for label in (*texts[1:4], "' the' 2", "contrast")] == (
        ["correct=␣is", "correct=7", "after token ␣the", "␣the 2", "contrast"]
    )
    assert printed("position -2") == shortened("position -2") == "position −2"
    assert printed("group=a-2") == "group=a-2"
    known = replace(given["interpretation"], reviewed={(0, 5): "token ' a', says a person"})
    assert known.short(0, 5) == known.printed(0, 5) == "token ' a', says a person"


def test_large_swaps_count_as_patching(given):
    """Small and large sets stand together; the size of a swap is its mean number of features."""
    rows = given["interventions"].patched("test")
    sizes = [row["size"] for row in rows]
    assert sizes == sorted(sizes) and {row["kind"] for row in rows} == {"patch"}
    swaps = given["interventions"].summary["test"]["swaps"]
    assert max(sizes) == max(round(row["features"]) for row in swaps) > LARGEST_SET


def test_features_table_agrees_with_the_phase_s_own_summary(built, given):
    """L0, explained variance and normalised error by layer agree with the `features` artifact."""
    layers, table = built.artifact("features").summary["layers"], given["features"]
    for i, layer in enumerate(table.layers):
        summary = layers[str(layer)]
        assert table.l0.mean(1)[i] == pytest.approx(summary["l0"], rel=1e-6)
        assert table.explained[i] == pytest.approx(summary["explained_variance"], rel=1e-6)
        assert table.normalised_mse[i] == pytest.approx(summary["normalised_mse"], rel=1e-6)


def test_twins_count_once_in_the_distinct_l0(given):
    """If all features of a layer were one, a position would have one or none."""
    table, labels = given["features"], given["interpretation"]
    layer = table.layers[1]
    assert table.distinct_l0(layer, labels) == pytest.approx(
        len(table.place[layer]) / table.positions
    )  # none has a twin
    data = labels.data
    first = int(np.flatnonzero(data.layer.values == layer)[0])
    twin = np.where(data.layer.values == layer, first, data.twin.values)
    alike = replace(labels, data=data.assign(twin=("unit", twin)))
    some = len(np.unique(table.place[layer]))
    assert table.distinct_l0(layer, alike) == pytest.approx(some / table.positions)


def test_nodes_that_hold_a_share_of_the_influence(built, given):
    """Counted in every graph anew; a larger share takes more of them."""
    graphs = cs.open("attribution", behaviour="mine", store=built.store, profile="small")
    kept = given["attribution"].kept
    for counts, name in zip(kept, given["prompts"].ids, strict=True):
        cumulative = graphs[name].node_cumulative.values.tolist()
        assert counts.tolist() == [sum(each <= share for each in cumulative) for share in THRESHOLDS]
    assert (np.diff(kept, axis=1) <= 0).all() and kept[:, 0].max() > kept[:, -1].max()


def test_of_patches_that_are_equally_good_the_smallest_is_chosen(given):
    table = deepcopy(given["interventions"])
    for summary in table.summary.values():
        for row in (*summary["sets"], *summary["swaps"]):
            row["flips"] = {"value": 1.0, "low": 0.5, "high": 1.0}
    sizes = [row["size"] for row in table.patched("train")]
    assert table.chosen_patch("flips")["size"] == min(sizes) < max(sizes)


def test_kinds_of_prompts_have_summaries_of_their_own(upstream, given):
    """Each of the test prompts of that kind alone."""
    prompts = given["prompts"]
    test = np.flatnonzero(prompts.split == "test")
    kind = np.array(["few"] * len(prompts.ids), dtype=object)
    pair = {prompts.ids[test[0]], str(prompts.partner[test[0]])}
    kind[[i for i in test if prompts.ids[i] not in pair]] = "many"
    told = replace(prompts, labels={"asked": kind})
    table = Interventions.of(upstream["interventions"], SETTINGS, told)
    counts = {value: summary["prompts"] for value, summary in table.by_kind.items()}
    assert table.kinds == "asked" and counts == {"few": 2, "many": len(test) - 2}
    mean = np.mean([given["baseline"].margin[i] for i in test if prompts.ids[i] in pair])
    assert table.by_kind["few"]["margin"]["value"] == pytest.approx(mean, rel=1e-5)


def test_peak_of_a_feature_is_its_largest_activation(built, given):
    """The same as slicing the store."""
    activation = cs.open("features", behaviour="mine", store=built.store, profile="small").activation
    layer, feature = given["circuit"].top_features(1)[0]
    expected = activation.sel(layer=layer, feature=feature).fillna(0).max("position")
    assert np.allclose(given["features"].peak(layer, feature), expected)


def test_a_feature_is_shown_with_the_role_in_which_it_contributes_most(given):
    """The same as going through the units, signs kept."""
    circuit = given["circuit"]
    data = circuit.data.load()
    values = data[f"{data.attrs['rank_by']}_attribution"].values
    ids = list(zip(data.unit_layer.values.tolist(), data.unit_feature.values.tolist(), strict=True))
    for feature in circuit.top_features(5):
        here = {
            str(data.unit_role.values[i]): float(values[i]) for i, each in enumerate(ids) if each == feature
        }
        role, value = circuit.contribution(*feature)
        assert value == here[role] and abs(value) == max(map(abs, here.values())) > 0
