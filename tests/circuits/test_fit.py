"""How well transcoders fit: against the formulas written out, at other hooks, and in place of the MLPs."""

from __future__ import annotations

from itertools import product

import numpy as np
import published
import pytest
import torch
import yaml
from random_model import write_model, write_transcoders
from safetensors.torch import load_file, save_file

from circuitstore.circuits.fit import better_hooks, hook_fit, layer_fits, replacement
from circuitstore.circuits.prediction import Prediction
from circuitstore.errors import LimitError, UsageError
from circuitstore.models.capture import capture
from circuitstore.models.hooks import READS, WRITES, Hooks
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders
from circuitstore.transcoders.quality import log_probabilities, replaced

PROMPTS = [[208, *((17 * i + 5 * j) % 200 for i in range(1, 9))] for j in range(10)]


def fitted(folder, model, hooks):
    """Transcoders of skip connections alone: least squares from what is read to what is written."""
    folder.mkdir()
    runs = [capture(model, tokens, hooks=hooks) for tokens in PROMPTS]
    for layer in range(model.n_layers):
        x, y = (
            torch.cat([getattr(run, name)[layer, 1:] for run in runs]) for name in ("mlp_input", "mlp_output")
        )
        skip = torch.linalg.lstsq(x - x.mean(0), y - y.mean(0)).solution.T
        tensors = {"W_enc": torch.zeros(3, 48), "b_enc": -torch.ones(3), "W_dec": torch.zeros(3, 48)}
        tensors |= {"b_dec": y.mean(0) - skip @ x.mean(0), "W_skip": skip.contiguous()}
        save_file(tensors, folder / f"layer_{layer}.safetensors")
    return folder


def said(folder, hooks):
    config = {"feature_input_hook": hooks.reads, "feature_output_hook": hooks.writes}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return Transcoders.open(folder)


@pytest.mark.parametrize("kind", ["gemma3_text", "qwen3"])
def test_a_wrong_hook_is_found_and_a_right_one_is_not_complained_of(tmp_path, kind):
    """Every pair of hooks, as made for and as stated."""
    model = load_model(write_model(tmp_path / "m", 3, kind=kind))
    model.hf.get_input_embeddings().weight.mul_(20)  # real residual streams are far from what a norm gives
    for number, (reads, writes) in enumerate(product(READS, WRITES)):
        made = Hooks(reads, writes)
        folder = fitted(tmp_path / str(number), model, made)
        fits = hook_fit(model, said(folder, made), PROMPTS[:6])
        assert next(iter(fits)) == made and len(fits) == (6 if kind == "gemma3_text" else 3)
        assert better_hooks(fits) == "" and min(fits[made].values()) > 0.2
        wrong = Hooks("hook_resid_mid" if reads != "hook_resid_mid" else "mlp.hook_in", writes)
        told = better_hooks(hook_fit(model, said(folder, wrong), PROMPTS[:6]))
        assert told.startswith("transcoders explain ") and told.endswith(f"at {reads} and {writes}"), told
        assert f"at {wrong.reads} and {wrong.writes}, where they are said to" in told


def test_predictions_of_cross_layer_transcoders_add_up(tmp_path):
    """Over the layers whose features write to a layer, by the formula written out."""
    model = load_model(write_model(tmp_path / "m", 3))
    folder = published.cross_layer(tmp_path / "t", 4)
    tensors, run = published.cross_layer_tensors(folder), capture(model, PROMPTS[0])
    active = [(run.mlp_input[i] @ t["W_enc"].T + t["b_enc"]).relu() for i, t in enumerate(tensors)]
    prediction = Prediction(Transcoders.open(folder))
    for layer in range(model.n_layers):
        (predicted,) = prediction.of(layer, [run.mlp_input[layer]])
        expected = tensors[layer]["b_dec"] + sum(
            active[i] @ tensors[i]["W_dec"][:, layer - i] for i in range(layer + 1)
        )
        torch.testing.assert_close(predicted, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("skip", [False, True])
def test_the_fit_of_a_layer_is_that_of_all_positions_but_the_first(tmp_path, skip):
    """By the formulas, over prompts of several lengths at once."""
    model = load_model(write_model(tmp_path / "m", 3))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 1, skip=skip))
    prompts = [tokens[: 3 + i % 4] for i, tokens in enumerate(PROMPTS)]
    runs = [capture(model, tokens) for tokens in prompts]
    for layer, fit in layer_fits(model, transcoders, prompts).items():
        coder = transcoders.layer(layer)
        x, y = (torch.cat([getattr(run, n)[layer, 1:] for run in runs]) for n in ("mlp_input", "mlp_output"))
        active = coder.preactivation(x).relu()
        rest = y - coder.reconstruct(coder.active([x])[0], x)
        assert fit.explained_variance == pytest.approx(
            1 - float(rest.square().sum() / (y - y.mean(0)).square().sum()), abs=1e-5
        )
        assert fit.normalised_mse == pytest.approx(float(rest.square().sum() / y.square().sum()), rel=1e-5)
        assert fit.l0 == pytest.approx(float((active > 0).sum(1).double().mean()))
        assert fit.dead == pytest.approx(float((active == 0).all(0).double().mean())) and 0 < fit.dead < 1


def test_the_replacement_model_is_that_of_training(tmp_path):
    """Of per-layer transcoders: what `transcoders.quality` says, which replaces MLPs by dense products."""
    model = load_model(write_model(tmp_path / "m", 3))
    folder = write_transcoders(tmp_path / "t", 1, skip=True)
    prompts = [tokens[: 3 + i % 4] for i, tokens in enumerate(PROMPTS)]
    weights = {i: load_file(folder / f"layer_{i}.safetensors") for i in range(3)}
    expected = [log_probabilities(model.hf, [tokens]) for tokens in prompts]
    with replaced(model.hf, weights):
        others = [log_probabilities(model.hf, [tokens]) for tokens in prompts]
    same, away = replacement(model, Transcoders.open(folder), prompts)
    p, q = torch.cat(expected), torch.cat(others)
    assert same.tolist() == (p.argmax(1) == q.argmax(1)).tolist()
    torch.testing.assert_close(away, (p.exp() * (p - q)).sum(1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["gemma3_text", "qwen3"])
def test_cross_layer_transcoders_replace_mlps_where_they_write(tmp_path, kind):
    """One prompt at a time, layer by layer, features of the replaced run adding up over layers."""
    model = load_model(write_model(tmp_path / "m", 3, kind=kind))
    folder = published.cross_layer(tmp_path / "t", 4)
    tensors, transcoders = published.cross_layer_tensors(folder), Transcoders.open(folder)
    logits = []
    for tokens in PROMPTS[:3]:
        active, handles = [], []

        def hook(module, args, output, active=active):
            layer = len(active)
            x = args[0][0] if module.__class__.__name__.endswith("MLP") else None
            assert x is not None
            active.append((x @ tensors[layer]["W_enc"].T + tensors[layer]["b_enc"]).relu())
            out = tensors[layer]["b_dec"] + sum(
                active[i] @ tensors[i]["W_dec"][:, layer - i] for i in range(layer + 1)
            )
            return torch.cat([output[:, :1], out[None, 1:]], dim=1)

        handles = [layer.mlp.register_forward_hook(hook) for layer in model.parts.layers]
        with torch.no_grad():
            logits.append(model.hf(torch.tensor([tokens])).logits[0, 1:].log_softmax(-1))
        for handle in handles:
            handle.remove()
    q = torch.cat(logits)
    p = torch.cat([capture(model, tokens).logits[1:].log_softmax(-1) for tokens in PROMPTS[:3]])
    same, away = replacement(model, transcoders, PROMPTS[:3])
    assert same.tolist() == (p.argmax(1) == q.argmax(1)).tolist()
    torch.testing.assert_close(away, (p.exp() * (p - q)).sum(1), atol=1e-4, rtol=1e-4)


def test_only_layers_in_use_are_measured_and_replaced(tmp_path):
    """The others keep their MLPs, so that the model agrees with itself after some tokens and not all."""
    model = load_model(write_model(tmp_path / "m", 3))
    folder = write_transcoders(tmp_path / "t", 1)
    some = Transcoders.open(folder, layers=[1])
    assert list(layer_fits(model, some, PROMPTS)) == [1]
    with replaced(model.hf, {1: load_file(folder / "layer_1.safetensors")}):
        q = log_probabilities(model.hf, PROMPTS)
    p = log_probabilities(model.hf, PROMPTS)
    same, away = replacement(model, some, PROMPTS)
    assert same.tolist() == (p.argmax(1) == q.argmax(1)).tolist() and 0 < sum(same.tolist()) < len(same)
    assert float(away.mean()) == pytest.approx(float((p.exp() * (p - q)).sum(1).mean()), rel=1e-4)


@pytest.mark.parametrize("measure", [layer_fits, replacement])
def test_prompts_that_cannot_be_measured_are_refused(tmp_path, measure):
    """None, one of the prepended token alone, an unknown token, one longer than the model's positions."""
    model = load_model(write_model(tmp_path / "m", 3))
    transcoders = Transcoders.open(write_transcoders(tmp_path / "t", 1))
    for prompts, error in (
        ([], UsageError),
        ([[208]], UsageError),
        ([[208, 999]], UsageError),
        ([np.zeros(65, dtype=int).tolist()], LimitError),
    ):
        with pytest.raises(error):
            measure(model, transcoders, prompts)
