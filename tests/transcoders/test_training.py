"""The trainer of transcoders learns what few features make, and the reader of files agrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from circuitstore.transcoders import distinct, quality, training
from circuitstore.transcoders.layouts import THRESHOLD
from circuitstore.transcoders.per_layer import Transcoders

RECIPE = training.Recipe(features=32, steps=200, batch=128, rate=5e-3, l0_start=16, l0=6, k=5)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are not worth splitting."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """MLP inputs and outputs (layer, sample, d_model): sums of few of 16 directions, and a linear part."""
    draw = torch.Generator().manual_seed(0)
    strengths = torch.rand(2, 1024, 16, generator=draw) * (torch.rand(2, 1024, 16, generator=draw) < 0.2)
    inputs, outputs = (strengths @ torch.randn(2, 16, 20, generator=draw) for _ in range(2))
    return inputs + 0.3, outputs - 0.7


@pytest.mark.parametrize(
    ("kind", "skip"), [("jumprelu", False), ("topk", False), ("jumprelu", True), ("topk", True)]
)
def test_every_kind_learns_and_is_read_back_alike(pairs, tmp_path, kind, skip):
    """Each kind explains most, and the reader of files finds the same activations and predictions."""
    recipe = replace(RECIPE, kind=kind, skip=skip)
    weights = {name: weight[1] for name, weight in training.train(*pairs, recipe, seed=1).items()}
    k = recipe.k if kind == "topk" else None
    inputs, outputs = (x[1] for x in pairs)
    measured = quality.reconstruction(weights, inputs, outputs, k)
    assert measured["explained_variance"] > 0.8 and 1 < measured["l0"] < 9
    assert ("W_skip" in weights) == skip and (THRESHOLD in weights) == (kind == "jumprelu")
    assert weights["W_dec"].norm(dim=1).sub(1).abs().max() < 1e-5
    save_file(
        {name: weight.contiguous() for name, weight in weights.items()}, tmp_path / "layer_0.safetensors"
    )
    (tmp_path / "config.yaml").write_text(f"top_k: {k}\n" if k else "")
    read = Transcoders.open(tmp_path).layer(0)
    activation = quality.activations(weights, inputs, k)
    assert torch.allclose(read.encode(inputs), activation, atol=1e-5)
    predicted = quality.predict(weights, activation, inputs)
    assert torch.allclose(read.reconstruct(read.active([inputs])[0], inputs), predicted, atol=1e-4)


def test_layers_share_nothing(pairs):
    """A layer is trained alone as beside another, to rounding; another seed gives other weights."""
    together, other = (training.train(*pairs, RECIPE, seed) for seed in (1, 2))
    alone = training.train(*(x[1:] for x in pairs), RECIPE, 1, first_layer=1)
    assert all(torch.allclose(alone[name][0], together[name][1], atol=1e-3) for name in alone)
    assert not torch.allclose(other["W_enc"], together["W_enc"], atol=0.1)


def test_equal_layers_draw_numbers_of_their_own(pairs):
    """Two layers that see the same get other features; otherwise index i would mean the same in each."""
    same = [torch.cat([x[:1], x[:1]]) for x in pairs]
    encoder = training.train(*same, replace(RECIPE, steps=20), 1)["W_enc"]
    assert not torch.allclose(encoder[0], encoder[1], atol=0.1)


def test_a_corpus_that_begins_alike_gives_no_feature_twice(pairs):
    """Nine samples of ten are one of three; features that start from equal samples would stay equal."""
    index = torch.randint(3, (10_240,), generator=torch.Generator().manual_seed(1))
    index[:1024] = torch.arange(1024)
    weights = training.train(*(x[:, index] for x in pairs), RECIPE, 1)
    for encoder, decoder in zip(weights["W_enc"], weights["W_dec"], strict=True):
        assert not distinct.repeated(distinct.twins(encoder, decoder)).any()


def test_fewer_samples_than_features_still_start_apart(pairs):
    """Samples that are taken again are moved further, so that their features are no twins."""
    few = [x[:, :10] for x in pairs]
    weights = training.train(*few, replace(RECIPE, steps=1), 1)
    for encoder, decoder in zip(weights["W_enc"], weights["W_dec"], strict=True):
        assert not distinct.repeated(distinct.twins(encoder, decoder)).any()


def test_twins_read_and_write_the_same():
    """Planted: 4 repeats 1 and 5 repeats 4 in both; 3 shares the encoder of 0, and no more."""
    rows = [torch.randn(6, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    for x in rows:
        x[4], x[5] = 2 * x[1], x[1] + 1e-3
    rows[0][3] = rows[0][0]
    assert distinct.twins(*rows).tolist() == [0, 1, 2, 3, 1, 1]
    assert distinct.repeated(distinct.twins(*rows)).tolist() == [False] * 4 + [True] * 2
    assert distinct.twins(rows[0][:0], rows[1][:0]).tolist() == []
