"""Interventions agree with the reference, and in the direct regime with the edges of the graph."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from random_model import CONFORMANCE, write_model, write_transcoders
from safetensors.numpy import load_file, save_file

from circuitstore.circuits.graph import attribute
from circuitstore.circuits.intervene import Edit, intervene
from circuitstore.errors import UsageError
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

TOKENS = [208, 17, 3, 99, 3, 150, 42]


@pytest.mark.parametrize("kind", ["relu", "jumprelu"])
@pytest.mark.parametrize(
    ("regime", "name"), [("direct", "direct"), ("frozen_attention", "frozenattn"), ("free", "free")]
)
def test_ablation_agrees_with_the_reference(reference_on_device, kind, regime, name):
    """Logits and activations of every layer after one feature is set to 0; direct reports pre-activations."""
    expected = load_file(CONFORMANCE / kind / "expected.safetensors")
    edit = json.loads((CONFORMANCE / kind / "expected.json").read_text())["ablation"]
    transcoders = Transcoders.open(CONFORMANCE / kind, device=reference_on_device.device)
    edits = [Edit(edit["layer"], edit["pos"], edit["feature_idx"], edit["value"])]
    result = intervene(
        reference_on_device, transcoders, expected["input_tokens"].tolist(), [edits], regime=regime
    )
    np.testing.assert_allclose(result.logits[0].cpu().numpy(), expected[f"iv_{name}_logits"], atol=1e-4)
    assert np.abs(expected[f"iv_{name}_logits"] - expected["base_logits"]).max() > 1e-2
    for layer, x in enumerate(result.mlp_input[0]):
        coder = transcoders.layer(layer)
        ours = coder.preactivation(x) if regime == "direct" else coder.encode(x)
        np.testing.assert_allclose(
            ours.cpu().numpy()[1:], expected[f"iv_{name}_acts"][layer, 1:], atol=1e-4
        )  # the reference zeroes position 0


@pytest.mark.parametrize("options", [{}, {"skip": True, "threshold": True}])
def test_direct_effect_is_the_edge(tmp_path, options):
    """Ablating a source moves the pre-activation of each target by exactly minus its edge."""
    model = load_model(write_model(tmp_path / "m", 1, bias=True))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 2, **options))
    graph = attribute(model, transcoders, TOKENS, difference=(5, 9))
    features = graph.active_features
    variants = [[Edit(*feature, 0.0)] for feature in features.tolist()]
    result = intervene(model, transcoders, TOKENS, variants, regime="direct")
    base = capture(model, TOKENS)
    for target, (layer, position, feature) in enumerate(features.tolist()):
        moved = (result.mlp_input[:, layer, position] - base.mlp_input[layer, position]) @ transcoders.layer(
            layer
        ).encoder_rows([feature])[0]
        scale = np.abs(graph.adjacency_matrix[target]).max()
        np.testing.assert_allclose(
            -moved.numpy(), graph.adjacency_matrix[target, : len(features)], atol=2e-5 * scale + 1e-6
        )
    margin = result.logits[:, -1, 5] - result.logits[:, -1, 9] - (base.logits[-1, 5] - base.logits[-1, 9])
    np.testing.assert_allclose(-margin.numpy(), graph.adjacency_matrix[-1, : len(features)], atol=1e-4)


def test_a_layer_not_in_use_has_no_skip(tmp_path):
    """Its MLP output is an error node, frozen as it was; the same as with a skip connection of zeros."""
    model = load_model(write_model(tmp_path / "m", 1))
    folder = write_transcoders(tmp_path / "t", 2, skip=True)
    everywhere, some = Transcoders.open(folder), Transcoders.open(folder, layers=[0, 2])
    variants = [[Edit(0, 3, 11, 5.0)]]
    without = intervene(model, some, TOKENS, variants, regime="direct").logits
    assert (
        without - intervene(model, everywhere, TOKENS, variants, regime="direct").logits
    ).abs().max() > 1e-3
    tensors = load_file(folder / "layer_1.safetensors")
    save_file(tensors | {"W_skip": np.zeros_like(tensors["W_skip"])}, folder / "layer_1.safetensors")
    torch.testing.assert_close(
        without, intervene(model, Transcoders.open(folder), TOKENS, variants, regime="direct").logits
    )
    with pytest.raises(UsageError, match="in use"):
        intervene(model, some, TOKENS, [[Edit(1, 3, 11, 5.0)]])


def test_direct_effects_of_several_edits_add_up(tmp_path):
    """In the direct regime, old activations are those of the unedited run, even above an earlier edit."""
    model = load_model(write_model(tmp_path / "m", 1))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 2))
    graph = attribute(model, transcoders, TOKENS, difference=(5, 9))
    first = np.abs(graph.adjacency_matrix[-1, : len(graph.active_features)]).argsort()[-12:]
    layers = graph.active_features[first, 0]
    assert len(set(layers.tolist())) > 1
    edits = [Edit(*graph.active_features[i].tolist(), 0.0) for i in first]
    logits = intervene(model, transcoders, TOKENS, [edits, []], regime="direct").logits[:, -1]
    margin = logits[:, 5] - logits[:, 9]
    assert float(margin[1] - margin[0]) == pytest.approx(
        float(graph.adjacency_matrix[-1, first].sum()), abs=1e-4
    )


@pytest.mark.parametrize("top_k", [None, 4])
@pytest.mark.parametrize("regime", ["direct", "frozen_attention", "free"])
def test_setting_a_feature_to_its_own_activation_changes_nothing(tmp_path, regime, top_k):
    """The output is added to, never overwritten by a reconstruction."""
    model = load_model(write_model(tmp_path / "m", 3))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 4, top_k=top_k))
    base = capture(model, TOKENS, patterns=True)
    active = transcoders.layer(1).encode(base.mlp_input[1])
    position, feature = (int(i) for i in active.nonzero()[3])
    edits = [Edit(1, position, feature, float(active[position, feature]))]
    result = intervene(model, transcoders, TOKENS, [edits], regime=regime, base=base)
    torch.testing.assert_close(result.logits[0], base.logits, atol=1e-5, rtol=1e-4)


def test_regimes_let_more_and_more_react(tmp_path):
    """The three regimes give three different answers, and only at positions from the edited one on."""
    model = load_model(write_model(tmp_path / "m", 5))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 6))
    base = capture(model, TOKENS).logits
    edits = [Edit(0, 3, 11, 5.0), Edit(0, 3, 12, 5.0), Edit(1, 4, 7, 2.0)]
    logits = {
        r: intervene(model, transcoders, TOKENS, [edits], regime=r).logits[0]
        for r in ("direct", "frozen_attention", "free")
    }
    for result in logits.values():
        torch.testing.assert_close(result[:3], base[:3], atol=1e-5, rtol=1e-4)
        assert (result[3:] - base[3:]).abs().amax(dim=1).min() > 1e-3
    assert (logits["direct"] - logits["frozen_attention"]).abs().max() > 1e-3
    assert (logits["frozen_attention"] - logits["free"]).abs().max() > 1e-3


def test_a_constrained_edit_leaves_lower_mlps_alone(tmp_path):
    """A constrained edit acts as if MLP outputs were overwritten by hand with those of the unedited run."""
    model = load_model(write_model(tmp_path / "m", 5))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 6))
    base = capture(model, TOKENS, patterns=True)
    edits = [Edit(0, 3, 11, 5.0), Edit(0, 3, 12, 5.0)]
    logits = intervene(
        model, transcoders, TOKENS, [edits, edits], regime="frozen_attention", constrained=[1, -1], base=base
    ).logits
    hooks = [
        layer.mlp.register_forward_hook(lambda *_, i=i: base.mlp_output[i][None].clone())
        for i, layer in enumerate(model.parts.layers[:2])
    ]
    by_hand = intervene(model, transcoders, TOKENS, [edits], regime="frozen_attention", base=base).logits[0]
    for hook in hooks:
        hook.remove()
    free = intervene(model, transcoders, TOKENS, [edits], regime="frozen_attention", base=base).logits[0]
    torch.testing.assert_close(logits[0], by_hand, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits[1], free, atol=1e-5, rtol=1e-4)
    assert (by_hand - free).abs().max() > 1e-3


def test_a_constrained_edit_starts_from_the_unedited_activation(tmp_path):
    """A feature set to the activation it had adds nothing, though an edit below has moved what it reads."""
    model = load_model(write_model(tmp_path / "m", 3))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 4))
    active = transcoders.layer(1).encode(capture(model, TOKENS).mlp_input[1])
    feature = int(active[3].argmax())
    first, second = Edit(0, 3, 11, 5.0), Edit(1, 3, feature, float(active[3, feature]))
    run = intervene(model, transcoders, TOKENS, [[first], [first, second]], constrained=[1, 1])
    torch.testing.assert_close(run.logits[0], run.logits[1], atol=1e-5, rtol=1e-4)
    loose = intervene(model, transcoders, TOKENS, [[first], [first, second]])
    assert (loose.logits[0] - loose.logits[1]).abs().max() > 1e-3


def test_a_batch_gives_what_its_variants_give_alone(tmp_path):
    """Variants do not see each other; last_only keeps the last position."""
    model = load_model(write_model(tmp_path / "m", 7))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 8))
    variants = [[Edit(0, 2, 5, 3.0)], [], [Edit(2, 6, 1, 4.0), Edit(1, 6, 3, 0.0)]]
    together = intervene(model, transcoders, TOKENS, variants, last_only=True).logits
    assert together.shape == (3, 1, 210)
    for edits, ours in zip(variants, together, strict=True):
        alone = intervene(model, transcoders, TOKENS, [edits]).logits[0, -1:]
        torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"regime": "frozen"},
        {"constrained": [0, 1]},
        {"constrained": [0], "regime": "direct"},
        {"variants": []},
        {"variants": [[Edit(3, 0, 0, 0.0)]]},
        {"variants": [[Edit(0, 7, 0, 0.0)]]},
        {"variants": [[Edit(0, 1, 60, 0.0)]]},
        {"variants": [[Edit(0, 1, 2, 0.0), Edit(0, 1, 2, 1.0)]]},
    ],
)
def test_wrong_questions_are_refused(tmp_path, wrong):
    """Unknown regime, no edits, an edit outside the model, two values for one feature."""
    model = load_model(write_model(tmp_path / "m", 9))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 10))
    with pytest.raises(UsageError, match="expected"):
        intervene(model, transcoders, TOKENS, **({"variants": [[Edit(0, 1, 2, 0.0)]]} | wrong))
