"""Predicted effects of features on features agree with a dense inverse, the real model and a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_model import write_model, write_transcoders
from scipy import sparse

from circuitstore.circuits.feature_effects import FeatureGraph
from circuitstore.circuits.graph import attribute
from circuitstore.circuits.intervene import Edit, intervene
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

TOKENS = [208, 17, 3, 99, 3, 150, 42]


@pytest.fixture(scope="module", params=[{}, {"threshold": True}], ids=["relu", "jumprelu"])
def known(request, tmp_path_factory):
    """A random model's graph, dense and as features with edges."""
    folder = tmp_path_factory.mktemp("effects")
    model = load_model(write_model(folder / "m", 1, bias=True))
    transcoders = Transcoders.open(write_transcoders(folder / "t", 2, **request.param))
    graph = attribute(model, transcoders, TOKENS, difference=(5, 9))
    layer, position, feature = graph.active_features.T
    count = len(layer)
    threshold = np.array(
        [float(transcoders.layer(int(at)).threshold_of([i])[0]) for at, i in zip(layer, feature, strict=True)]
    )
    assert (threshold > 0).all() == bool(request.param)
    dense = graph.adjacency_matrix.astype(np.float64)
    features = FeatureGraph(
        layer, position, graph.activation_values.astype(np.float64), threshold, np.abs(dense).sum(1)[:count],
        sparse.csr_array(dense[:count, :count]),
    )  # fmt: skip
    return model, transcoders, graph, features, dense


def test_influence_is_the_inverse(known):
    """(I − Â)⁻¹ − I, of the whole graph with its errors, embeddings and logits."""
    *_, features, dense = known
    total = np.abs(dense).sum(1, keepdims=True)
    shares = np.divide(np.abs(dense), total, out=np.zeros_like(dense), where=total > 0)
    whole = np.linalg.inv(np.eye(len(dense)) - shares) - np.eye(len(dense))
    sources = np.arange(0, len(features.layer), 7)
    ours = features.influence(sources)
    np.testing.assert_allclose(ours, whole[: len(ours), sources], atol=1e-12)
    assert (
        ours.max() > 0.05 and (ours[:, 0] > shares[: len(ours), sources[0]] + 1e-4).any()
    )  # more than edges


def test_direct_is_what_the_frozen_model_loses(known):
    """In the direct regime, zeroing a source takes this share from a target's pre-activation."""
    model, transcoders, graph, features, _ = known
    sources = np.flatnonzero(features.layer < 2)[::9]
    variants = [[Edit(*graph.active_features[i].tolist(), 0.0)] for i in sources]
    run, base = intervene(model, transcoders, TOKENS, variants, regime="direct"), capture(model, TOKENS)
    ours = features.direct(sources)
    for target in np.flatnonzero(features.layer == 2)[::5].tolist():
        layer, position, feature = graph.active_features[target].tolist()
        moved = (run.mlp_input[:, layer, position] - base.mlp_input[layer, position]) @ transcoders.layer(
            layer
        ).encoder_rows([feature])[0]
        np.testing.assert_allclose(
            ours[target], -moved.numpy() / features.activation[target], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("constrained", [-1, 0, 1, 9])
def test_response_is_the_slow_loop(known, constrained):
    """The response is that of a loop over features by layer; held layers change and pass nothing on."""
    *_, features, dense = known
    sources = np.flatnonzero(features.layer < 2)[[2, -3]]
    ours = features.response(sources, np.full(2, constrained))
    silenced = 0
    for column, source in enumerate(sources.tolist()):
        passed = {source: -features.activation[source]}
        for target in np.argsort(features.layer, kind="stable").tolist():
            if target == source:
                continue
            a = features.activation[target]
            new = a + sum(change * dense[target, u] / features.activation[u] for u, change in passed.items())
            new = new if new > features.threshold[target] else 0.0
            silenced += new == 0
            assert ours[target, column] == pytest.approx(1 - new / a, abs=1e-9)
            if features.layer[target] > constrained:
                passed[target] = new - a
    assert silenced > 0 and np.abs(ours).max() > 0.1


def test_downstream_is_where_an_edge_may_lead(known):
    """Later layers, positions from the source's on; every edge leads there."""
    *_, features, dense = known
    below = np.array([features.downstream(i) for i in range(len(features.layer))]).T  # target, source
    assert (dense[: len(below), : len(below)][~below] == 0).all() and below.sum() > 100


@pytest.mark.parametrize("options", [{}, {"threshold": True}, {"top_k": 3}])
def test_activations_of_a_few_features_are_those_of_all(tmp_path, options):
    """A few features, each in inputs of its own, have the activations that encoding all features gives."""
    coder = Transcoders.open(write_transcoders(tmp_path / "t", 4, **options)).layer(1)
    inputs = torch.randn(9, 5, coder.d_model, generator=torch.Generator().manual_seed(1))
    features = np.arange(0, 54, 6)
    whole = [coder.encode(x)[:, i] for x, i in zip(inputs, features.tolist(), strict=True)]
    ours = coder.activations_of(inputs, features)
    torch.testing.assert_close(ours, torch.stack(whole), atol=1e-6, rtol=1e-5)
    assert 0 < (ours == 0).sum() < ours.numel() and (coder.preactivation(inputs[0])[:, 0] != ours[0]).any()
    assert not options.get("threshold") or ours[ours > 0].min() > coder.threshold_of(features).min() > 0
