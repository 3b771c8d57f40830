"""Graphs of what is no logit: every edge is that of differentiation, and the sums are the target's value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graphs import TOKENS, assert_rows_add_up, assert_rows_agree
from linear_cases import CASES
from random_model import write_model, write_transcoders

from bench import naive
from circuitstore.circuits.graph import attribute
from circuitstore.circuits.targets import Aim
from circuitstore.errors import UsageError
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders


@pytest.fixture(params=list(CASES))
def folders(request, tmp_path):
    model_options, transcoder_options = CASES[request.param]
    made = write_model(tmp_path / "model", 0, **model_options)
    return (
        (made, write_transcoders(tmp_path / "transcoders", 100, **transcoder_options)),
        transcoder_options.get("top_k"),
    )


@pytest.fixture
def loaded(tmp_path):
    model = load_model(write_model(tmp_path / "m", 5))
    return model, Transcoders.open(write_transcoders(tmp_path / "t", 6))


def test_a_direction_agrees_with_autograd(folders):
    """A direction of the final norm's output: edges, bias and value, in every kind of model."""
    paths, top_k = folders
    model = load_model(paths[0])
    read = np.random.default_rng(0).normal(size=model.d_model)
    graph = attribute(model, Transcoders.open(paths[1]), TOKENS, aim=Aim(direction=read))
    slow = naive.attribute(*paths, TOKENS, top_k=top_k, direction=torch.tensor(read, dtype=torch.float32))
    assert np.array_equal(graph.active_features, slow.features) and graph.logit_token_ids.tolist() == [-1]
    assert_rows_agree(graph, slow)
    assert_rows_add_up(graph)
    assert abs(graph.node_preactivation[-1]) > 0.01


@pytest.mark.parametrize("active", [True, False])
def test_a_feature_agrees_with_autograd(folders, active):
    """One that is active and one that is silent: edges into it and its bias sum to its pre-activation."""
    paths, top_k = folders
    model, transcoders = load_model(paths[0]), Transcoders.open(paths[1])
    plain = attribute(model, transcoders, TOKENS, max_logits=1)
    known = {tuple(row) for row in plain.active_features.tolist()}
    layer = int(plain.active_features[:, 0].max())
    position = len(TOKENS) - 2
    wanted = next(
        (layer, position, i)
        for i in range(transcoders.layer(layer).n_features)
        if ((layer, position, i) in known) == active
    )
    aim = Aim(feature=(layer, position - len(TOKENS), wanted[2]))
    graph = attribute(model, transcoders, TOKENS, aim=aim)
    assert graph.target_feature == wanted
    slow = naive.attribute(*paths, TOKENS, top_k=top_k, feature=wanted)
    assert_rows_agree(graph, slow)
    assert_rows_add_up(graph)
    sources = np.flatnonzero(graph.adjacency_matrix[-1][: len(graph.selected_features)])
    assert len(sources) or layer == 0
    assert (graph.active_features[sources, 0] < layer).all()
    assert (graph.active_features[sources, 1] <= position).all()
    if active:  # the row of the feature itself
        itself = [tuple(row) for row in graph.active_features.tolist()].index(wanted)
        np.testing.assert_allclose(graph.adjacency_matrix[-1], graph.adjacency_matrix[itself], atol=1e-5)
        assert graph.node_preactivation[-1] == pytest.approx(graph.node_preactivation[itself], abs=1e-5)
        assert graph.node_influence[itself] == 0


def test_few_nodes_are_those_of_most_influence_on_the_feature(loaded):
    """Chosen by influence on what is explained: none of the layers above it, before any below it."""
    plain = attribute(*loaded, TOKENS)
    aim = Aim(feature=(2, -1, 3))
    below = (plain.active_features[:, 0] < 2).sum()
    graph = attribute(*loaded, TOKENS, aim=aim, max_feature_nodes=8, stage=3)
    assert below > 8
    assert (graph.active_features[graph.selected_features, 0] < 2).all()
    assert np.abs(graph.node_omitted[-1]) > 1e-3
    assert_rows_add_up(graph)


def test_weighted_tokens_are_sums_of_logits(loaded):
    """Each less the mean: 1 and -1 are a difference, 1 alone is the token's own graph."""
    model = loaded[0]
    logits = capture(model, TOKENS).logits[-1].double()
    graph = attribute(*loaded, TOKENS, aim=Aim(weights={7: 1.0, 30: -0.5, 9: 2.0}))
    value = sum(w * float(logits[i] - logits.mean()) for i, w in ((7, 1.0), (30, -0.5), (9, 2.0)))
    assert graph.node_preactivation[-1] == pytest.approx(value, abs=1e-4)
    for weights, asked in (({7: 1.0, 30: -1.0}, {"difference": (7, 30)}), ({7: 1.0}, {"targets": (7,)})):
        aimed, plain = (
            attribute(*loaded, TOKENS, aim=Aim(weights=weights)),
            attribute(*loaded, TOKENS, **asked),
        )
        np.testing.assert_allclose(aimed.edge_rows[-1], plain.edge_rows[-1], atol=1e-5)
        np.testing.assert_allclose(aimed.node_influence, plain.node_influence, atol=1e-5)


def test_directions_have_gradients_and_features_have_none(loaded):
    """The simplified methods explain a direction as they explain logits, and refuse a feature."""
    read = (loaded[0].parts.unembedding[7] - loaded[0].parts.unembedding[30]).numpy()
    made = attribute(*loaded, TOKENS, aim=Aim(direction=read), method="gradient")
    plain = attribute(*loaded, TOKENS, difference=(7, 30), method="gradient")
    np.testing.assert_allclose(made.edge_rows, plain.edge_rows, atol=1e-5)
    with pytest.raises(UsageError, match="direct, for a feature"):
        attribute(*loaded, TOKENS, aim=Aim(feature=(1, -1, 3)), method="gradient")


def nothing(d: int) -> np.ndarray:
    return np.zeros(d)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda d: Aim(direction=np.ones(d + 1)), "numbers, as the model's d_model"),
        (lambda d: Aim(direction=np.ones((1, d))), r"shape \(1, "),
        (lambda d: Aim(direction=np.where(np.arange(d) == 3, np.nan, 1)), "finite numbers, got nan at 3"),
        (lambda d: Aim(direction=np.full(d, np.inf)), "finite numbers, got inf at 0"),
        (lambda d: Aim(direction=np.full(d, 1e300)), "finite numbers"),
        (lambda d: Aim(direction=np.full(d, 1e-300)), "zeros, which read nothing"),
        (lambda d: Aim(direction=nothing(d)), "zeros, which read nothing"),
        (lambda d: Aim(weights={}), "one of them not 0"),
        (lambda d: Aim(weights={3: 0.0}), "one of them not 0"),
        (lambda d: Aim(weights={3: float("nan")}), "finite numbers"),
        (lambda d: Aim(weights={99_999: 1.0}), "token ids below"),
        (lambda d: Aim(feature=(0, 0, 1)), "a position from 1 to 6"),
        (lambda d: Aim(feature=(0, 7, 1)), "a position from 1 to 6"),
        (lambda d: Aim(feature=(0, -7, 1)), "a position from 1 to 6"),
        (lambda d: Aim(feature=(9, 1, 1)), "one of those in use"),
        (lambda d: Aim(feature=(0, 1, 99_999)), "a feature of layer 0, from 0 to"),
        (lambda d: Aim(feature=(0, 1, -1)), "a feature of layer 0, from 0 to"),
        (lambda d: Aim(), "one of feature, direction and weights"),
        (lambda d: Aim(feature=(0, 1, 1), weights={3: 1.0}), "one of feature, direction and weights"),
    ],
)
def test_wrong_targets_are_refused(loaded, wrong, said):
    """In one sentence that says what was expected, before a graph is made of them."""
    with pytest.raises(UsageError, match=said):
        attribute(*loaded, TOKENS, aim=wrong(loaded[0].d_model))


def test_tokens_beside_an_aim_are_refused(loaded):
    with pytest.raises(UsageError, match="tokens, or a feature or a direction"):
        attribute(*loaded, TOKENS, aim=Aim(feature=(1, -1, 3)), targets=(3,))
