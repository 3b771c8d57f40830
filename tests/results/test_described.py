"""What is opened describes itself: texts, units, nodes of graphs, labels as columns; and docs/schema.md."""

from __future__ import annotations

import json
import pickle
from typing import Any

import msgspec
import numpy as np
import pytest
from schema import PAGE, build_rest, opened, page
from small_store import Finished
from trained import Trained
from workspace import BEHAVIOUR, PIPELINE, PROFILE, ROOT, Workspace

import circuitstore as cs
from circuitstore.circuits.nodes import nodes
from circuitstore.storage.layout import Store
from circuitstore.storage.reviews import Review, Reviewed, write_review
from tasks.parts.dominant import UNLABELLED
from tasks.variables import DIMS, LIKE

TABLES = ROOT / "tasks" / "variables"
SOMETIMES = {"W_skip", "suppressed", "label_*", "figure", "behaviour", "prompt_id", "token_role"}
SOMETIMES |= {
    f"target_{part}" for part in ("layer", "position", "feature")
}  # of a feature that is explained  # in no store of this test


@pytest.fixture(scope="module")
def every(built, tmp_path_factory) -> tuple[Finished, Trained]:
    """Stores with every phase built."""
    made = Finished(built.copy(tmp_path_factory.mktemp("every") / "work").root)
    build_rest(made)
    trained = Trained(tmp_path_factory.mktemp("corpus")).write()
    assert trained.build().code == 0
    return made, trained


def test_the_page_is_up_to_date(every):
    """`python tests/support/schema.py` writes it."""
    assert page(*every) == PAGE.read_text(encoding="utf-8")


def test_every_variable_has_a_text_and_every_number_a_unit(every):
    """Coordinates too; all phases."""
    for phase, dataset in opened(*every):
        for name, variable in dataset.variables.items():
            assert variable.attrs.get("long_name"), f"{phase}: {name} is not in tasks/variables/{phase}.toml"
            assert ("units" in variable.attrs) == (variable.dtype.kind in "fiu"), f"{phase}: {name}"


def test_nothing_is_described_that_is_not_there(every):
    """A name that a phase gave up is deleted here too."""
    names: dict[str, set[str]] = {phase: set(map(str, each.variables)) for phase, each in opened(*every)}
    tables = {path.stem: msgspec.toml.decode(path.read_bytes()) for path in TABLES.glob("*.toml")}
    assert tables.keys() == {*names, DIMS}
    for phase, table in tables.items():
        there = names.get(phase) or set[str]().union(*names.values())
        there |= {name for other, of in names.items() for name in of if phase in tables[other].get(LIKE, ())}
        assert {name for name in table if "*" not in name} - there - SOMETIMES <= {LIKE}, phase


def test_what_is_stored_goes_before_the_table(built, monkeypatch):
    """The unit of a variable that a phase wrote stays."""
    services = msgspec.structs.replace(PIPELINE.serves, described=lambda phase, name: ("text", "stones"))
    monkeypatch.setattr("circuitstore.pipeline.services", lambda: services)
    found = cs.open("baseline", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE)
    assert found.logit_correct.attrs == {"long_name": "text", "units": "nats"}
    assert found.rank_correct.attrs == {"long_name": "text", "units": "stones"}


@pytest.mark.parametrize("phase", ["attribution", "difference"])
def test_the_nodes_of_a_graph_are_coordinates(every, phase):
    """They say the same as `cs.graph` and the listings; of a node of a tree and of a graph by itself."""
    made, _ = every
    tree = cs.open(phase, behaviour=BEHAVIOUR, store=made.store, profile=PROFILE)
    kinds = set()
    for name in tree.children:
        graph = tree[name].to_dataset()
        rows = nodes(graph)
        kinds |= {row["kind"] for row in rows}
        for column in ("kind", "token"):
            assert graph[f"node_{column}"].values.tolist() == [row[column] for row in rows]
        for column in ("layer", "position", "feature"):
            expected = [-1 if row[column] is None else row[column] for row in rows]
            assert graph[f"node_{column}"].values.tolist() == expected
            assert graph[f"node_{column}"].dtype == np.int32
    assert kinds == {"feature", "error", "embedding", "logit"} | (
        {"suppressed"} if phase == "difference" else set()
    )
    influence = graph.node_influence
    assert (
        influence.where(influence.node_kind == "error", drop=True).size
        == graph.n_layers * graph.sizes["position"]
    )
    assert influence[::-2].node_layer.values.tolist() == graph.node_layer.values[::-2].tolist()
    assert (
        influence.isel(node=[3, 1, 3]).node_token.values.tolist()
        == graph.node_token.values[[3, 1, 3]].tolist()
    )


def test_features_of_graphs_carry_their_labels(every):
    """By rule, or by a reviewer from the moment that a review is imported. Key and content are the same."""
    made, _ = every
    where: dict[str, Any] = {"behaviour": BEHAVIOUR, "store": made.store, "profile": PROFILE}
    units = cs.open("interpretation", **where)
    columns = (units[name].values.tolist() for name in ("layer", "feature", "label"))
    by_rule = {(layer, feature): label for layer, feature, label in zip(*columns, strict=True)}
    before = cs.open("attribution", **where)
    name = next(iter(before.children))
    rows = nodes(before[name].to_dataset())
    expected = [by_rule.get((row["layer"], row["feature"]), "") for row in rows]
    expected = ["" if label == UNLABELLED else label for label in expected]
    assert before[name].node_label.values.tolist() == expected and any(expected)
    labelled = rows[next(number for number, label in enumerate(expected) if label)]
    said = Reviewed(labelled["layer"], labelled["feature"], "a name of ours")
    transcoders = made.artifact("attribution").components.resources["transcoders"]
    write_review(Store(made.store), Review(PROFILE, BEHAVIOUR, "A", 1, transcoders, [said]))
    after = cs.open("attribution", **where)
    same = (after[name].node_layer == said.layer) & (after[name].node_feature == said.feature)
    assert set(after[name].node_label.values[same.values].tolist()) == {"a name of ours"}
    assert after.attrs == before.attrs
    sent = pickle.loads(pickle.dumps(after[name].to_dataset()))  # to another process, as joblib does
    assert sent.node_label.values.tolist() == after[name].node_label.values.tolist()


def test_a_text_of_ones_own_has_them_too(every):
    """Its graph has no cells; other phases with a dim `node` or none get none."""
    made, _ = every
    behaviour = next(
        name for name, phase in cs.refs(store=made.store, profile=PROFILE) if phase == "attribute"
    )
    graph = cs.open("attribute", behaviour=behaviour, store=made.store, profile=PROFILE)
    assert set(map(str, graph.node_kind.values)) == {"feature", "error", "embedding", "logit"}
    assert "node_kind" not in cs.open("circuit", behaviour=BEHAVIOUR, store=made.store, profile=PROFILE)


def test_labels_are_columns(new_workspace: Workspace):
    """ "" where a prompt has none; the JSON text stays. Behaviours with other labels open together."""
    labels: list[dict[str, str]] = [{"number": "plural", "my label": "x"}, {"number": "singular"}, {}]
    row = {"correct": " are", "incorrect": " is"}
    lines = [{"id": f"p{i}", "text": f"the w{i}", "labels": each, **row} for i, each in enumerate(labels)]
    new_workspace.prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert new_workspace.build(phase="prompts").code == 0
    new_workspace.prompts = new_workspace.root / "second.jsonl"
    new_workspace.prompts.write_text(json.dumps({**lines[0], "labels": {"other": "y"}}) + "\n")
    assert new_workspace.build(phase="prompts").code == 0
    where = {"store": new_workspace.store, "profile": PROFILE}
    found = cs.open("prompts", behaviour=BEHAVIOUR, **where)
    assert found.label_number.values.tolist() == ["plural", "singular", ""]
    assert found["label_my label"].values.tolist() == ["x", "", ""] and "label_other" not in found
    assert [json.loads(text) for text in found.labels.values] == labels
    both = cs.open("prompts", **where)
    assert both.label_number.dims == ("behaviour", "prompt")
    assert both.label_other.values.tolist() == [["", "", ""], ["y", "", ""]]
