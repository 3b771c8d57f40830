"""Supernodes as files: node-link JSON, a picture, and graphs of prompts with the groups in them."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest
from workspace import BEHAVIOUR, PROFILE, run

import circuitstore as cs
from circuitstore.errors import UsageError
from tasks.drawing.tables_prompts import Pairs
from tasks.exports import supernode_picture, supernodes
from tasks.settings.phases import Figures

QUICK = ("sizes=[5,40]", "sufficiency=50.0", "shuffles=20", "controls=2", "splits=1", "bootstrap=50")


def test_supernodes_are_files(minimal_pairs, tmp_path):
    """Node-link JSON that networkx reads, a picture, and prompts' graphs in which the groups are."""
    words = [word for setting in QUICK for word in ("--set", f"supernodes.{setting}")]
    outcome = run("build", "supernodes", *minimal_pairs.selection, *words)
    assert outcome.code == 0, outcome.err
    data = cs.open("supernodes", behaviour=BEHAVIOUR, store=minimal_pairs.store, profile=PROFILE)
    where = ("--behaviour", BEHAVIOUR, "--store", minimal_pairs.store, "--profile", minimal_pairs.profile)
    told = run(
        "export", "supernodes", tmp_path, *where, "--format", "json", "--format", "svg", "--format", "pinned"
    )
    assert told.code == 0, told.err
    graph = nx.node_link_graph(json.loads((tmp_path / "supernodes.json").read_text()), edges="edges")
    assert len(graph) == data.sizes["supernode"] and graph.number_of_edges() == data.sizes["edge"]
    leaving = {i: sum(w for *_, w in graph.out_edges(i, data="weight")) for i in graph}
    assert [leaving[i] for i in graph] == pytest.approx(data.supernode_total.values.tolist(), abs=1e-4)
    assert sum(len(members) for _, members in graph.nodes(data="members")) == 40
    assert b"margin" in (tmp_path / "supernodes.svg").read_bytes()
    roles = np.resize(["first", "z", "a", "last"], data.sizes["supernode"])
    roles[data.supernode_kind.values == "margin"] = ""
    placed = data.assign(supernode_role=("supernode", roles.astype(object)))
    pairs = Pairs({"p": ["first", "z", "a", "last"]})
    drawn, columns, _, note = supernode_picture.shown(placed, pairs, Figures())
    assert columns == ["first", "z", "a", "last"] and "embedding" not in dict(drawn.nodes("label")).values()
    assert f"of {data.sizes['edge']:,} edges" in note
    files = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("p[0-9]*.json")}
    assert set(files) == set(data.measured_prompt.values.tolist())
    features = {
        (int(a), int(b)) for a, b in zip(data.unit_layer.values, data.unit_feature.values, strict=True)
    }
    pinned = [pin for file in files.values() for pin in file["qParams"]["pinnedIds"]]
    assert pinned and {tuple(map(int, pin.split("_")[:2])) for pin in pinned} <= features
    for file in files.values():
        nodes, shown = {node["node_id"] for node in file["nodes"]}, file["qParams"]
        assert set(shown["pinnedIds"]) <= nodes
        assert all(
            len(group) > 2 and set(group[1:]) <= set(shown["pinnedIds"]) for group in shown["supernodes"]
        )
    refused = run("export", "supernodes", tmp_path, *where, "--prompt", "p0a")
    assert refused.code == 2 and "--format pinned" in refused.err


def test_prompts_are_of_pinned_graphs_alone():
    """Which prompt a graph of the whole behaviour is of, nobody could say."""
    with pytest.raises(UsageError, match="pinned"):
        supernodes.files(None, None, None, ("json",), ("p0a",))
