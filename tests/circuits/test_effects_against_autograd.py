"""The fast graph agrees with gradients of the real model, and every row adds up to its pre-activation."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from graphs import TOKENS, assert_rows_add_up, assert_rows_agree
from linear_cases import CASES
from random_model import write_model, write_transcoders

from bench import naive
from circuitstore.circuits import batching, choosing
from circuitstore.circuits.active import ActiveFeatures, find_features
from circuitstore.circuits.graph import attribute
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders


@pytest.fixture(params=[(name, seed) for name in CASES for seed in (0, 1)], ids=lambda p: f"{p[0]}-{p[1]}")
def case(request, tmp_path):
    name, seed = request.param
    model_options, transcoder_options = CASES[name]
    return (
        write_model(tmp_path / "model", seed, **model_options),
        write_transcoders(tmp_path / "transcoders", seed + 100, **transcoder_options),
        transcoder_options.get("top_k"),
    )


def test_full_graph_agrees_with_one_gradient_per_target(case):
    """Same active features, same logits, every edge, every bias share."""
    model, transcoders, top_k = case
    slow = naive.attribute(model, transcoders, TOKENS, top_k=top_k, batch=5)
    graph = attribute(load_model(model), Transcoders.open(transcoders), TOKENS)
    assert len(graph.active_features) > 20
    assert np.array_equal(graph.active_features, slow.features)
    np.testing.assert_allclose(graph.activation_values, slow.values, rtol=1e-4, atol=1e-5)
    assert np.array_equal(graph.logit_token_ids, slow.logit_ids)
    assert_rows_agree(graph, slow)
    assert_rows_add_up(graph)


@pytest.mark.parametrize("seed", range(30))
def test_any_small_model_agrees(tmp_path, seed):
    """Every edge and sum is that of differentiation, for drawn models, transcoders, prompts, targets."""
    draw = random.Random(seed)
    kind = draw.choice(["qwen3", "llama"])  # with and without norms of queries and keys
    layers, skip, top_k = draw.randint(1, 5), draw.random() < 0.3, draw.choice([None, None, 4])
    options = {"kv_heads": draw.choice([1, 2, 4]), "tied": draw.random() < 0.5, "bias": draw.random() < 0.5}
    model = write_model(tmp_path / "m", seed, kind=kind, layers=layers, **options)
    coders = write_transcoders(
        tmp_path / "t", seed, layers=layers, skip=skip, top_k=top_k, threshold=draw.random() < 0.5
    )
    tokens = [208, *(draw.randrange(200) for _ in range(draw.randint(1, 9)))]
    asked = draw.choice([{}, {"targets": (9, 4)}, {"difference": (5, 6)}, {"max_logits": 3}])
    graph = attribute(load_model(model), Transcoders.open(coders), tokens, **asked)
    slow = naive.attribute(model, coders, tokens, top_k=top_k, batch=draw.randint(1, 9), **asked)
    assert np.array_equal(graph.active_features, slow.features)
    assert_rows_agree(graph, slow)
    assert_rows_add_up(graph)


@pytest.mark.parametrize("skip", [False, True])
def test_features_known_for_some_layers_and_positions_only(tmp_path, skip):
    """Where nothing is covered the whole MLP output is the error, skip included; rows still add up."""
    folders = write_model(tmp_path / "m", 3), write_transcoders(tmp_path / "t", 4, skip=skip)
    model, transcoders = load_model(folders[0]), Transcoders.open(folders[1])
    everything = find_features(transcoders, capture(model, TOKENS))
    covered = np.zeros((3, len(TOKENS)), dtype=bool)
    covered[1:, 2:] = True
    kept = covered[everything.layer, everything.position]
    shuffled = np.random.default_rng(0).permutation(np.flatnonzero(kept))
    columns = (everything.layer, everything.position, everything.feature, everything.value)
    given = ActiveFeatures(*(column[shuffled] for column in columns), covered)
    graph = attribute(model, transcoders, TOKENS, features=given)
    slow = naive.attribute(*folders, TOKENS, covered=covered)
    assert np.array_equal(graph.active_features, slow.features)
    assert_rows_agree(graph, slow)
    assert_rows_add_up(graph)


def test_given_tokens(tmp_path):
    """With targets there is a logit node for each token, likely or not, which weighs its share of them."""
    folders = write_model(tmp_path / "m", 5), write_transcoders(tmp_path / "t", 6)
    model, transcoders = load_model(folders[0]), Transcoders.open(folders[1])
    graph = attribute(model, transcoders, TOKENS, targets=(30, 7))
    assert graph.logit_token_ids.tolist() == [30, 7] and graph.logit_against_ids.tolist() == [-1, -1]
    probabilities = torch.softmax(capture(model, TOKENS).logits[-1], 0)[[30, 7]]
    np.testing.assert_allclose(graph.logit_probabilities, probabilities, rtol=1e-6)
    np.testing.assert_allclose(graph.logit_weights, probabilities / probabilities.sum(), rtol=1e-5)
    alone = attribute(model, transcoders, TOKENS, targets=(30,))
    assert alone.logit_weights.tolist() == [1.0]
    # All that reaches the logit begins at embeddings and errors.
    first = len(alone.selected_features)
    np.testing.assert_allclose(alone.node_influence[first:-1].sum(), 1.0, rtol=1e-4)
    assert_rows_agree(graph, naive.attribute(*folders, TOKENS, targets=(30, 7), batch=4))
    assert_rows_add_up(graph)


def test_difference_of_two_logits(tmp_path):
    """With a difference there is one logit node, correct less incorrect, of weight 1."""
    folders = write_model(tmp_path / "m", 5), write_transcoders(tmp_path / "t", 6)
    graph = attribute(load_model(folders[0]), Transcoders.open(folders[1]), TOKENS, difference=(7, 30))
    slow = naive.attribute(*folders, TOKENS, difference=(7, 30))
    assert graph.logit_token_ids.tolist() == [7] and graph.logit_against_ids.tolist() == [30]
    assert graph.logit_probabilities.tolist() == graph.logit_weights.tolist() == [1.0]
    assert_rows_agree(graph, slow)
    assert_rows_add_up(graph)


@pytest.mark.parametrize("stage", [2048, 16])
def test_fewer_nodes_than_features(tmp_path, stage):
    """Edges between chosen features are those of the full graph; what the others send is accounted for."""
    folders = write_model(tmp_path / "m", 7), write_transcoders(tmp_path / "t", 8, skip=True)
    model, transcoders = load_model(folders[0]), Transcoders.open(folders[1])
    graph = attribute(model, transcoders, TOKENS, max_feature_nodes=40, stage=stage)
    assert len(graph.selected_features) == 40 < len(graph.active_features)
    assert (np.diff(graph.selected_features) > 0).all()
    slow = naive.attribute(*folders, TOKENS, nodes=graph.active_features[graph.selected_features])
    assert_rows_agree(graph, slow)
    assert np.abs(graph.node_omitted).max() > 0.01
    assert_rows_add_up(graph)


@pytest.mark.parametrize("room", [10**9, 20_000, 0], ids=["kept", "first-kept", "computed-again"])
def test_stages_choose_by_the_rows_known_so_far(tmp_path, monkeypatch, room):
    """Small stages choose exactly what ranking the full graph's known rows, again and again, chooses.

    That holds whether the rows of a stage are kept, or computed again a level and a few rows at a time.
    """
    folders = write_model(tmp_path / "m", 7), write_transcoders(tmp_path / "t", 8)
    model, transcoders = load_model(folders[0]), Transcoders.open(folders[1])
    full = attribute(model, transcoders, TOKENS)
    n, k = len(full.active_features), len(full.logit_token_ids)
    weights = np.zeros(len(full.node_influence))
    weights[-k:] = full.logit_weights
    chosen: list[int] = []
    while len(chosen) < 24:
        known = np.zeros(full.adjacency_matrix.shape)
        rows = [*chosen, *range(len(known) - k, len(known))]
        known[rows] = np.abs(full.adjacency_matrix[rows])
        known /= np.maximum(known.sum(1, keepdims=True), 1e-12)
        total, step = np.zeros(len(known)), weights
        for _ in range(10):
            step = step @ known
            total += step
        ranked = [i for i in np.argsort(-total[:n], kind="stable").tolist() if i not in chosen]
        chosen += ranked[: min(7, 24 - len(chosen))]
    blocks = []
    rows_of = choosing.Choice._rows
    monkeypatch.setattr(
        choosing.Choice, "_rows", lambda self, targets: blocks.append(len(targets)) or rows_of(self, targets)
    )
    few = replace(batching.CPU, chosen_bytes=room, block_bytes=3 * 4 * len(full.node_influence))
    monkeypatch.setattr(batching, "CPU", few)
    graph = attribute(model, transcoders, TOKENS, max_feature_nodes=24, stage=7)
    assert graph.selected_features.tolist() == sorted(chosen)
    assert (blocks == [k, 7, 7, 7]) == (room == 10**9) and (max(blocks) <= max(3, k) or room)


def test_only_what_edges_enter_has_a_row(tmp_path):
    """Features and logits. Written out, errors and embeddings have rows of zeros, at their places."""
    folders = write_model(tmp_path / "m", 7), write_transcoders(tmp_path / "t", 8)
    graph = attribute(load_model(folders[0]), Transcoders.open(folders[1]), TOKENS, max_feature_nodes=24)
    n_logits, n_inputs = len(graph.logit_token_ids), 4 * len(TOKENS)
    assert graph.edge_rows.shape == graph.prune_edge_rows.shape == (24 + n_logits, 24 + n_inputs + n_logits)
    for rows, square in (
        (graph.edge_rows, graph.adjacency_matrix),
        (graph.prune_edge_rows, graph.prune_edge_mask),
    ):
        assert np.array_equal(square[:24], rows[:24]) and np.array_equal(square[-n_logits:], rows[24:])
        assert rows.any() and not square[24:-n_logits].any()


@pytest.mark.parametrize("cut", range(6))
@pytest.mark.parametrize("given", ["cpu", "accelerator", "least", "spanned"])
def test_every_cut_and_any_memory_give_the_same_effects(tmp_path, monkeypatch, cut, given):
    """The cut, the number of batches and how many rows start at once change the last bits only."""
    folders = (
        write_model(tmp_path / "m", 9, layers=5),
        write_transcoders(tmp_path / "t", 10, layers=5, skip=True),
    )
    model, transcoders = load_model(folders[0]), Transcoders.open(folders[1])
    reference = attribute(model, transcoders, TOKENS).adjacency_matrix
    monkeypatch.setattr("circuitstore.circuits.effects.cheapest_cut", lambda *args: cut)
    least = replace(
        batching.CPU,
        flight_bytes=reference.nbytes // 2,
        starting_rows=3,
        moved_rows=20,
        span=1,
        kept_bytes=1000,
    )
    spanned = replace(least, moved_rows=60, span=3)
    kinds = {"cpu": batching.CPU, "accelerator": batching.ACCELERATOR, "least": least, "spanned": spanned}
    monkeypatch.setattr(batching, "CPU", kinds[given])
    again = attribute(model, transcoders, TOKENS).adjacency_matrix
    assert np.abs(again - reference).max() < 1e-5 * np.abs(reference).max()
    assert ((again == 0) == (reference == 0)).all()


def test_a_second_run_gives_the_same_bits(tmp_path):
    """Nothing depends on chance, on order of visits or on what ran before."""
    folders = write_model(tmp_path / "m", 11), write_transcoders(tmp_path / "t", 12)
    model, transcoders = load_model(folders[0]), Transcoders.open(folders[1])
    first = attribute(model, transcoders, TOKENS)
    attribute(model, transcoders, TOKENS[:3])
    second = attribute(load_model(folders[0]), Transcoders.open(folders[1]), TOKENS)
    for name, value in vars(first).items():
        assert np.array_equal(value, getattr(second, name)), name


def test_half_precision_model_still_adds_up(tmp_path):
    """A bfloat16 model is analysed in float32; rows add up to the precision of its own forward pass."""
    folders = write_model(tmp_path / "m", 13), write_transcoders(tmp_path / "t", 14, dtype=torch.bfloat16)
    graph = attribute(load_model(folders[0], dtype="bfloat16"), Transcoders.open(folders[1]), TOKENS)
    total = graph.adjacency_matrix.sum(axis=1) + graph.node_bias
    assert np.abs(total - graph.node_preactivation).max() < 0.05 * np.abs(graph.adjacency_matrix).max()
