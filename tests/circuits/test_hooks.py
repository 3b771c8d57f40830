"""Transcoders of every pair of hooks, on blocks with two norms and with four: graphs, edits, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from graphs import TOKENS, assert_rows_add_up, assert_rows_agree
from random_model import CAPPED, write_model, write_transcoders

from bench import naive
from circuitstore.circuits.gradients import feature_gradients, logit_gradients
from circuitstore.circuits.graph import attribute
from circuitstore.circuits.intervene import REGIMES, Edit, intervene
from circuitstore.errors import UsageError
from circuitstore.models.capture import capture
from circuitstore.models.hooks import READS, WRITES, Hooks
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

PAIRS = [(reads, writes) for reads in READS for writes in WRITES]
MODELS = {
    "gemma2": {"kind": "gemma2", "bias": True, **CAPPED},
    "gemma3": {"kind": "gemma3_text", "tied": True},
    "qwen3": {"kind": "qwen3", "kv_heads": 4},
}


@pytest.fixture(params=MODELS)
def model_folder(request, tmp_path):
    return write_model(tmp_path / "model", 3, **MODELS[request.param])


def hooked(folder, pair, **options):
    """Random transcoders of this pair of hooks. What they read is made as large as they expect it."""
    write_transcoders(folder, 4, **options)
    said = yaml.safe_load((folder / "config.yaml").read_text())
    said |= {"feature_input_hook": pair[0], "feature_output_hook": pair[1]}
    (folder / "config.yaml").write_text(yaml.safe_dump(said))
    return folder


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_graphs_agree_with_autograd_and_add_up(model_folder, tmp_path, pair):
    """Every edge is that of differentiation, and rows sum to pre-activations within 1e-5 of their scale."""
    folder = hooked(tmp_path / "t", pair, skip=True, threshold=True)
    graph = attribute(load_model(model_folder), Transcoders.open(folder), TOKENS)
    slow = naive.attribute(model_folder, folder, TOKENS, hooks=pair)
    assert len(graph.active_features) > 20
    assert np.array_equal(graph.active_features, slow.features)
    assert_rows_agree(graph, slow)
    assert_rows_add_up(graph, 1e-5)
    few = attribute(load_model(model_folder), Transcoders.open(folder), TOKENS, max_feature_nodes=15)
    assert np.abs(few.node_omitted).max() > 1e-3
    assert_rows_add_up(few, 1e-5)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_direct_edits_are_edges(model_folder, tmp_path, pair):
    """Ablating a source moves the pre-activation of each target by exactly minus its edge."""
    model = load_model(model_folder)
    transcoders = Transcoders.open(hooked(tmp_path / "t", pair, skip=True))
    graph = attribute(model, transcoders, TOKENS)
    variants = [[Edit(*feature, 0.0)] for feature in graph.active_features.tolist()]
    result = intervene(model, transcoders, TOKENS, variants, regime="direct")
    base = capture(model, TOKENS, hooks=Hooks(*pair))
    for target, (layer, position, feature) in enumerate(graph.active_features.tolist()):
        encoder = transcoders.layer(layer).encoder_rows([feature])[0]
        moved = (result.mlp_input[:, layer, position] - base.mlp_input[layer, position]) @ encoder
        scale = np.abs(graph.adjacency_matrix[target]).max()
        edges = graph.adjacency_matrix[target, : len(variants)]
        np.testing.assert_allclose(-moved.numpy(), edges, atol=5e-5 * scale + 1e-5)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_an_own_activation_changes_nothing_and_another_does(model_folder, tmp_path, pair, regime):
    """In every regime, capped logits included."""
    model = load_model(model_folder)
    transcoders = Transcoders.open(hooked(tmp_path / "t", pair))
    base = capture(model, TOKENS, patterns=True, hooks=transcoders.hooks)
    active = transcoders.layer(1).encode(base.mlp_input[1])
    position, feature = (int(i) for i in active[1:].nonzero()[3])
    position += 1
    own = float(active[position, feature])
    variants = [[Edit(1, position, feature, value)] for value in (own, own + 3.0)]
    result = intervene(model, transcoders, TOKENS, variants, regime=regime, base=base)
    torch.testing.assert_close(result.logits[0], base.logits, atol=2e-5, rtol=1e-4)
    here = slice(position, position + 2)  # where the local attention above looks back to
    assert (result.logits[1, here] - base.logits[here]).abs().amax(dim=1).min() > 1e-3


def test_an_unedited_run_at_other_hooks_is_refused(tmp_path):
    """Its MLP inputs are not what the transcoders read."""
    model = load_model(write_model(tmp_path / "m", 3))
    transcoders = Transcoders.open(hooked(tmp_path / "t", PAIRS[2]))
    with pytest.raises(UsageError, match="unedited run"):
        intervene(model, transcoders, TOKENS, [[]], base=capture(model, TOKENS, patterns=True))


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_gradients_agree_with_finite_differences(model_folder, pair):
    """Of a logit before its cap, and of what a feature reads, at the embeddings and at every write."""
    model, hooks = load_model(model_folder), Hooks(*pair)
    generator = torch.Generator().manual_seed(0)
    read = torch.randn(1, model.d_model, generator=generator)
    of_logit = logit_gradients(model, TOKENS, read, hooks)[0]
    of_feature = feature_gradients(model, TOKENS, np.array([2]), np.array([5]), read, hooks)[0]
    assert of_feature[3:].abs().max() == 0 and of_feature[:, 6:].abs().max() == 0
    for entry in range(model.n_layers + 1):
        direction = torch.randn(model.d_model, generator=generator)
        after, before = (_moved(model, hooks, entry, step * direction, read[0]) for step in (5e-3, -5e-3))
        for gradient, high, low in zip((of_logit, of_feature), after, before, strict=True):
            expected = pytest.approx((high - low) / 1e-2, rel=0.02, abs=0.02)
            assert float(gradient[entry, 3] @ direction) == expected


def _moved(model, hooks, entry, step, read):
    """(read · final norm output, read · what layer 2 reads at position 5), moved at one entry."""
    seen = []

    def add(_, args, output):
        output = output.clone()
        output[:, 3] += step
        return output

    module = model.hf.get_input_embeddings() if entry == 0 else hooks.writer(model.parts.layers[entry - 1])
    handles = [module.register_forward_hook(add)]
    handles.append(hooks.on_read(model.parts.layers[2], model.parts.norm_epsilon, seen.append))
    with torch.no_grad():
        final = model.parts.trunk(torch.tensor([TOKENS]), use_cache=False).last_hidden_state
    for handle in handles:
        handle.remove()
    return float(final[0, -1] @ read), float(seen[0][0, 5] @ read)
