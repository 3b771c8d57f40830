"""Gradients agree with finite differences; contributions to the margin agree with sums and with edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_model import write_model, write_transcoders

from circuitstore.circuits.gradients import feature_gradients, logit_gradients
from circuitstore.circuits.graph import attribute
from circuitstore.circuits.intervene import Edit, intervene
from circuitstore.circuits.margin import total_effects
from circuitstore.errors import UsageError
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

TOKENS = [208, 17, 3, 99, 3, 150, 42]
MARGIN = (5, 9)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_model(tmp_path_factory.mktemp("m"), 21))


@pytest.fixture(scope="module")
def transcoders(tmp_path_factory):
    return Transcoders.open(write_transcoders(tmp_path_factory.mktemp("t"), 22))


@pytest.fixture(scope="module")
def graph(model, transcoders):
    return attribute(model, transcoders, TOKENS, margin=MARGIN)


def moved(
    model, entry: int, position: int, direction: torch.Tensor, step: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(MLP inputs (layer, position, d_model), margin), with ``step · direction`` added at one entry."""
    module = model.hf.get_input_embeddings() if entry == 0 else model.parts.layers[entry - 1].mlp
    seen = []

    def add(_, args, output):
        output = output.clone()
        output[:, position] += step * direction
        return output

    hooks = [module.register_forward_hook(add)]
    hooks += [
        layer.mlp_norm.register_forward_hook(lambda _, args, output: seen.append(output[0]))
        for layer in model.parts.layers
    ]
    with torch.no_grad():
        logits = model.hf(torch.tensor([TOKENS]), use_cache=False).logits[0, -1]
    for hook in hooks:
        hook.remove()
    return torch.stack(seen), logits[MARGIN[0]] - logits[MARGIN[1]]


def difference(model) -> torch.Tensor:
    return (model.parts.unembedding[MARGIN[0]] - model.parts.unembedding[MARGIN[1]])[None]


def test_gradients_agree_with_finite_differences(model, transcoders):
    """Gradients of the margin and of a feature agree with small steps at embeddings and MLP outputs."""
    layer, position = 2, 5
    encoder = transcoders.layer(layer).encoder_rows([7])
    of_margin = logit_gradients(model, TOKENS, difference(model))[0]
    of_feature = feature_gradients(model, TOKENS, np.array([layer]), np.array([position]), encoder)[0]
    generator = torch.Generator().manual_seed(0)
    for entry in range(model.n_layers + 1):
        for place in (0, 3, 6):
            direction = torch.randn(model.d_model, generator=generator)
            after, before = (moved(model, entry, place, direction, step) for step in (5e-3, -5e-3))
            expected = float(after[1] - before[1]) / 1e-2
            assert float(of_margin[entry, place] @ direction) == pytest.approx(expected, rel=0.02, abs=0.01)
            expected = float(((after[0] - before[0])[layer, position] @ encoder[0]) / 1e-2)
            assert float(of_feature[entry, place] @ direction) == pytest.approx(expected, rel=0.02, abs=0.01)
    assert of_feature[layer + 1 :].abs().max() == 0  # nothing above a feature moves it
    assert of_feature[:, position + 1 :].abs().max() == 0  # nor anything after it
    assert of_margin.abs().amax(dim=(1, 2)).min() > 1e-3


def test_many_targets_are_those_of_each_alone(model):
    """Targets that do not fit into one chunk have the gradients that each has alone, to rounding."""
    directions = torch.randn(70, model.d_model, generator=torch.Generator().manual_seed(1))
    together = logit_gradients(model, TOKENS, directions)
    assert together.shape == (70, model.n_layers + 1, len(TOKENS), model.d_model)
    for i in (0, 31, 32, 69):
        torch.testing.assert_close(
            together[i], logit_gradients(model, TOKENS, directions[i : i + 1])[0], atol=1e-4, rtol=1e-4
        )


def test_gradient_attribution_is_gradient_times_what_a_node_writes(model, transcoders, graph):
    """A feature contributes activation · decoder · gradient; all nodes of an MLP, its whole output."""
    gradient = logit_gradients(model, TOKENS, difference(model))[0]
    run = capture(model, TOKENS)
    n, layers, places = len(graph.selected_features), model.n_layers, len(TOKENS)
    values = graph.margin.gradient
    for node in (0, n // 2, n - 1):
        layer, position, feature = graph.active_features[node]
        decoder = transcoders.layer(layer).decoder_rows([feature])[0]
        expected = graph.activation_values[node] * decoder @ gradient[layer + 1, position]
        assert values[node] == pytest.approx(float(expected), abs=1e-5)
    for layer in range(layers):
        for position in range(1, places):
            here = (graph.active_features[:, 0] == layer) & (graph.active_features[:, 1] == position)
            whole = (run.mlp_output[layer, position] - transcoders.layer(layer).b_dec) @ gradient[
                layer + 1, position
            ]
            assert values[:n][here].sum() + values[n + layer * places + position] == pytest.approx(
                float(whole), abs=1e-4
            )
        assert values[n + layer * places] == 0  # no error node at the prepended token
    embeddings = (run.residual[0] * gradient[0]).sum(-1)
    np.testing.assert_allclose(values[n + layers * places :][:places], embeddings, atol=1e-5)


def test_direct_attribution_is_the_row_of_a_difference_graph(model, transcoders, graph):
    """Direct attribution does not depend on the graph's targets, nor do edges on it."""
    explained = attribute(model, transcoders, TOKENS, difference=MARGIN, margin=MARGIN)
    np.testing.assert_allclose(explained.margin.direct, explained.adjacency_matrix[-1], atol=2e-5)
    sources = len(explained.margin.direct) - 1
    np.testing.assert_allclose(graph.margin.direct[:sources], explained.margin.direct[:sources], atol=2e-5)
    plain = attribute(model, transcoders, TOKENS)
    np.testing.assert_array_equal(plain.adjacency_matrix, graph.adjacency_matrix)
    assert plain.margin is None


def test_direct_attribution_is_the_effect_when_nothing_reacts(model, transcoders, graph):
    """In the direct regime, zeroing features moves the margin by exactly minus their direct attribution."""
    nodes = np.argsort(-np.abs(graph.margin.direct[: len(graph.selected_features)]))[:6]
    edits = [[Edit(*graph.active_features[i].tolist(), 0.0)] for i in nodes]
    logits = intervene(
        model, transcoders, TOKENS, [[], *edits, [edit for (edit,) in edits]], regime="direct"
    ).logits[:, -1]
    margin = logits[:, MARGIN[0]] - logits[:, MARGIN[1]]
    expected = graph.margin.direct[nodes]
    np.testing.assert_allclose(margin[0] - margin[1:], [*expected, expected.sum()], atol=1e-4)


def test_total_attribution_is_the_sum_over_all_paths(graph):
    """Total attribution is Σ direct · Bᵏ, where B are the edges as shares of the target's activation."""
    n = len(graph.selected_features)
    shares = np.zeros_like(graph.adjacency_matrix, dtype=np.float64)
    shares[:n] = graph.adjacency_matrix[:n] / graph.activation_values[:, None]
    term = graph.margin.direct.astype(np.float64)
    expected = term.copy()
    for _ in range(4):
        term = term @ shares
        expected += term
    assert np.abs(term).max() == 0  # three layers: no longer path
    np.testing.assert_allclose(graph.margin.total, expected, atol=1e-4)


def test_total_effect_of_two_layers_by_hand():
    """direct(s) + direct(t) · edge(s→t) / activation(t)."""
    adjacency = torch.zeros(3, 3)
    adjacency[1, 0] = 4.0
    assert total_effects(
        adjacency, np.array([0.5, 3.0, 0.0]), np.array([1.0, 2.0]), np.array([0, 1, 2])
    ).tolist() == [6.5, 3.0, 0.0]


def test_gradient_is_the_slope_of_a_small_ablation(model, transcoders, graph):
    """Turning a feature down by 1 % moves the real model's margin by -1 % of its gradient attribution."""
    nodes = np.argsort(-np.abs(graph.margin.gradient[: len(graph.selected_features)]))[:5]
    variants = [
        [Edit(*graph.active_features[i].tolist(), 0.99 * float(graph.activation_values[i]))] for i in nodes
    ]
    logits = intervene(model, transcoders, TOKENS, [[], *variants], regime="free").logits[:, -1]
    margin = logits[:, MARGIN[0]] - logits[:, MARGIN[1]]
    np.testing.assert_allclose(
        (margin[0] - margin[1:]) / 0.01, graph.margin.gradient[nodes], rtol=0.1, atol=0.01
    )


def test_gradient_method_keeps_threshold_and_top_k(model, transcoders, graph):
    """Method gradient has the same nodes, with the edges and the pruning of the simplified method."""
    simple = attribute(
        model,
        transcoders,
        TOKENS,
        difference=MARGIN,
        margin=MARGIN,
        method="gradient",
        gradient_threshold=0.05,
        gradient_top_k=3,
    )
    np.testing.assert_array_equal(simple.selected_features, graph.selected_features)
    np.testing.assert_allclose(simple.adjacency_matrix[-1], simple.margin.gradient, atol=1e-6)
    assert simple.prune_edge_mask.sum(axis=1).max() == 3
    assert simple.node_influence.sum() == pytest.approx(1, abs=1e-5)
    size, n = np.abs(simple.margin.gradient), len(simple.selected_features)
    assert size[simple.prune_node_mask][:-1].min() >= 0.05 * size.max()
    targets, sources = np.nonzero(simple.prune_edge_mask)
    assert simple.prune_node_mask[targets].all() and simple.prune_node_mask[sources].all()
    assert simple.prune_edge_mask[:, :n].any(axis=0)[simple.prune_node_mask[:n]].all()
    row = next(t for t in targets if t < n and graph.active_features[t, 0] == 2)
    left_out = simple.prune_node_mask & ~simple.prune_edge_mask[row]
    assert (
        np.abs(simple.adjacency_matrix[row, simple.prune_edge_mask[row]]).min()
        >= np.abs(simple.adjacency_matrix[row, left_out]).max()
    )
    layer, position, feature = graph.active_features[row]
    encoder = transcoders.layer(layer).encoder_rows([feature])
    gradient = feature_gradients(model, TOKENS, np.array([layer]), np.array([position]), encoder)[0]
    source = int(np.argmax(np.abs(simple.adjacency_matrix[row, :n])))
    there, place, other = graph.active_features[source]
    written = graph.activation_values[source] * transcoders.layer(there).decoder_rows([other])[0]
    assert simple.adjacency_matrix[row, source] == pytest.approx(
        float(written @ gradient[there + 1, place]), abs=1e-5
    )


def test_gradient_method_keeps_no_feature_or_error_without_an_edge(model, transcoders):
    """What no kept edge leaves is not in the graph, as with method direct."""
    graph = attribute(model, transcoders, TOKENS, method="gradient", gradient_top_k=1)
    inner = len(graph.selected_features) + model.n_layers * len(TOKENS)
    kept = graph.prune_node_mask[:inner]
    assert kept.any()
    assert graph.prune_edge_mask[:, :inner].any(axis=0)[kept].all()


@pytest.mark.parametrize(
    "wrong", [{"method": "exact"}, {"margin": (5, 5)}, {"gradient_threshold": 2.0}, {"gradient_top_k": 0}]
)
def test_wrong_questions_are_refused(model, transcoders, wrong):
    """Unknown method, a difference of one token, limits out of range."""
    with pytest.raises(UsageError, match="expected"):
        attribute(model, transcoders, TOKENS, **wrong)
