"""Features that are active in the minimal pair alone, as nodes: what their edges mean, and that sums hold."""

from __future__ import annotations

import numpy as np
import pytest
from random_model import write_model, write_transcoders

from circuitstore.circuits.active import find_features
from circuitstore.circuits.graph import attribute
from circuitstore.circuits.intervene import Edit, intervene
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

TOKENS, PARTNER = [208, 17, 3, 99, 3, 150, 42], [208, 17, 61, 99, 3, 150, 42]
MARGIN = (5, 9)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_model(tmp_path_factory.mktemp("m"), 21))


@pytest.fixture(
    scope="module", params=[{"threshold": True, "skip": True}, {"top_k": 6}], ids=["jump", "top_k"]
)
def transcoders(request, tmp_path_factory):
    return Transcoders.open(write_transcoders(tmp_path_factory.mktemp("t"), 22, **request.param))


@pytest.fixture(scope="module")
def partner(model, transcoders):
    return find_features(transcoders, capture(model, PARTNER))


@pytest.fixture(scope="module")
def graph(model, transcoders, partner):
    return attribute(model, transcoders, TOKENS, partner=partner, difference=MARGIN, margin=MARGIN)


def identities(graph) -> np.ndarray:
    """How far the sums into features and logits are from their pre-activations: (node,)."""
    total = graph.adjacency_matrix.sum(1, dtype=np.float64) + graph.node_bias + graph.node_omitted
    rows = np.r_[0 : len(graph.selected_features), len(total) - 1]
    return np.abs(total - graph.node_preactivation)[rows]


def test_suppressed_are_the_features_of_the_partner_alone(model, transcoders, partner, graph):
    """Each once, at its place, with minus the partner's activation; the others as without a partner."""
    own = attribute(model, transcoders, TOKENS)
    here = set(map(tuple, own.active_features.tolist()))
    there = zip(partner.layer.tolist(), partner.position.tolist(), partner.feature.tolist(), strict=True)
    missing = dict(zip(there, (-partner.value).tolist(), strict=True))
    wanted = {key: value for key, value in missing.items() if key not in here}
    chosen = graph.active_features[graph.suppressed]
    values = graph.activation_values[graph.suppressed].tolist()
    assert dict(zip(map(tuple, chosen.tolist()), values, strict=True)) == wanted and wanted
    np.testing.assert_array_equal(graph.active_features[~graph.suppressed], own.active_features)
    order = np.lexsort(graph.active_features.T[::-1])
    assert (order == np.arange(len(order))).all()


def test_edges_into_every_node_sum_to_its_preactivation(model, transcoders, graph):
    """Of suppressed features too: it is read off the model, and most of the sums are of silent features."""
    assert identities(graph).max() < 2e-4
    run = capture(model, TOKENS)
    for node in np.flatnonzero(graph.suppressed)[::7]:
        layer, position, feature = graph.active_features[node]
        transcoder = transcoders.layer(layer)
        read = (
            run.mlp_input[layer, position] @ transcoder.encoder_rows([feature])[0] + transcoder.b_enc[feature]
        )
        assert graph.node_preactivation[node] == pytest.approx(float(read), abs=1e-4)
        assert float(transcoder.encode(run.mlp_input[layer])[position, feature]) == 0


def test_an_edge_out_is_what_the_silence_contributes(model, transcoders, graph):
    """Turned on as in the partner while nothing reacts, a feature moves the margin by minus its edge."""
    silent = np.flatnonzero(graph.suppressed)
    top = silent[np.argsort(-np.abs(graph.adjacency_matrix[-1, silent]))[:6]]
    edits = [[Edit(*graph.active_features[i].tolist(), float(-graph.activation_values[i]))] for i in top]
    run = intervene(model, transcoders, TOKENS, [[], *edits], regime="direct")
    margin = run.logits[:, -1, MARGIN[0]] - run.logits[:, -1, MARGIN[1]]
    np.testing.assert_allclose(margin[0] - margin[1:], graph.adjacency_matrix[-1, top], atol=1e-4)
    assert np.abs(graph.adjacency_matrix[-1, top]).min() > 1e-3


def test_the_edges_of_active_features_are_those_without_a_partner(model, transcoders, graph):
    """A partner adds rows and columns and changes no other number but the bias."""
    own = attribute(model, transcoders, TOKENS, difference=MARGIN, margin=MARGIN)
    others = np.flatnonzero(~np.concatenate([graph.suppressed, np.zeros(4 * len(TOKENS) + 1, dtype=bool)]))
    np.testing.assert_allclose(
        graph.adjacency_matrix[np.ix_(others, others)], own.adjacency_matrix, atol=1e-5
    )
    for name in ("direct", "total", "gradient", "integrated"):
        np.testing.assert_allclose(
            getattr(graph.margin, name)[others], getattr(own.margin, name), atol=1e-4, err_msg=name
        )


def test_fewer_nodes_keep_the_sums(model, transcoders, partner):
    """What is not selected, suppressed or not, is in the omitted share."""
    few = attribute(
        model, transcoders, TOKENS, partner=partner, difference=MARGIN, max_feature_nodes=12, stage=5
    )
    assert len(few.selected_features) == 12 and np.abs(few.node_omitted).max() > 1e-3
    assert identities(few).max() < 2e-4


def test_a_partner_like_the_prompt_suppresses_nothing(model, transcoders):
    """The graph is then the same to the bit."""
    own = find_features(transcoders, capture(model, TOKENS))
    graph, plain = (attribute(model, transcoders, TOKENS, partner=other) for other in (own, None))
    assert not graph.suppressed.any()
    np.testing.assert_array_equal(graph.adjacency_matrix, plain.adjacency_matrix)
    np.testing.assert_array_equal(graph.node_bias, plain.node_bias)
