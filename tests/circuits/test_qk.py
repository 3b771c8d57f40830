"""Scores of attention split over pairs of sources: against differentiation, and by their sums."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from graphs import TOKENS
from linear_cases import CASES, CROSS_LAYER, HOOKS, written
from random_model import write_model, write_transcoders

from bench import naive
from circuitstore.circuits.qk import KINDS, score
from circuitstore.errors import UsageError
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

ASKED = [(0, 1, 4, 2), (1, 3, 6, 6), (2, 2, 6, 4), (2, 0, 5, 0), (1, 1, 0, 0), (2, 1, 3, 1)]


@pytest.fixture(
    params=["gqa1", "gqa4-jumprelu", "bias-tied-jumprelu-skip", "llama", "llama-3-rope", "mistral"]
)
def plain(request, tmp_path):
    model_options, coder_options = CASES[request.param]
    return build(tmp_path, model_options, coder_options)


def build(folder, model_options, coder_options):
    """A model's folder, its transcoders, the same for `naive`, and the hooks."""
    model = write_model(folder / "model", 3, **model_options)
    coders = write_transcoders(folder / "coders", 103, **coder_options)
    return model, Transcoders.open(coders), naive.load(model, coders)[1], ("mlp.hook_in", "mlp.hook_out")


def by_differentiation(folder, coders, hooks, monkeypatch, asked):
    """Queries and keys of transformers, and what each source is of them: by (layer, head, side, position).

    Norms of queries and keys are frozen by hooks; patterns and the other norms by `naive`.
    """
    model = naive.load(folder, folder)[0]
    modelling = sys.modules[type(model).__module__]
    rotate, rotated = modelling.apply_rotary_pos_emb, []

    def recording(*arguments, **named):
        rotated.append(rotate(*arguments, **named))
        return rotated[-1]

    def frozen(module, args, output):
        gain = 1 + module.weight if type(module).__name__.startswith("Gemma") else module.weight
        return gain * (args[0] * naive._scale(module, args[0]))

    monkeypatch.setattr(modelling, "apply_rotary_pos_emb", recording)
    for layer in model.model.layers:
        for name in ("q_norm", "k_norm"):
            if hasattr(layer.self_attn, name):
                getattr(layer.self_attn, name).register_forward_hook(frozen)
    network = naive._Network(model, coders, TOKENS, None, 1, hooks)
    found = naive._features(network, None)
    count = len(found) + (len(coders) + 1) * len(TOKENS)
    group = model.config.num_attention_heads // model.config.num_key_value_heads
    answers = {}
    for layer, head, query, key in asked:
        for side, position in (("query", query), ("key", key)):
            own = head if side == "query" else head // group
            vector = rotated[layer][side == "key"][0, own, position]
            graph = naive.Naive(
                np.array([entry[:3] for entry in found], dtype=int).reshape(-1, 3),
                np.array([entry[3] for entry in found]),
                np.empty(0),
                *(np.zeros(shape) for shape in ((len(vector), count), len(vector), len(vector))),
            )
            sources = naive._Sources(network, graph)
            for row, value in enumerate(vector):
                gradients = torch.autograd.grad(value, network.wrt, retain_graph=True, allow_unused=True)
                sources.fill(graph, [row], gradients)
            answers[layer, head, side, position] = vector.detach().double().numpy(), graph
    return answers


def assert_agrees(folder, transcoders, coders, hooks, monkeypatch, asked=ASKED):
    model = load_model(folder)
    answers = by_differentiation(folder, coders, hooks, monkeypatch, asked)
    scaling = model.parts.layers[0].attention.scaling
    for layer, head, query, key in asked:
        found = score(model, transcoders, TOKENS, layer, head, query, key)
        (q, of_query), (k, of_key) = (
            answers[layer, head, side, at] for side, at in (("query", query), ("key", key))
        )
        assert found.score == pytest.approx(float(q @ k) * scaling, abs=1e-4, rel=1e-4)
        size = np.abs(found.query).sum(0) @ np.abs(found.key).sum(0)
        total = found.query.sum(0, dtype=np.float64) @ found.key.sum(0, dtype=np.float64)
        assert abs(total - found.score) < 1e-5 * size and abs(total - found.score) < 1e-4
        n_errors = len(coders) * len(TOKENS)
        names = [("feature", *row) for row in of_query.features.tolist()]
        names += [("error", i // len(TOKENS), i % len(TOKENS), -1) for i in range(n_errors)]
        names += [("embedding", -1, i, -1) for i in range(len(TOKENS))]
        ours = list(
            zip((KINDS[i] for i in found.kind), found.layer, found.position, found.feature, strict=True)
        )
        assert ours[-1] == ("bias", -1, -1, -1) and len(set(ours)) == len(ours)
        for side, vector, slow, factor in (
            (found.query, q, of_query, scaling),
            (found.key, k, of_key, 1),
        ):
            rows = {name: side[at] for at, name in enumerate(ours)}
            expected = slow.adjacency.T * factor
            largest = np.abs(expected).max()
            for name, theirs in zip(names, expected, strict=True):
                mine = rows.pop(name, np.zeros_like(theirs))
                np.testing.assert_allclose(mine, theirs, atol=1e-5 * largest, err_msg=str(name))
            (bias,) = rows.values()
            np.testing.assert_allclose(bias, vector * factor - expected.sum(0), atol=2e-5 * largest)


def test_per_layer(plain, monkeypatch):
    """Each source's share of queries and keys, with and without norms, biases, skips; GQA 1, 2 and 4."""
    assert_agrees(*plain, monkeypatch)


@pytest.mark.parametrize("kind", ["qwen2", "gemma2", "gemma3", "gemma3-bias"])
def test_families(kind, tmp_path, monkeypatch):
    """The others; top-k is left out, which `naive` is given apart."""
    model_options, coder_options = CASES[kind]
    coder_options = {name: value for name, value in coder_options.items() if name != "top_k"}
    assert_agrees(*build(tmp_path, model_options, coder_options), monkeypatch)


@pytest.mark.parametrize("kind", CROSS_LAYER)
@pytest.mark.parametrize("skip", [False, True])
def test_cross_layer(kind, skip, tmp_path, monkeypatch):
    """A feature's shares add up over the layers below the head that it writes to, and over no others."""
    folder = write_model(tmp_path / "model", 3, **CROSS_LAYER[kind])
    coders, tensors = written(tmp_path, skip=skip)
    assert_agrees(folder, Transcoders.open(coders), tensors, HOOKS, monkeypatch, ASKED[1:4])


def test_scores_of_all_keys_give_the_pattern(tmp_path):
    """Softmax of the scores, capped in Gemma 2, is the attention of the model, and `weight` is one of it."""
    model_options, coder_options = CASES["gemma2"]
    folder, transcoders, *_ = build(tmp_path, model_options, coder_options)
    model = load_model(folder)
    pattern = capture(model, TOKENS, patterns=True).patterns[1, 2, 6]
    found = [score(model, transcoders, TOKENS, 1, 2, 6, key) for key in range(7)]
    capped = 2 * torch.tanh(torch.tensor([one.score for one in found]) / 2)
    torch.testing.assert_close(torch.softmax(capped, 0), pattern, atol=1e-5, rtol=1e-4)
    assert [one.weight for one in found] == pattern.tolist()


def test_the_largest_pairs_are_those_of_the_whole_matrix(plain, monkeypatch):
    """Whatever the size of the blocks in which pairs are looked through."""
    model, transcoders = load_model(plain[0]), plain[1]
    found = score(model, transcoders, TOKENS, 2, 1, 6, 4)
    matrix = found.query.astype(np.float64) @ found.key.astype(np.float64).T
    best = np.argsort(-np.abs(matrix).ravel(), kind="stable")[:20]
    for rows in (7, 10_000):
        monkeypatch.setattr("circuitstore.circuits.qk.ROWS", rows)
        query, key, share = found.pairs(20)
        np.testing.assert_allclose(share, matrix.ravel()[best], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(matrix[query, key], share, rtol=1e-4, atol=1e-6)
    assert len(found.pairs(10**6)[0]) == matrix.size


@pytest.mark.parametrize(
    "asked, what",
    [
        ((3, 0, 1, 0), "layer"),
        ((-1, 0, 1, 0), "layer"),
        ((0, 4, 1, 0), "head"),
        ((0, 0, 7, 0), "query"),
        ((0, 0, 2, 3), "key"),
        ((0, 0, 2, -1), "key"),
    ],
)
def test_what_is_not_there_is_refused(asked, what, tmp_path):
    """A layer, a head, a position; and a key after its query, which is masked."""
    folder, transcoders, *_ = build(tmp_path, {}, {})
    with pytest.raises(UsageError, match=what):
        score(load_model(folder), transcoders, TOKENS, *asked)
