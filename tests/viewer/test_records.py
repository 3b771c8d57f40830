"""Records: what is packed comes out again, and says the same as the store."""

from __future__ import annotations

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import unpacked
from workspace import BEHAVIOUR, PROFILE, run

import circuitstore as cs
from circuitstore.errors import UsageError
from circuitstore.storage.layout import Store
from circuitstore.viewer.bundle import DTYPES, pack, smallest
from circuitstore.viewer.graphs import graph_record
from tasks.exploring.records import NAMES, Records

PACKED = st.lists(
    arrays.arrays(st.sampled_from(DTYPES).map(lambda kind: np.dtype("<" + kind)), st.integers(0, 20)),
    max_size=4,
)


@given(PACKED, st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**53), 2**53))
def test_what_is_packed_comes_out_again(packed, text, number):
    """Arrays of every dtype bit for bit, and text and numbers beside them."""
    read = unpacked(pack({"arrays": packed, "text": text, "number": number}))
    assert (read["text"], read["number"]) == (text, number)
    assert [(each.dtype, each.tobytes()) for each in read["arrays"]] == [
        (a.dtype, a.tobytes()) for a in packed
    ]


@pytest.mark.parametrize("wrong", [np.zeros((2, 2), "f4"), np.zeros(2, "f2"), object(), np.array(["a"])])
def test_what_no_page_reads_is_not_packed(wrong):
    """Two axes, other dtypes and other objects are refused."""
    with pytest.raises(TypeError):
        pack({"value": wrong})


@pytest.mark.parametrize(
    ("values", "dtype"), [([0, 255], "u1"), ([-1, 127], "i1"), ([-1, 128], "i2"), ([65536], "u4"), ([], "u1")]
)
def test_whole_numbers_take_little_room(values, dtype):
    """The smallest dtype that holds them."""
    assert smallest(np.array(values, dtype=np.int64)).dtype == np.dtype(dtype)


@pytest.fixture
def records(built) -> Records:
    return Records(Store(str(built.store)).check(), PROFILE)


@pytest.fixture
def graph(built):
    """The graph of one prompt, as the store has it."""
    tree = cs.open("attribution", behaviour=BEHAVIOUR, store=built.store, profile=PROFILE)
    return tree["p0a"].to_dataset().load()


def test_a_whole_graph_says_what_the_store_says(graph):
    """Edges are those of the store, and nodes are named as `cs.graph` names them."""
    record = graph_record(graph)
    for name, column in (("source", "edge_source"), ("target", "edge_target"), ("weight", "edge_weight")):
        assert np.array_equal(record["edges"][name], graph[column].values)
    nodes = record["nodes"]
    active = graph.active_features.values[graph.selected_features.values]
    assert np.array_equal(nodes["layer"][: len(active)], active[:, 0])
    assert np.array_equal(nodes["position"][: len(active)], active[:, 1])
    assert np.array_equal(nodes["feature"][: len(active)], active[:, 2])


def test_the_pruned_graph_keeps_what_entered_each_node(graph):
    """Its nodes are those that pruning kept, with the edges between them and the sums of all edges."""
    record, keep = graph_record(graph, pruned=True), graph.prune_node_mask.values
    dense = np.zeros((len(keep), len(keep)))
    dense[graph.edge_target.values, graph.edge_source.values] = graph.edge_weight.values
    kept = np.zeros_like(dense[keep][:, keep])
    kept[record["edges"]["target"], record["edges"]["source"]] = record["edges"]["weight"]
    assert np.array_equal(kept, dense[np.ix_(keep, keep)])
    np.testing.assert_allclose(record["nodes"]["total"], np.abs(dense).sum(1)[keep], rtol=1e-5)


def test_every_kind_of_record_is_there(records, built):
    """All kinds of the small store are made and packed."""
    units = records.get(f"features/{BEHAVIOUR}")
    names = {
        "store": [],
        "graph": [BEHAVIOUR, "p0a"],
        "feature": [BEHAVIOUR, str(units["layer"][0]), str(units["feature"][0])],
        "figure": [BEHAVIOUR, records.get(f"behaviour/{BEHAVIOUR}")["figures"][0]["name"]],
        "provenance": [BEHAVIOUR, "figures"],
    }
    for kind in NAMES.keys() - {"text"}:
        assert pack(records.get("/".join([kind, *names.get(kind, [BEHAVIOUR])])))


def test_a_text_has_a_graph_of_its_own(built, tmp_path):
    """What `attribute` computed is listed by its text and opens as a graph; other questions are not."""
    copy = built.copy(tmp_path / "copy")
    words = ("--target", " are", "--against", " is", "--profile", copy.profile, "--store", copy.store)
    assert run("attribute", "the dog to the cat", *words, "--json").code == 0
    for more in (("--head", "1/0/-1/1"), ("--edge", "embedding/1>logit/5")):
        assert run("attention", "the dog to the cat", *more, *words[-4:]).code == 0
    records = Records(Store(str(copy.store)).check(), PROFILE)
    store = records.get("store")
    (text,) = store["texts"]
    assert (text["text"], text["target"], text["against"]) == ("the dog to the cat", " are", " is")
    assert store["behaviours"] == [BEHAVIOUR]
    graph = records.get(f"text/{text['name']}")
    assert graph["answers"] == [" are", " is"] and len(graph["edges"]["weight"]) > 0


WRONG = ("", "graph", "graph/mine", "graph/mine/nobody", "graph/../p0a", "behaviour/other", "nothing/mine")


@pytest.mark.parametrize("key", [*WRONG, "feature/mine/0/x", "feature/mine/0/99999"])
def test_a_wrong_key_is_told(records, key):
    """Whatever a browser asks for, there is an error to show."""
    with pytest.raises(UsageError):
        records.get(key)


def test_a_feature_says_what_the_phases_say(records, built):
    """Activations, top prompts, tests and interventions of a feature that was edited alone."""
    where = {"behaviour": BEHAVIOUR, "store": built.store, "profile": PROFILE}
    edited = cs.open("interventions", **where).isel(prompt=0).load()
    layer, feature = int(edited.single_layer[0]), int(edited.single_feature[0])
    page = records.get(f"feature/{BEHAVIOUR}/{layer}/{feature}")
    place = records.get(f"behaviour/{BEHAVIOUR}")["prompts"]
    row = next(r for r in page["interventions"] if place[r["prompt"]]["id"] == str(edited.prompt.values))
    free = edited.single_margin.sel(regime="free").values[0]
    np.testing.assert_allclose(row["edited"], free, rtol=1e-6)
    np.testing.assert_allclose(row["control"], edited.single_control_margin.values[0], rtol=1e-6)
    dense = cs.open("features", **where).activation.sel(layer=layer, feature=feature)
    got = page["activations"]
    for k in range(len(got["value"])):
        there = dense.sel(prompt=place[got["prompt"][k]]["id"], position=got["position"][k])
        assert float(there) == pytest.approx(float(got["value"][k]))
    assert len(got["value"]) == int((dense.fillna(0) > 0).sum())
