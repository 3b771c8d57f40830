"""Integrated gradients: beside a brute-force path integral, their sums, planted cases, and graphs of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_model import write_model, write_transcoders

from circuitstore.circuits.gradients import Path, feature_gradients, logit_gradients
from circuitstore.circuits.graph import attribute
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

TOKENS = [208, 17, 3, 99, 3, 150, 42]
MARGIN = (5, 9)
STEPS = 64  # with so many, sums are complete to a thousandth


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_model(tmp_path_factory.mktemp("m"), 21))


@pytest.fixture(scope="module")
def transcoders(tmp_path_factory):
    return Transcoders.open(write_transcoders(tmp_path_factory.mktemp("t"), 22))


@pytest.fixture(scope="module")
def graph(model, transcoders):
    return attribute(model, transcoders, TOKENS, margin=MARGIN, integrated_steps=STEPS)


def written(model, transcoders, entry: int) -> torch.Tensor:
    """What all nodes of an entry write, (position, d_model): an MLP output less its decoder's bias."""
    result = capture(model, TOKENS).mlp_output[entry - 1] - transcoders.layer(entry - 1).b_dec
    result[0] = 0  # no node
    return result


def margin_without(model, entry: int, missing: torch.Tensor) -> torch.Tensor:
    """The margin of the real model when ``missing`` (position, d_model) is taken away at an entry."""
    hook = model.parts.layers[entry - 1].mlp.register_forward_hook(lambda _, args, output: output - missing)
    logits = model.hf(torch.tensor([TOKENS]), use_cache=False).logits[0, -1]
    hook.remove()
    return logits[MARGIN[0]] - logits[MARGIN[1]]


def nodes_of_entry(graph, entry: int) -> np.ndarray:
    """The nodes that write at an entry: (n,) int64."""
    n, places = len(graph.selected_features), len(TOKENS)
    features = np.flatnonzero(graph.active_features[graph.selected_features][:, 0] == entry - 1)
    return np.concatenate([features, n + (entry - 1) * places + np.arange(places)])


@pytest.mark.parametrize("entry", (1, 2, 3))
def test_a_path_integral_by_brute_force(model, transcoders, graph, entry):
    """A thousand steps of torch's own gradients of the share α give the same for each node and their sum."""
    whole = written(model, transcoders, entry)
    nodes, total = nodes_of_entry(graph, entry), torch.zeros_like(whole)
    for k in range(1000):
        missing = ((1 - (k + 0.5) / 1000) * whole).requires_grad_()
        total -= torch.autograd.grad(margin_without(model, entry, missing), missing)[0] / 1000
    assert graph.margin.integrated[nodes].sum() == pytest.approx(float((total * whole).sum()), abs=5e-3)
    for node in nodes[: (graph.active_features[:, 0] == entry - 1).sum()][::5]:
        layer, position, feature = graph.active_features[graph.selected_features[node]]
        decoder = transcoders.layer(layer).decoder_rows([feature])[0]
        expected = graph.activation_values[graph.selected_features[node]] * decoder @ total[position]
        assert graph.margin.integrated[node] == pytest.approx(float(expected), abs=5e-3)


@pytest.mark.parametrize("entry", (1, 2, 3))
def test_the_nodes_of_an_entry_sum_to_what_taking_them_away_does(model, transcoders, graph, entry):
    """Completeness. The gradient at the prompt does not have it."""
    whole = written(model, transcoders, entry)
    with torch.no_grad():
        change = float(margin_without(model, entry, 0 * whole) - margin_without(model, entry, whole))
    nodes = nodes_of_entry(graph, entry)
    assert graph.margin.integrated[nodes].sum() == pytest.approx(change, abs=5e-3)
    assert abs(graph.margin.gradient[nodes].sum() - change) > 0.02


def test_embeddings_keep_their_gradient(graph):
    """They do not fall silent."""
    first = len(graph.selected_features) + 3 * len(TOKENS)
    np.testing.assert_allclose(graph.margin.integrated[first:], graph.margin.gradient[first:], atol=1e-5)


def test_a_curve_that_is_known(model):
    """With one step, the gradient is that in the middle of the path; nothing to move leaves it as it is."""
    read = (model.parts.unembedding[MARGIN[0]] - model.parts.unembedding[MARGIN[1]])[None]
    plain = logit_gradients(model, TOKENS, read)
    still = torch.zeros(model.n_layers + 1, len(TOKENS), model.d_model)
    torch.testing.assert_close(logit_gradients(model, TOKENS, read, path=Path(still, 5)), plain)
    moving = still.clone()
    moving[2, 4] = 3 * torch.randn(model.d_model, generator=torch.Generator().manual_seed(0))
    once = logit_gradients(model, TOKENS, read, path=Path(moving, 1))[0]
    missing = (moving[2] / 2).requires_grad_()
    (expected,) = torch.autograd.grad(-margin_without(model, 2, missing), missing)
    torch.testing.assert_close(once[2], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(once[[0, 1, 3]], plain[0, [0, 1, 3]], atol=1e-4, rtol=1e-4)


def test_a_saturated_feature_is_credited_by_the_path_and_not_by_the_gradient(model, monkeypatch):
    """Planted: the target is min(x · u, 1), and x writes 4 u. The slope at the prompt is 0, the mean 1/4."""
    u = torch.nn.functional.normalize(torch.randn(48, generator=torch.Generator().manual_seed(1)), dim=0)
    seen = []

    def saturating(x: torch.Tensor) -> torch.Tensor:
        seen.append(float(x[0, -1].detach() @ u))
        return (x @ u - seen[0] + 4).clamp(max=1)[..., None] * u

    monkeypatch.setattr(model.parts.final_norm, "forward", saturating)
    written = torch.zeros(model.n_layers + 1, len(TOKENS), model.d_model)
    written[3, -1] = 4 * u
    at_prompt = logit_gradients(model, TOKENS, u[None])[0, 3, -1] @ u
    along = logit_gradients(model, TOKENS, u[None], path=Path(written, STEPS))[0, 3, -1] @ u
    assert float(at_prompt) == 0
    assert float(along) == pytest.approx(0.25, abs=1 / STEPS)


def test_edges_of_a_graph_of_integrated_gradients(model, transcoders):
    """Edges into a feature from one layer sum to the change of its pre-activation without that layer."""
    graph = attribute(
        model,
        transcoders,
        TOKENS,
        difference=MARGIN,
        margin=MARGIN,
        method="integrated",
        gradient_threshold=0.05,
        integrated_steps=STEPS,
    )
    np.testing.assert_allclose(graph.adjacency_matrix[-1], graph.margin.integrated, atol=1e-5)
    active = graph.active_features[graph.selected_features]
    target = next(
        node for node in np.flatnonzero(graph.prune_node_mask[: len(active)]) if active[node, 0] == 2
    )
    layer, position, feature = active[target]
    encoder = transcoders.layer(layer).encoder_rows([feature])[0]
    whole, seen = written(model, transcoders, 1), []
    hook = model.parts.layers[layer].mlp_norm.register_forward_hook(
        lambda _, args, output: seen.append(float(output[0, position] @ encoder))
    )
    with torch.no_grad():
        margin_without(model, 1, 0 * whole)
        margin_without(model, 1, whole)
    hook.remove()
    edges = graph.adjacency_matrix[target, nodes_of_entry(graph, 1)]
    assert edges.sum() == pytest.approx(seen[0] - seen[1], abs=5e-3)
    assert abs(edges).max() > 0.01 and np.isnan(graph.adjacency_matrix).sum() == 0


def test_no_target_has_no_gradients(model):
    """An empty set of targets is no error, with a path as without."""
    path = Path(torch.ones(model.n_layers + 1, len(TOKENS), model.d_model), 3)
    none = np.zeros(0, dtype=np.int64)
    encoders = torch.zeros(0, model.d_model)
    assert feature_gradients(model, TOKENS, none, none, encoders, path=path).shape[0] == 0
