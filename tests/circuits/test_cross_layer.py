"""Cross-layer transcoders: features that write to every layer above, in graphs, edits and gradients."""

from __future__ import annotations

import numpy as np
import published
import pytest
import torch
from damaged import edit_tensors, refused
from graphs import TOKENS, assert_rows_add_up, assert_rows_agree
from linear_cases import CROSS_LAYER as MODELS
from linear_cases import HOOKS, written
from random_model import write_model, write_transcoders
from safetensors.torch import load_file

from bench import naive
from circuitstore.circuits.active import find_features
from circuitstore.circuits.gradients import logit_gradients
from circuitstore.circuits.graph import attribute
from circuitstore.circuits.intervene import REGIMES, Edit, intervene
from circuitstore.errors import UsageError
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders


@pytest.fixture(params=MODELS)
def model_folder(request, tmp_path):
    return write_model(tmp_path / "model", 3, **MODELS[request.param])


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("cut", [None, 0, 2])
def test_graphs_agree_with_autograd_and_add_up(model_folder, tmp_path, monkeypatch, skip, cut):
    """Every edge sums over the layers that its source writes to, wherever targets and sources meet."""
    if cut is not None:
        monkeypatch.setattr("circuitstore.circuits.effects.cheapest_cut", lambda *args: cut)
    folder, coders = written(tmp_path, skip=skip)
    transcoders = Transcoders.open(folder)
    assert transcoders.cross_layer and (transcoders.hooks.reads, transcoders.hooks.writes) == HOOKS
    graph = attribute(load_model(model_folder), transcoders, TOKENS)
    slow = naive.graph(naive.load(model_folder, folder)[0], coders, TOKENS, hooks=HOOKS, batch=5)
    assert len(graph.active_features) > 20 and (graph.activation_values < 0).any()
    assert np.array_equal(graph.active_features, slow.features)
    assert_rows_agree(graph, slow)
    assert_rows_add_up(graph, 1e-5)


@pytest.mark.parametrize("stage", [2048, 6])
def test_fewer_nodes_than_features(tmp_path, stage):
    """What features without a node send, to every layer, is accounted for."""
    model = load_model(write_model(tmp_path / "m", 7))
    folder, coders = written(tmp_path, skip=True)
    graph = attribute(model, Transcoders.open(folder), TOKENS, max_feature_nodes=18, stage=stage)
    assert len(graph.selected_features) == 18 < len(graph.active_features)
    nodes = graph.active_features[graph.selected_features]
    slow = naive.graph(naive.load(tmp_path / "m", folder)[0], coders, TOKENS, hooks=HOOKS, nodes=nodes)
    assert_rows_agree(graph, slow)
    assert np.abs(graph.node_omitted).max() > 0.01
    assert_rows_add_up(graph, 1e-5)


def test_per_layer_transcoders_as_cross_layer_ones(tmp_path):
    """With zeros in all decoders but their own, features and edges are those of the per-layer set."""
    model = load_model(write_model(tmp_path / "m", 5))
    own = write_transcoders(tmp_path / "own", 6)
    folder = published.cross_layer(tmp_path / "cross", 1)
    for i in range(3):
        t = load_file(own / f"layer_{i}.safetensors")
        decoder = torch.zeros(60, 3 - i, 48)
        decoder[:, 0] = t["W_dec"]
        encoder = {f"{name}_{i}": t[name] for name in ("W_enc", "b_enc", "b_dec")}
        published._save(folder / f"W_enc_{i}.safetensors", encoder)
        published._save(folder / f"W_dec_{i}.safetensors", {f"W_dec_{i}": decoder})
    graphs = [attribute(model, Transcoders.open(each), TOKENS) for each in (own, folder)]
    assert np.array_equal(graphs[0].active_features, graphs[1].active_features)
    assert np.array_equal(graphs[0].activation_values, graphs[1].activation_values)
    scale = np.abs(graphs[0].adjacency_matrix).max()
    assert np.abs(graphs[0].adjacency_matrix - graphs[1].adjacency_matrix).max() <= 1e-5 * scale


def test_gemma_scope_2_gives_the_graph_of_circuit_tracer_s_layout(tmp_path):
    """Features bit for bit and edges to 1e-5; the last file, listed twice, is one layer."""
    model = load_model(write_model(tmp_path / "m", 3, kind="gemma3_text"))
    native, _ = written(tmp_path)
    (tmp_path / "google").mkdir()
    other = Transcoders.open(published.gemma_scope_2_cross(native, tmp_path / "google"))
    assert other.n_layers == 3
    graphs = [attribute(model, each, TOKENS) for each in (Transcoders.open(native), other)]
    assert np.array_equal(graphs[0].active_features, graphs[1].active_features)
    assert np.array_equal(graphs[0].activation_values, graphs[1].activation_values)
    scale = np.abs(graphs[0].adjacency_matrix).max()
    assert np.abs(graphs[0].adjacency_matrix - graphs[1].adjacency_matrix).max() <= 1e-5 * scale


@pytest.mark.parametrize("skip", [False, True])
def test_direct_edits_are_edges(model_folder, tmp_path, skip):
    """An edit is written to every layer: it moves each pre-activation by exactly minus its edge."""
    model = load_model(model_folder)
    transcoders = Transcoders.open(written(tmp_path, skip=skip)[0])
    graph = attribute(model, transcoders, TOKENS)
    variants = [[Edit(*feature, 0.0)] for feature in graph.active_features.tolist()]
    result = intervene(model, transcoders, TOKENS, variants, regime="direct")
    base = capture(model, TOKENS, hooks=transcoders.hooks)
    for target, (layer, position, feature) in enumerate(graph.active_features.tolist()):
        encoder = transcoders.layer(layer).encoder_rows([feature])[0]
        moved = (result.mlp_input[:, layer, position] - base.mlp_input[layer, position]) @ encoder
        edges = graph.adjacency_matrix[target, : len(variants)]
        np.testing.assert_allclose(-moved.numpy(), edges, atol=5e-5 * np.abs(edges).max() + 1e-5)


@pytest.mark.parametrize("regime", REGIMES)
def test_an_own_activation_changes_nothing(tmp_path, regime):
    """And another one is added to the outputs of all layers from its own on."""
    model = load_model(write_model(tmp_path / "m", 3))
    transcoders = Transcoders.open(written(tmp_path)[0])
    base = capture(model, TOKENS, patterns=True, hooks=transcoders.hooks)
    active = find_features(transcoders, base)
    first = int(np.flatnonzero(active.layer == 0)[2])
    at = (0, int(active.position[first]), int(active.feature[first]))
    variants = [[Edit(*at, float(active.value[first]) + change)] for change in (0, 2)]
    result = intervene(model, transcoders, TOKENS, variants, regime=regime, base=base)
    torch.testing.assert_close(result.logits[0], base.logits, atol=2e-5, rtol=1e-4)
    if regime == "free":
        output = []
        hooks = [
            layer.mlp.register_forward_hook(lambda _, args, out, i=i: _add(out, i, transcoders, at))
            for i, layer in enumerate(model.parts.layers)
        ]
        with torch.no_grad():
            output = model.hf(torch.tensor([TOKENS]), use_cache=False).logits[0]
        for hook in hooks:
            hook.remove()
        torch.testing.assert_close(result.logits[1], output, atol=2e-5, rtol=1e-4)


def _add(output, layer, transcoders, at):
    output = output.clone()
    output[0, at[1]] += 2 * transcoders.layer(0).decoder_rows([at[2]], layer)[0]
    return output


def test_gradient_attribution_adds_up_over_layers(tmp_path):
    """Activation · Σ over layers of decoder · gradient there."""
    model = load_model(write_model(tmp_path / "m", 3))
    transcoders = Transcoders.open(written(tmp_path)[0])
    graph = attribute(model, transcoders, TOKENS, margin=(5, 9), method="gradient")
    read = (model.parts.unembedding[5] - model.parts.unembedding[9])[None]
    gradient = logit_gradients(model, TOKENS, read, transcoders.hooks)[0]
    for node, (layer, position, feature) in enumerate(graph.active_features.tolist()):
        rows = transcoders.layer(layer)
        expected = sum(
            float(rows.decoder_rows([feature], to)[0] @ gradient[to + 1, position]) for to in range(layer, 3)
        )
        value = graph.activation_values[node] * expected
        assert graph.margin.gradient[node] == pytest.approx(float(value), abs=1e-4)
    total = transcoders.layer(1).decoder_rows([3])
    parts = [transcoders.layer(1).decoder_rows([3], to) for to in (1, 2)]
    torch.testing.assert_close(total, parts[0] + parts[1])


def test_some_layers_in_use(tmp_path):
    """Features of the others are in the errors; rows still add up."""
    model = load_model(write_model(tmp_path / "m", 3))
    some = Transcoders.open(written(tmp_path)[0], layers=[1, 2])
    assert some.writing_to(2) == [1, 2] and some.writing_to(0) == []
    run = capture(model, TOKENS, hooks=some.hooks)
    whole = find_features(Transcoders.open(tmp_path / "native"), run)
    kept = whole.layer > 0
    covered = np.array([False, True, True])[:, None].repeat(len(TOKENS), 1)
    columns = (whole.layer, whole.position, whole.feature, whole.value)
    given = type(whole)(*(column[kept] for column in columns), covered)
    assert_rows_add_up(attribute(model, some, TOKENS, features=given), 1e-5)


def test_what_is_refused(tmp_path):
    """A misnamed tensor, a decoder of another model, a kind that config.yaml denies, a layer by itself."""
    folder = written(tmp_path)[0]
    with pytest.raises(UsageError, match="per-layer transcoder"):
        coder = Transcoders.open(folder).layer(0)
        coder.reconstruct(coder.active([torch.zeros(2, 48)])[0])
    refused(lambda: Transcoders.open(folder).check_fits(4, 48), "4 layers")
    (folder / "config.yaml").write_text("model_kind: transcoder_set\n")
    refused(lambda: Transcoders.open(folder).layer(0), "transcoder_set", "got cross_layer_transcoder")
    (folder / "config.yaml").unlink()
    edit_tensors(folder / "W_dec_1.safetensors", lambda t: t.update(W_dec_1=t["W_dec_1"][:, :1].contiguous()))
    refused(lambda: Transcoders.open(folder).check_fits(3, 48), "decoders of layer 1", "2 layers", "got 1")
    for i, name in ((2, "b_enc_2"), (2, "W_dec_2"), (2, "threshold_2")):
        file = folder / f"{name[:5] if name.startswith('W') else 'W_enc'}_{i}.safetensors"
        tensors = load_file(file)
        edit_tensors(file, lambda t, name=name: t.update({f"{name[:-1]}0": t.pop(name)}))
        refused(lambda: Transcoders.open(folder).layer(2), f"{name[:-1]}0")
        published._save(file, tensors)
    (folder / "W_dec_0.safetensors").unlink()
    refused(lambda: Transcoders.open(folder).layer(0), "W_dec_0.safetensors", "readable")
