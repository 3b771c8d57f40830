"""Attention explained, as scripts and the command ask for it: sums, names, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from workspace import Workspace, one_line_error, run

import circuitstore as cs
from circuitstore.errors import UsageError
from circuitstore.results.graphs import nodes

TEXT = "the keys to the cabinet"


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A workspace's profile and store, and a graph in it."""
    made = Workspace.create(tmp_path_factory.mktemp("attention"))
    where = {"model": made.profile, "store": made.store}
    return where, cs.attribute(TEXT, **where, full=True)


def words(where):
    return ("--profile", where["model"], "--store", where["store"])


def test_all_pairs_sum_to_the_score(asked):
    """Of a text, of its graph and of its tokens: one answer, with the graph's features as sources."""
    where, graph = asked
    why = cs.attention(graph, 2, 1, -1, 2, pairs=7, **where).load()
    pairs = why.query_vector.values.astype(np.float64) @ why.key_vector.values.T
    assert float(why.score) == pytest.approx(pairs.sum(), abs=1e-4)
    np.testing.assert_allclose(pairs.sum(1), why.query_share, atol=1e-4)
    np.testing.assert_allclose(pairs.sum(0), why.key_share, atol=1e-4)
    np.testing.assert_allclose(pairs[why.pair_query, why.pair_key], why.pair_share, atol=1e-5)
    assert why.sizes["pair"] == 7 and abs(why.pair_share.values[0]) == pytest.approx(np.abs(pairs).max())
    for same in (TEXT, graph.input_tokens.values.tolist()):
        other = cs.attention(same, 2, 1, -1, 2, pairs=7, **where)
        assert other.attrs["content"] == why.attrs["content"]
    features = why.source_kind.values == "feature"
    columns = (why[f"source_{name}"].values[features] for name in ("layer", "position", "feature"))
    below = graph.active_features.values[graph.active_features.values[:, 0] < 2]
    assert sorted(zip(*columns, strict=True)) == sorted(map(tuple, below.tolist()))


def test_heads_sum_to_edges_of_every_kind(asked):
    """As the graph has them; features, errors and embeddings to features and logits."""
    where, graph = asked
    kinds = [row["kind"] for row in nodes(graph)]
    matrix = graph.adjacency_matrix.values
    edges = []
    for source in ("feature", "error", "embedding"):
        for target in ("feature", "logit"):
            some = np.abs(matrix) * np.outer(
                [kind == target for kind in kinds], [kind == source for kind in kinds]
            )
            row, column = np.unravel_index(some.argmax(), some.shape)
            edges.append((int(column), int(row)))
    heads = cs.heads(graph, edges, **where).load()
    expected = [matrix[target, source] for source, target in edges]
    np.testing.assert_allclose(heads.weight, expected, rtol=1e-4)
    total = heads.loading.values.sum((1, 2)) + heads.direct.values
    np.testing.assert_allclose(total, expected, rtol=1e-4)
    assert len({str(name).split("/")[0] for name in heads.edge_name.values}) == 3


def test_an_edge_to_a_difference_of_logits(asked):
    """It is named by both tokens."""
    where, _ = asked
    graph = cs.attribute(TEXT, target=" are", against=" is", **where, full=True)
    logit = graph.sizes["node"] - 1
    source = int(np.abs(graph.adjacency_matrix.values[logit]).argmax())
    heads = cs.heads(graph, [(source, logit)], **where)
    assert str(heads.edge_name.values[0]).count("/") >= 3
    assert float(heads.weight[0]) == pytest.approx(graph.adjacency_matrix.values[logit, source], rel=1e-4)


def test_the_command_says_the_same(asked):
    """Both questions, for people and as JSON."""
    where, graph = asked
    told = run("attention", TEXT, "--head", "2/1/-1/2", "--top", "3", "--json", *words(where))
    why = cs.attention(graph, 2, 1, -1, 2, pairs=3, **where)
    assert told.code == 0, told.err
    assert told.json["score"] == float(why.score)
    assert (told.json["query"], told.json["key"]) == (5, 2)
    assert [pair["share"] for pair in told.json["largest"]] == why.pair_share.values.tolist()
    plain = run("attention", TEXT, "--head", "2/1/-1/2", *words(where))
    assert plain.code == 0, plain.err
    assert "source of the query" in plain.out and f"{float(why.score):.4f} nats" in plain.out
    edge = "embedding/1>logit/5"
    told = run("attention", TEXT, "--edge", edge, "--top", "99", "--json", *words(where))
    assert told.code == 0, told.err
    (row,) = told.json["edges"]
    total = row["direct"] + sum(head["loading"] for head in row["heads"])
    assert row["edge"] == edge and total == pytest.approx(row["weight"], rel=1e-4)
    assert "last head" in run("attention", TEXT, "--edge", edge, *words(where)).out


@pytest.mark.parametrize(
    "more, said",
    [
        ((), "either --head or --edge"),
        (("--head", "1/1/1/1", "--edge", "embedding/1>logit/5"), "either --head or --edge"),
        (("--head", "1/1/1"), "LAYER/HEAD/QUERY/KEY"),
        (("--head", "1/1/2/3"), "key position"),
        (("--head", "9/1/2/1"), "layer"),
        (("--head", "1/1/-9/1"), "query position"),
        (("--edge", "embedding/1>embedding/2"), "SOURCE>TARGET"),
        (("--edge", "embedding/1>logit/99999"), "token ids"),
        (("--edge", "feature/0/1/99999>logit/5"), "source of an edge"),
        (("--edge", "embedding/99>logit/5"), "source of an edge"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_expected(asked, more, said):
    """In one line, without a traceback."""
    outcome = run("attention", TEXT, *more, *words(asked[0]))
    assert said in one_line_error(outcome, code=outcome.code) and outcome.code in (1, 2)


def test_other_graphs_and_other_nodes_are_refused(asked):
    """A graph of another profile, a dataset that is no graph of a text, and what is no edge."""
    where, graph = asked
    with pytest.raises(UsageError, match="whose graph this is"):
        cs.attention(graph, 0, 0, 1, 1, store=where["store"])
    with pytest.raises(UsageError, match="a graph of one text"):
        cs.heads(cs.attention(graph, 0, 0, 1, 1, **where), [(0, 1)], **where)
    logit = graph.sizes["node"] - 1
    embedding = logit - graph.sizes["logit"]
    for wrong in ((logit, 0), (0, embedding), (0, logit + 1), (-1, logit)):
        with pytest.raises(UsageError, match="edge from"):
            cs.heads(graph, [wrong], **where)
    with pytest.raises(UsageError, match="at least one"):
        cs.heads(graph, [], **where)


def test_edges_can_be_named(asked):
    """With the text alone, its tokens, or its graph; one name beside a number needs the graph."""
    where, graph = asked
    logit = graph.sizes["node"] - graph.sizes["logit"]
    source = int(np.abs(graph.adjacency_matrix.values[logit]).argmax())
    numbered = cs.heads(graph, [(source, logit)], **where)
    name = str(numbered.edge_name.values[0])
    for same in (TEXT, graph.input_tokens.values.tolist(), graph):
        named = cs.heads(same, [name], **where)
        assert named.attrs["content"] == numbered.attrs["content"]
    both = cs.heads(graph, [name, (source, logit)], **where)
    assert both.edge_name.values.tolist() == [name, name]
    for wrong in ([(source, logit)], [name, (source, logit)]):
        with pytest.raises(UsageError, match="or edges by their names, got no graph"):
            cs.heads(TEXT, wrong, **where)
