"""Graphs, scores and the forward pass agree with circuit-tracer 0.4.1 on a random model and transcoders."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from random_model import CONFORMANCE
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file

from bench import naive
from circuitstore.circuits import pruning
from circuitstore.circuits.graph import attribute
from circuitstore.models.capture import capture
from circuitstore.models.load import tokenize
from circuitstore.transcoders.per_layer import Transcoders

CASES = [("relu", "expected", None), ("relu", "expected_max100", 100), ("jumprelu", "expected", None)]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}", scope="module")
def case(request, reference_on_device):
    kind, name, max_nodes = request.param
    folder = CONFORMANCE / kind
    expected = load_file(folder / f"{name}.safetensors") | {
        "json": json.loads((folder / f"{name}.json").read_text())
    }
    transcoders = Transcoders.open(folder, device=reference_on_device.device)
    graph = attribute(
        reference_on_device,
        transcoders,
        expected["input_tokens"].tolist(),
        max_logits=5,
        max_feature_nodes=max_nodes,
    )
    return reference_on_device, transcoders, graph, expected


def test_tokens(case):
    """The token that the reference case prepends, eos, and the text's own tokens."""
    model, _, graph, expected = case
    assert (
        tokenize(model.tokenizer, expected["json"]["prompt"], prepend="eos")
        == expected["input_tokens"].tolist()
        == graph.input_tokens.tolist()
    )


@pytest.mark.parametrize(
    "name", ["active_features", "selected_features", "logit_token_ids", "prune_node_mask", "prune_edge_mask"]
)
def test_same(case, name):
    """Exactly the same features, targets and masks."""
    assert np.array_equal(getattr(case[2], name), case[3][name])


def test_adjacency_matrix_within_a_hundred_thousandth_of_each_row(case):
    """Every edge, and the same entries are zero."""
    ours, theirs = case[2].adjacency_matrix, case[3]["adjacency_matrix"]
    assert ours.shape == theirs.shape
    assert (np.abs(ours - theirs) <= 1e-5 * np.abs(theirs).max(axis=1, keepdims=True)).all()
    assert ((ours == 0) == (theirs == 0)).all()


@pytest.mark.parametrize("name", ["activation_values", "logit_probabilities", "node_influence"])
def test_values(case, name):
    """Activations, probabilities, influence."""
    np.testing.assert_allclose(getattr(case[2], name), case[3][name], atol=1e-5)


def test_cumulative_influence(case):
    """In the order of influence, for two nodes that tie within rounding may change places."""
    ours, theirs = case[2].node_cumulative, case[3]["prune_cumulative"]
    np.testing.assert_allclose(np.sort(ours), np.sort(theirs), atol=1e-5)
    rank = np.argsort(np.argsort(theirs))
    assert np.corrcoef(rank, np.argsort(np.argsort(ours)))[0, 1] > 0.999


def test_scores(case):
    """Replacement and completeness score."""
    assert case[2].replacement_score == pytest.approx(case[3]["json"]["replacement_score"], abs=1e-4)
    assert case[2].completeness_score == pytest.approx(case[3]["json"]["completeness_score"], abs=1e-4)


def test_rows_add_up_to_preactivations(case):
    """Edges + bias + omitted = pre-activation, which is the activation of an active feature."""
    graph = case[2]
    total = graph.adjacency_matrix.sum(axis=1) + graph.node_bias + graph.node_omitted
    scale = np.abs(graph.node_preactivation).max()
    assert np.abs(total - graph.node_preactivation).max() < 1e-4 * scale
    features = graph.node_preactivation[: len(graph.selected_features)]
    np.testing.assert_allclose(features, graph.activation_values[graph.selected_features], atol=1e-5)
    assert (np.abs(graph.node_omitted).max() > 0) == (
        len(graph.selected_features) < len(graph.active_features)
    )


def test_forward_pass(case):
    """Logits and dense transcoder activations of the plain forward pass."""
    model, transcoders, _, expected = case
    run = capture(model, expected["input_tokens"].tolist())
    np.testing.assert_allclose(run.logits.cpu().numpy(), expected["base_logits"], atol=1e-4)
    acts = torch.stack([transcoders.layer(i).encode(run.mlp_input[i]) for i in range(model.n_layers)])
    np.testing.assert_allclose(
        acts.cpu().numpy()[:, 1:], expected["base_acts"][:, 1:], atol=1e-4
    )  # the reference zeroes position 0


def test_influence_of_the_reference_matrix(case):
    """One pass over the layers gives what iterating w Âᵏ until it vanishes gives."""
    graph, expected = case[2], case[3]
    matrix = expected["adjacency_matrix"].astype(np.float64)
    shares = np.abs(matrix) / np.maximum(np.abs(matrix).sum(axis=1, keepdims=True), 1e-30)
    weights = np.zeros(len(matrix))
    weights[-len(graph.logit_token_ids) :] = graph.logit_probabilities
    total, step = np.zeros(len(matrix)), weights @ shares
    while step.any():
        total, step = total + step, step @ shares
    levels = np.full(len(matrix), -1)
    levels[: len(graph.selected_features)] = graph.active_features[graph.selected_features, 0]
    levels[-len(graph.logit_token_ids) :] = 4
    np.testing.assert_allclose(
        pruning.influence(torch.from_numpy(expected["adjacency_matrix"]), weights, levels), total, rtol=1e-9
    )


def test_a_variant_with_skip_connections_agrees_with_differentiation(reference_model, tmp_path):
    """With skip connections, which circuit-tracer lacks here, edges agree with automatic differentiation."""
    expected = load_file(CONFORMANCE / "relu" / "expected.safetensors")
    generator = torch.Generator().manual_seed(0)
    for path in (CONFORMANCE / "relu").glob("layer_*.safetensors"):
        tensors = load_tensors(path)
        d_model = len(tensors["b_dec"])
        save_file(
            tensors | {"W_skip": torch.randn(d_model, d_model, generator=generator) * 0.3 / d_model**0.5},
            tmp_path / path.name,
        )
    tokens = expected["input_tokens"].tolist()
    graph = attribute(reference_model, Transcoders.open(tmp_path), tokens, max_logits=5)
    slow = naive.attribute(CONFORMANCE / "model", tmp_path, tokens, max_logits=5, batch=8)
    assert np.array_equal(graph.active_features, slow.features)
    largest = np.abs(slow.adjacency).max(axis=1, keepdims=True)
    assert (np.abs(graph.adjacency_matrix - slow.adjacency) <= 1e-5 * largest).all()
    without = attribute(reference_model, Transcoders.open(CONFORMANCE / "relu"), tokens, max_logits=5)
    embeddings = slice(-len(tokens) - len(graph.logit_token_ids), -len(graph.logit_token_ids))
    assert not np.allclose(
        graph.adjacency_matrix[-1, embeddings], without.adjacency_matrix[-1, embeddings], rtol=0.1
    )
