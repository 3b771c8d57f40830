"""What a graph explains beside answers, as scripts and the command ask for it; what is wrong is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from workspace import MODEL, Workspace, one_line_error, run

import circuitstore as cs
from circuitstore.errors import InputError, UsageError
from circuitstore.models.load import load_model
from circuitstore.results.graph_file import read_file
from circuitstore.results.graphs import nodes
from circuitstore.results.targets import checked, feature_of, weights_of

TEXT = "the keys to the cabinet"


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    made = Workspace.create(tmp_path_factory.mktemp("targets"))
    return {"model": made.profile, "store": made.store}


def words(where):
    return ("--profile", where["model"], "--store", where["store"])


def adds_up(graph) -> float:
    """The value of the last node, to which its edges, bias and what is left out must sum."""
    last = graph.sizes["node"] - 1
    into = graph.edge_target.values == last
    total = graph.edge_weight.values[into].sum(dtype=np.float64)
    total += float(graph.node_bias[last]) + float(graph.node_omitted[last]) + float(graph.node_unstored[last])
    assert total == pytest.approx(float(graph.node_preactivation[last]), abs=1e-4)
    return total


def test_a_feature_is_explained_from_scripts_and_the_command(where, tmp_path):
    """Its value is its activation, its name says which it is, and the question is answered once."""
    plain = cs.attribute(TEXT, **where)
    row = int(
        np.argmax((plain.active_features.values[:, 0] == 2) & (plain.active_features.values[:, 1] == 4))
    )
    feature = tuple(plain.active_features.values[row].tolist())
    assert feature[:2] == (2, 4)
    graph = cs.attribute(TEXT, feature=feature, **where)
    assert adds_up(graph) == pytest.approx(float(plain.activation_values[row]), abs=1e-4)
    assert graph.logit_token_ids.values.tolist() == [-1]
    assert [int(graph[f"target_{name}"]) for name in ("layer", "position", "feature")] == list(feature)
    last = nodes(graph)[-1]
    assert (last["name"], last["position"]) == ("feature 2/4/" + str(feature[2]), 4)
    from_end = cs.attribute(TEXT, feature=(2, 4 - plain.sizes["position"], feature[2]), **where)
    np.testing.assert_array_equal(from_end.edge_weight, graph.edge_weight)

    word = "/".join(map(str, feature))
    file = tmp_path / "graph.json"
    told = run("attribute", TEXT, "--feature", word, "-o", file, *words(where))
    assert told.code == 0, told.err
    assert f"feature {word} = {float(graph.node_preactivation[-1]):.4g}" in told.out
    logits = [node for node in read_file(str(file)).nodes if node.feature_type == "logit"]
    assert [(node.clerp, node.ctx_idx) for node in logits] == [(f"feature {word}", 4)]
    assert run("status", "--store", where["store"]).code == 0


def test_a_direction_is_an_array_or_a_file(where, tmp_path):
    """The same graph of an array, of NumPy's file of it, and of its numbers as text."""
    d_model = load_model(MODEL).d_model
    read = np.random.default_rng(0).normal(size=d_model)
    np.save(tmp_path / "read.npy", read)
    (tmp_path / "read.txt").write_text("\n".join(map(repr, read.tolist())))
    graph = cs.attribute(TEXT, direction=read, **where)
    adds_up(graph)
    for given in (tmp_path / "read.npy", str(tmp_path / "read.txt"), read.tolist()):
        again = cs.attribute(TEXT, direction=given, **where)
        assert again.attrs["content"] == graph.attrs["content"]
    other = cs.attribute(TEXT, direction=-read, **where)
    np.testing.assert_allclose(other.node_preactivation[-1], -graph.node_preactivation[-1], atol=1e-5)
    assert other.attrs["key"] != graph.attrs["key"]
    told = run("attribute", TEXT, "--direction", tmp_path / "read.npy", "--json", *words(where))
    assert told.code == 0 and json.loads(told.out)["logits"][0]["token"] == "direction"


def test_weights_of_answers(where):
    """One less another is their difference; in any order it is one question."""
    graph = cs.attribute(TEXT, weights={" are": 1, " is": -1}, **where)
    plain = cs.attribute(TEXT, target=" are", against=" is", **where)
    adds_up(graph)
    assert float(graph.node_preactivation[-1]) == pytest.approx(float(plain.node_preactivation[-1]), abs=1e-4)
    told = run("attribute", TEXT, "--weight", " is=-1", "--weight", " are=1.0", *words(where))
    assert told.code == 0 and "1 · ' are' + -1 · ' is'" in told.out
    again = cs.attribute(TEXT, weights={" is": -1, " are": 1}, **where)
    assert again.attrs["key"] == graph.attrs["key"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--feature", "1/2"), "LAYER/POSITION/FEATURE"),
        (("--feature", "99/1/1"), "a layer from 0 to"),
        (("--feature", "1/0/1"), "position 0 has no features"),
        (("--feature", "1/77/1"), "a position from 1 to"),
        (("--weight", "are"), "ANSWER=NUMBER"),
        (("--weight", " are=1", "--weight", " are=2"), "one weight for an answer"),
        (("--weight", " are=nan"), "finite numbers"),
        (("--weight", " are=0"), "one of them not 0"),
        (("--feature", "1/1/1", "--weight", " are=1"), "one of feature, direction and weights"),
        (("--feature", "1/1/1", "--target", " are"), "no --target beside it"),
    ],
)
def test_wrong_questions_are_refused_before_a_model_is_loaded(where, options, said):
    outcome = run("attribute", TEXT, *options, *words(where))
    assert said in one_line_error(outcome, code=2)


def test_a_direction_of_another_width_is_refused(where, tmp_path):
    np.save(tmp_path / "short.npy", np.ones(3))
    outcome = run("attribute", TEXT, "--direction", tmp_path / "short.npy", *words(where))
    assert "numbers, as the model's d_model, got 3" in one_line_error(outcome, code=2)


def test_wrong_directions_are_refused(tmp_path):
    """Shapes, numbers that are none, zeros, and files that hold no numbers or more than numbers."""
    for wrong, said in (
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        ([], r"shape \(0,\)"),
        ([1.0, float("nan")], "got nan at 1"),
        ([float("-inf")], "got -inf at 0"),
        (np.zeros(4), "zeros, which read nothing"),
        ("absent.npy", "No such file"),
        (["a"], r"numbers, \(d_model,\)"),
    ):
        with pytest.raises((UsageError, InputError), match=said):
            checked(None, wrong, None)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "prose.txt").write_text("one two")
    for name in ("objects.npy", "empty.npy", "prose.txt"):
        with pytest.raises(InputError, match=name):
            checked(None, str(tmp_path / name), None)


def test_words_and_their_data():
    """A feature counts from the end too; weights keep an equals sign of the answer."""
    assert feature_of("4/-1/134") == (4, -1, 134)
    assert weights_of([" are=1", "==2"]) == {" are": 1.0, "=": 2.0}
    assert checked((1, -1, np.int64(3)), None, None) == {"feature": (1, -1, 3)}
    for wrong in ((1, 2), (1.5, 2, 3), (-1, 2, 3), "4/1/3"):
        with pytest.raises(UsageError, match="feature"):
            checked(wrong, None, None)
    for wrong in ({}, {"": 1.0}, {3: 1.0}, [(" are", 1.0)], {" are": "much"}):
        with pytest.raises(UsageError, match="weights"):
            checked(None, None, wrong)
    assert checked(None, None, None) == {}
