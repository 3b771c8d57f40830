"""Graphs as files of circuit-tracer and Neuronpedia: written as theirs are, read back, compared."""

from __future__ import annotations

import json
import random
from io import BytesIO
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from safetensors.numpy import load_file
from workspace import one_line_error

import circuitstore as cs
from circuitstore.errors import InputError
from circuitstore.results.comparison import compare, of_dataset, of_path
from circuitstore.results.graph_file import QParams, cantor, identity, read_file, to_bytes, uncantor
from circuitstore.results.interchange import to_file, to_graphml

CONFORMANCE = Path(__file__).parents[1] / "conformance"
REFERENCE = CONFORMANCE / "graph_json" / "relu.json"
FOREIGN = Path(__file__).parent / "foreign"


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """The reference case's graph, computed here."""
    tokens = load_file(CONFORMANCE / "relu" / "expected.safetensors")["input_tokens"].tolist()
    folders = {"model": CONFORMANCE / "model", "transcoders": CONFORMANCE / "relu"}
    return cs.attribute(
        tokens, **folders, max_logits=5, store=tmp_path_factory.mktemp("interchange") / "store"
    ).load()


@pytest.fixture
def written(graph, tmp_path):
    """Its file."""
    path = tmp_path / "graph.json"
    path.write_bytes(to_bytes(to_file(graph, slug="tiny", scan="local/tiny", node_threshold=0.8)))
    return path


def as_of_0_5_1(file: dict) -> dict:
    """A file of an older circuit-tracer with errors named as they are now."""
    names = {}
    for node in file["nodes"]:
        if node["feature_type"] == "mlp reconstruction error":
            layer, position = node["layer"], node["ctx_idx"]
            names[node["node_id"]] = f"{layer}_-1_{position}"
            node |= {"node_id": names[node["node_id"]], "jsNodeId": f"{layer}_-1-{position}"}
    for link in file["links"]:
        link["source"] = names.get(link["source"], link["source"])
    return file


def test_equals_the_file_that_circuit_tracer_writes(written):
    """Metadata, nodes and links, field by field; numbers to the precision of float32.

    metadata.info names the generator. Errors have the names that circuit-tracer gives them from 0.5.1 on; the
    reference is of 0.4.1.
    """
    ours, theirs = json.loads(written.read_text()), as_of_0_5_1(json.loads(REFERENCE.read_text()))
    assert ours["metadata"].pop("info")["generator"]["name"] == "circuitstore"
    assert ours["metadata"] == theirs["metadata"] and ours["qParams"] == theirs["qParams"]
    assert [node["node_id"] for node in ours["nodes"]] == [node["node_id"] for node in theirs["nodes"]]
    for a, b in zip(ours["nodes"], theirs["nodes"], strict=True):
        assert a.keys() == b.keys()
        assert {
            name: pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
            for name, value in b.items()
        } == a
    weights = [
        {(link["source"], link["target"]): link["weight"] for link in file["links"]}
        for file in (ours, theirs)
    ]
    assert weights[0].keys() == weights[1].keys()
    scale = max(abs(weight) for weight in weights[1].values())
    assert max(abs(weights[0][edge] - weight) for edge, weight in weights[1].items()) < 1e-5 * scale


def test_a_graph_from_elsewhere_is_compared_with_ours(graph):
    """circuit-tracer's own file against the graph computed here: the same nodes and edges."""
    result = compare(of_dataset(graph), of_path(str(REFERENCE)))
    assert result["nodes"]["jaccard"] == result["edges"]["jaccard"] == 1
    assert result["weight_pearson"] == pytest.approx(1, abs=1e-9) and result["weight_spearman"] > 0.9999
    assert result["influence_spearman"] > 0.999


def test_round_trip(graph, written):
    """Everything that was written is read."""
    file = read_file(str(written))
    assert to_bytes(file) == written.read_bytes()
    assert len(file.nodes) == int(graph.prune_node_mask.sum()) and len(file.links) == int(
        graph.prune_edge_mask.sum()
    )


def test_pairing_is_undone():
    """Layer and feature come back from one number, at any size."""
    draw = random.Random(0)
    for _ in range(1000):
        pair = draw.randrange(100), draw.randrange(10 ** draw.randint(1, 9))
        assert uncantor(cantor(*pair)) == pair
    assert cantor(1, 27) == 433  # as in the reference


@pytest.mark.parametrize("name", ["integer-layer", "schema-version-null"])
def test_files_of_the_published_schema_are_read(name):
    """Neuronpedia's schema lets a layer be an integer, and circuit-tracer's own a version be null."""
    file = read_file(str(FOREIGN / f"{name}.json"))
    assert len(file.nodes) == 31 and len(of_path(str(FOREIGN / f"{name}.json")).weight) == 119
    assert read_file(str(FOREIGN / "integer-layer.json")).nodes[0].node_id == file.nodes[0].node_id


def test_a_name_of_two_nodes_is_told_apart(tmp_path):
    """Before 0.5.1, error (layer 0, position 3) was `0_0_3`, as feature 0 of layer 0 is at position 3.

    As the target of an edge it is the feature. Of two edges from it to one node, the second is the error's.
    """
    file = json.loads(REFERENCE.read_text())
    error = next(node for node in file["nodes"] if node["feature_type"] == "mlp reconstruction error")
    targets = [link["target"] for link in file["links"] if link["source"] == error["node_id"]]
    feature = next(node for node in file["nodes"] if node["feature_type"].startswith("cross"))
    feature |= {"layer": "0", "feature": cantor(0, int(error["layer"])), "ctx_idx": error["ctx_idx"]}
    old, feature["node_id"] = feature["node_id"], error["node_id"]
    into = sum(link["target"] == old for link in file["links"])
    for link in file["links"]:
        link |= {end: error["node_id"] for end in ("source", "target") if link[end] == old}
    extra = {"source": error["node_id"], "target": targets[0], "weight": 0.25}
    first = next(i for i, link in enumerate(file["links"]) if link["target"] == targets[0])
    file["links"].insert(first, extra)
    (tmp_path / "old.json").write_text(json.dumps(file))
    read = read_file(str(tmp_path / "old.json"))
    assert len({node.node_id for node in read.nodes}) == len(read.nodes)
    name = f"{error['layer']}_-1_{error['ctx_idx']}"
    of_error = [link for link in read.links if link.source == name]
    assert targets[0] in [link.target for link in of_error] and 0.25 not in [link.weight for link in of_error]
    assert sum(link.target == error["node_id"] for link in read.links) == into
    assert not any(link.target == name for link in read.links)


def test_pins_and_supernodes_go_both_ways(graph, tmp_path):
    """What a viewer saved is read, and written again."""
    file = to_file(graph, slug="a", scan="b")
    pins = [node.node_id for node in file.nodes[:3]]
    file.qParams = QParams(pinnedIds=pins, supernodes=[["both", *pins[:2]]], clickedId=pins[0])
    (tmp_path / "saved.json").write_bytes(to_bytes(file))
    saved = read_file(str(tmp_path / "saved.json")).qParams
    assert to_file(graph, slug="a", scan="b", subgraph=saved).qParams == file.qParams


@pytest.mark.parametrize("text", ["The 鍵 keys", "a\x0bb\x1b[2J", "<script>alert(1)</script> & ]]>"])
def test_any_prompt_comes_out_whole(graph, text):
    """JSON has the prompt as the decoder writes it; GraphML is well-formed XML whatever it holds."""
    odd = graph.assign(prompt_text=((), text))
    odd["token_text"] = ("position", np.array([text] * graph.sizes["position"]))
    assert json.loads(to_bytes(to_file(odd, slug="", scan="")))["metadata"]["prompt"] == text
    read = nx.read_graphml(BytesIO(to_graphml(odd, {(0, int(graph.active_features[0, 2])): text})))
    printable = text.replace("\x0b", "\\x0b").replace("\x1b", "\\x1b")
    assert {data["token"] for _, data in read.nodes(data=True) if data["kind"] == "embedding"} == {printable}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda file: file["nodes"].append(file["nodes"][0]), "every node_id once"),
        (
            lambda file: file["links"].append(
                {"source": "nobody", "target": file["nodes"][0]["node_id"], "weight": 1}
            ),
            "nobody",
        ),
        (lambda file: file["nodes"][0].update(layer="x"), "nodes[0]"),
        (lambda file: file["nodes"][0].update(feature=-3), "nodes[0]"),
        (lambda file: file["nodes"][0].update(ctx_idx="9"), "ctx_idx"),
        (lambda file: file["nodes"][0].update(feature_type="neuron"), "feature_type"),
        (lambda file: file["links"][0].update(weight="heavy"), "weight"),
        (lambda file: file.pop("metadata"), "metadata"),
        (lambda file: file.update(nodes={}), "nodes"),
    ],
)
def test_what_is_no_graph_is_refused_with_its_place(written, change, named):
    """A hostile or damaged file is one error that says where."""
    file = json.loads(written.read_text())
    change(file)
    written.write_text(json.dumps(file))
    with pytest.raises(InputError, match=named.replace("[", r"\[")):
        read_file(str(written))


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", '{"nodes": [NaN]}', "[" * 100_000])
def test_what_is_no_json_is_refused(written, text):
    """Not even JSON, or not of a graph."""
    written.write_text(text)
    with pytest.raises(InputError, match="graph"):
        read_file(str(written))


def test_graphml_has_the_nodes_and_edges(graph, tmp_path):
    """networkx reads it back with the attributes typed."""
    (tmp_path / "graph.graphml").write_bytes(to_graphml(graph))
    read = nx.read_graphml(tmp_path / "graph.graphml")
    assert read.number_of_nodes() == int(graph.prune_node_mask.sum()) and read.number_of_edges() == int(
        graph.prune_edge_mask.sum()
    )
    assert all(
        isinstance(data["influence"], float) and isinstance(data["position"], int)
        for _, data in read.nodes(data=True)
    )
    weights = sorted(data["weight"] for *_, data in read.edges(data=True))
    np.testing.assert_allclose(
        weights, np.sort(graph.edge_weight.values[graph.prune_edge_mask.values]), rtol=1e-6
    )
    assert len(json.loads(read.graph["tokens"])) == graph.sizes["position"]


def test_known_differences_have_known_numbers(written, tmp_path):
    """With itself a graph agrees in everything; a doubled edge, a lost edge and a lost node are counted and
    listed.
    """
    itself = of_path(str(written))
    same = compare(itself, itself)
    assert same["nodes"]["jaccard"] == same["edges"]["jaccard"] == 1 and same["largest"] == []
    assert same["weight_pearson"] == pytest.approx(1) and same["influence_spearman"] == pytest.approx(1)
    file = json.loads(written.read_text())
    file["links"].sort(key=lambda link: -abs(link["weight"]))
    doubled, lost = file["links"][0], file["links"].pop(1)
    doubled["weight"] *= 3
    (tmp_path / "other.json").write_text(json.dumps(file))
    result = compare(itself, of_path(str(tmp_path / "other.json")), top=2)
    edges = result["edges"]
    assert (edges["a"], edges["b"], edges["shared"]) == (
        len(file["links"]) + 1,
        len(file["links"]),
        len(file["links"]),
    )
    assert [row["a"] for row in result["largest"]] == pytest.approx([doubled["weight"] / 3, lost["weight"]])
    assert result["largest"][1]["b"] is None and result["weight_pearson"] < 0.9999


@pytest.fixture
def run(built):
    """A command on the small store."""
    return lambda *words: built.command(*words, "--profile", built.profile, "--store", built.store)


def test_export_and_diff_from_the_command_line(run, built, tmp_path):
    """`export graphs` writes a file a prompt, with labels; `diff` takes files and names; wrong names are
    one-line errors.
    """
    outcome = run("export", "graphs", tmp_path / "out", "-b", "mine", "-p", "p0a", "-p", "p0b")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"p0a.json", "p0b.json", "provenance.json"}
    units = cs.open("interpretation", behaviour="mine", store=built.store, profile="small")
    columns = (units[name].values.tolist() for name in ("layer", "feature", "label"))
    labels = {(layer, feature): label for layer, feature, label in zip(*columns, strict=True)}
    for node in read_file(str(tmp_path / "out" / "p0a.json")).nodes:
        kind, layer, _, feature = identity(node)
        if kind == "feature":
            assert node.clerp == labels.get((layer, feature), "").replace("unlabelled", "")
    same = run("diff", tmp_path / "out" / "p0a.json", "mine/p0a", "--json")
    assert (
        same.code == 0
        and same.json["weight_pearson"] == pytest.approx(1)
        and same.json["nodes"]["jaccard"] == 1
    )
    shown = run("diff", "mine/p0a", "small/mine/p0b")
    assert shown.code == 0 and "Jaccard" in shown.out and "→" in shown.out
    assert (
        run("export", "graphs", tmp_path / "ml", "-b", "mine", "-p", "p0a", "--format", "graphml").code == 0
    )
    assert [path.name for path in sorted((tmp_path / "ml").iterdir())] == ["p0a.graphml", "provenance.json"]
    for code, *words in (
        (2, "diff", "mine/nobody", "mine/p0a"),
        (2, "diff", "p0a", "mine/p0a"),
        (1, "diff", tmp_path / "none.json", "mine/p0a"),
        (2, "export", "graphs", tmp_path / "x", "-b", "mine", "-p", "nobody"),
        (2, "export", "graphs", tmp_path / "x", "-b", "mine", "--format", "gif"),
        (2, "export", "figures", tmp_path / "x", "-b", "mine", "--prompt", "p0a"),
    ):
        one_line_error(run(*words), code=code)
    assert not (tmp_path / "x").exists()
