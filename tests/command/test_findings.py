"""What `show`, `verify` and `attribute` print for a person, against what the store says."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
from workspace import BEHAVIOUR, PROFILE, TEXTS, one_line_error, run

import circuitstore as cs
from circuitstore.command.terminal import table
from circuitstore.errors import UsageError
from circuitstore.results.graph_file import read_file


def show(store, phase: str, *words: object):
    outcome = run("show", phase, "-b", BEHAVIOUR, "--profile", PROFILE, "--store", store, *words)
    assert outcome.code == 0, outcome.err
    return outcome


def findings(store, phase: str, *words: object) -> dict[str, list]:
    """Title → rows."""
    told = show(store, phase, "--json", *words).json["findings"]
    return {
        each["title"]: [dict(zip(each["columns"], row, strict=True)) for row in each["rows"]] for each in told
    }


def test_the_most_influential_features_of_graphs(built):
    """Influence is the mean over graphs of the sum over positions that pruning kept."""
    graphs = cs.open("attribution", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE)
    total: dict[str, float] = {}
    for graph in (child.to_dataset() for child in graphs.children.values()):
        layer, _, feature = graph.active_features.values[graph.selected_features.values].T
        count = len(layer)
        shares = np.where(graph.prune_node_mask, graph.node_influence, 0)[:count]
        for at, what, share in zip(layer, feature, shares, strict=True):
            total[f"L{at} #{what}"] = total.get(f"L{at} #{what}", 0.0) + share / len(graphs.children)
    rows = findings(built.store, "attribution", "--top", 5)["features of most influence"]
    largest = sorted(total.values(), reverse=True)[:5]
    assert [row["influence"] for row in rows] == pytest.approx(largest)
    assert [total[row["feature"]] for row in rows] == pytest.approx(largest)


def test_findings_of_one_graph(built):
    """--prompt asks for some; one that there is not is refused."""
    (name, *_) = cs.open("attribution", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE).children
    rows = findings(built.store, "attribution", "--prompt", name)["strongest edges"]
    graph = cs.graph(name, behaviour=BEHAVIOUR, store=built.store, profile=PROFILE)
    ends = {}
    for source, target, weight in graph.edges.data("weight"):
        pair = graph.nodes[source]["name"], graph.nodes[target]["name"]
        ends[pair] = ends.get(pair, 0.0) + weight
    strongest = sorted(ends.values(), key=abs, reverse=True)[: len(rows)]
    assert [row["weight"] for row in rows] == pytest.approx(strongest, rel=1e-5)
    words = ("show", "attribution", "-b", BEHAVIOUR, "--profile", PROFILE, "--store", built.store)
    assert "unknown prompt 'p9z'" in one_line_error(run(*words, "-p", "p9z"), code=2)


def test_findings_of_a_circuit_and_of_an_interpretation(built):
    """Features by rank, with the labels of the interpretation; `--arrays` prints the dataset."""
    circuit = cs.open("circuit", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE)
    rows = findings(built.store, "circuit")["features that contribute most to the margin"]
    first = int(np.flatnonzero(circuit.absolute_rank.values == 0)[0])
    assert rows[0]["nats"] == pytest.approx(float(circuit.gradient_attribution[first]))
    units = cs.open("interpretation", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE)
    named = {
        f"L{layer} #{feature}": label
        for layer, feature, label in zip(
            units.layer.values, units.feature.values, units.label.values, strict=True
        )
    }
    for phase in ("circuit", "interpretation"):
        for row in next(iter(findings(built.store, phase).values())):
            assert row["label"] == named[row["feature"]].replace("unlabelled", "")
    assert "Dimensions" in show(built.store, "circuit", "--arrays").out
    assert "Dimensions" not in show(built.store, "circuit").out


def test_columns_do_not_run_into_one_another():
    """However long a cell is, and whatever it holds."""
    lines = table([("a", "1"), ("b" * 60, "22"), ("c\x1b\n", "3")], right={1})
    assert [line[60:] for line in lines] == ["   1", "  22", "   3"]
    assert "\x1b" not in "".join(lines) and len(lines) == 3
    rows = run("profile", "show").out.splitlines()
    assert all(len(row.split()) >= 2 and "  " in row for row in rows)


def test_what_was_opened_says_what_it_is(built):
    """Key, content and settings, of one behaviour or of all; of graphs each."""
    where = {"store": built.store, "profile": PROFILE}
    for opened in (
        cs.open("baseline", behaviour=BEHAVIOUR, **where),
        cs.open("attribution", behaviour=BEHAVIOUR, **where),
    ):
        artifact = built.artifact(opened.attrs["phase"])
        assert (opened.attrs["key"], opened.attrs["content"]) == (artifact.key, artifact.content)
        assert json.loads(opened.attrs["settings"]) == artifact.components.config
        assert (opened.attrs["profile"], opened.attrs["behaviour"]) == (PROFILE, BEHAVIOUR)
    assert opened["p0a"].attrs["key"] == artifact.key
    every = cs.open("baseline", **where).attrs
    assert every[f"key_{BEHAVIOUR}"] == built.artifact("baseline").key and "key" not in every


def test_lost_cells_are_told_in_a_line_a_phase(workspace):
    """One flipped byte loses an object of many cells. No advice to run what is running."""
    (name,) = workspace.artifact("features").objects
    folder = workspace.store / "objects" / name[:2] / name
    path = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    outcome = run("verify", "--store", workspace.store)
    lost = [line for line in outcome.out.splitlines() if "lost: " in line]
    assert outcome.code == 1 and len(lost) == 1 and "of features of mine" in lost[0]
    assert "circuitstore verify" not in outcome.out and "circuitstore verify" not in outcome.err


def test_cells_are_rebuilt_with_the_settings_they_were_built_with(tmp_path):
    """Named or not. With other settings there is nothing to compute again, said after the files' report."""
    words = ("-b", "plural", "--store", tmp_path / "store")
    setting = ("--set", "prompts.train=4", "--set", "prompts.test=2")
    assert run("build", "prompts", *words, *setting).code == 0
    for extra in ((), setting):
        outcome = run("verify", "--rebuild", 2, *words, *extra, "--json")
        assert outcome.json["rebuilt"]["equal"] == 2, outcome.err
    other = run("verify", "--rebuild", 2, *words, "--set", "prompts.train=6", "--json")
    assert other.code == 1 and other.json["damaged"] == [] and other.json["error"]["kind"] == "MissingError"


def attribute(workspace, *words: object):
    return run("attribute", "--profile", workspace.profile, "--store", workspace.store, *words)


def test_every_line_of_a_file_or_of_the_input_is_a_text(built_once, tmp_path, monkeypatch):
    """Blank lines are passed over; files are named by the line."""
    lines = f"{TEXTS['a']}\n\n{TEXTS['c']}\n"
    (tmp_path / "texts.txt").write_text(lines)
    listed = attribute(built_once, "--file", tmp_path / "texts.txt", "--json", "-o", tmp_path / "out")
    assert [json.loads(line)["text"] for line in listed.out.splitlines()] == [TEXTS["a"], TEXTS["c"]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.json", "3.json"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert attribute(built_once, "-", "--json").out == listed.out
    one = attribute(built_once, TEXTS["c"], "--json")
    assert one.out == listed.out.splitlines(keepends=True)[1]


def test_what_a_graph_leaves_out_is_said(built_once):
    """A store may keep the strongest edges only. The share of the weight that they hold is shown then."""
    assert "which hold" not in attribute(built_once, TEXTS["a"]).out
    limit = (TEXTS["a"], "--set", "attribution.max_edges=20")
    few, held = attribute(built_once, *limit), attribute(built_once, *limit, "--json").json["kept_weight"]
    assert 0 < held < 1 and f", which hold {held:.1%} of the weight of all" in few.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "got neither"),
        (("the dog", "--file", "-"), "got both"),
        (("--file", "no/such"), "No such file"),
        (("the dog", "--target", " are is"), "--target ' are is': expected one token, got 2 tokens"),
        (("the dog", "--target", " are", "--against", "are is"), "--against 'are is'"),
        (("the " * 2100,), "text: expected at most 2048 tokens"),
    ],
    ids=["nothing", "both", "no file", "two tokens", "against", "long"],
)
def test_what_one_text_cannot_be(built_once, words, said):
    """Told of the text, not of behaviours and cells, before a model is loaded."""
    outcome = attribute(built_once, *words)
    error = one_line_error(outcome, code=outcome.code)
    assert outcome.code in (1, 2) and said in error
    assert "behaviour" not in error and "cells" not in error


@pytest.mark.parametrize("text", [[1.7], ["a"], "\ud800 dog", None, 5, [[1]]], ids=repr)
def test_what_is_no_text_and_no_token_ids_is_refused(built_once, text):
    """Nothing is rounded, and no error of Python's own comes out."""
    with pytest.raises(UsageError, match="text: expected"):
        cs.attribute(text, model=str(built_once.profile), store=built_once.store)


def test_attribute_prints_and_writes_labels(built, tmp_path):
    """Those of the behaviours of the profile that were interpreted with the same transcoders."""
    where = {"store": built.store, "profile": PROFILE}
    units = cs.open("interpretation", behaviour=BEHAVIOUR, **where)
    columns = (units[name].values.tolist() for name in ("layer", "feature", "label"))
    named = {(layer, feature): label for layer, feature, label in zip(*columns, strict=True)}
    text = str(cs.open("prompts", behaviour=BEHAVIOUR, **where).text.values[0])
    path = tmp_path / "graph.json"
    told = attribute(built, text, "--json", "--top", 1000, "-o", path).json
    labels = {
        (row["layer"], row["feature"]): row["label"] for row in told["nodes"] if row["kind"] == "feature"
    }
    known = {unit: label for unit, label in labels.items() if unit in named}
    assert {unit: named[unit].replace("unlabelled", "") for unit in known} == known and any(known.values())
    written = [node.clerp for node in read_file(str(path)).nodes if node.feature_type.startswith("cross")]
    assert set(written) <= set(labels.values())


def test_a_review_tells_what_it_did_as_json(built, tmp_path):
    """How many features were written, and where."""
    path = tmp_path / "labels.csv"
    words = ("-b", BEHAVIOUR, "--profile", built.profile, "--store", built.store, "--top", 3, "--json")
    told = run("review", "export", path, *words).json
    assert told == {"file": str(path), "behaviour": BEHAVIOUR, "count": 3}
    assert len(path.read_text().splitlines()) == 4
