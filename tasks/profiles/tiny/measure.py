"""How good the tiny model and its transcoders are, measured on the files as shipped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3ForCausalLM

from tasks.behaviours import Prompt
from tasks.profiles.tiny.train_transcoders import mlp_pairs

Transcoder = dict[str, Tensor]


def load(folder: Path) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerBase, list[Transcoder]]:
    """The model, its tokenizer and one dict of weights a layer, from the folder that holds model/ and transcoders/."""
    model = Qwen3ForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    layers = range(model.config.num_hidden_layers)
    return model, tokenizer, [load_file(folder / "transcoders" / f"layer_{layer}.safetensors") for layer in layers]


def tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a prompt as the pipeline feeds it: the end-of-text token, then the text."""
    return [tokenizer.eos_token_id, *tokenizer(text, add_special_tokens=False).input_ids]


def activations(transcoder: Transcoder, inputs: Tensor) -> Tensor:
    """Feature activations (…, d_transcoder) of normalised MLP inputs (…, d_model)."""
    pre = inputs @ transcoder["W_enc"].mT + transcoder["b_enc"]
    return pre * (pre > transcoder["activation_function.threshold"])


def reconstruct(transcoder: Transcoder, activation: Tensor) -> Tensor:
    """MLP outputs (…, d_model) predicted from feature activations (…, d_transcoder)."""
    return activation @ transcoder["W_dec"] + transcoder["b_dec"]


@torch.no_grad()
def last_logits(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, prompts: list[Prompt]) -> Tensor:
    """Logits after the last token of each prompt: (prompt, token), float32."""
    return torch.stack([model(torch.tensor([tokens(tokenizer, p.text)])).logits[0, -1] for p in prompts])


def answers(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, prompts: list[Prompt]) -> dict[str, float]:
    """Accuracy (correct above incorrect), share of prompts whose likeliest token is correct, mean and least margin."""
    logits = last_logits(model, tokenizer, prompts)
    correct, incorrect = (torch.tensor([tokenizer(getattr(p, side)).input_ids for p in prompts]) for side in ("correct", "incorrect"))
    margins = (logits.gather(1, correct) - logits.gather(1, incorrect))[:, 0]
    return {
        "accuracy": (margins > 0).float().mean().item(),
        "top1": (logits.argmax(1) == correct[:, 0]).float().mean().item(),
        "mean_margin": margins.mean().item(),
        "least_margin": margins.min().item(),
    }


@torch.no_grad()
def reconstruction(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, transcoders: list[Transcoder], texts: list[str]
) -> list[dict[str, float]]:
    """For each layer, over all positions but the first: explained variance, mean L0 and share of features that are dead.

    Explained variance is 1 − Σ‖output − reconstruction‖² / Σ‖output − mean output‖²; dead is never active in `texts`.
    """
    inputs, outputs = mlp_pairs(model, [tokens(tokenizer, text) for text in texts])
    measured = []
    for transcoder, x, y in zip(transcoders, inputs, outputs, strict=True):
        error = total = active = 0.0
        alive = torch.zeros(len(transcoder["b_enc"]), dtype=torch.bool)
        mean = y.mean(0)
        for some_x, some_y in zip(x.split(8192), y.split(8192), strict=True):
            activation = activations(transcoder, some_x)
            error += (some_y - reconstruct(transcoder, activation)).square().sum().item()
            total += (some_y - mean).square().sum().item()
            active += (activation > 0).sum().item()
            alive |= (activation > 0).any(0)
        measured.append({"explained_variance": 1 - error / total, "L0": active / len(x), "dead": 1 - alive.float().mean().item()})
    return measured


@contextmanager
def replaced(model: Qwen3ForCausalLM, transcoders: list[Transcoder]) -> Iterator[None]:
    """Within, every MLP's output is its transcoder's, except at position 0; errors add up through the layers."""

    def hook(transcoder: Transcoder) -> Any:
        def replace(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            predicted = reconstruct(transcoder, activations(transcoder, inputs[0]))
            return torch.cat([output[:, :1], predicted[:, 1:]], dim=1)

        return replace

    layers = model.model.layers
    hooks = [layer.mlp.register_forward_hook(hook(each)) for layer, each in zip(layers, transcoders, strict=True)]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def replacement(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    transcoders: list[Transcoder],
    prompts: list[Prompt],
) -> dict[str, float]:
    """Replacement model against the model, at the last token: same likeliest token, KL(model ‖ replacement) in nats."""
    model_logs = last_logits(model, tokenizer, prompts).log_softmax(1)
    with replaced(model, transcoders):
        logs = last_logits(model, tokenizer, prompts).log_softmax(1)
    divergence = (model_logs.exp() * (model_logs - logs)).sum(1)
    return {
        "agreement": (model_logs.argmax(1) == logs.argmax(1)).float().mean().item(),
        "mean_kl": divergence.mean().item(),
        "worst_kl": divergence.max().item(),
    }
