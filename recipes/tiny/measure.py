"""How good the tiny model and its transcoders are, measured on the files as shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3ForCausalLM

from circuitstore.models.load import tokenize
from circuitstore.transcoders import quality
from circuitstore.transcoders.training import Weights, mlp_pairs
from tasks.behaviours import Prompt


def load(folder: Path) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerBase, list[Weights]]:
    """The model, its tokenizer and the weights of each layer, from the folder of model/ and transcoders/."""
    model: Any = Qwen3ForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    files = [
        folder / "transcoders" / f"layer_{layer}.safetensors"
        for layer in range(model.config.num_hidden_layers)
    ]
    return model.eval(), tokenizer, [load_file(file) for file in files]


def tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a prompt as the pipeline feeds it, behind the token that "auto" puts first."""
    return tokenize(tokenizer, text)


@torch.no_grad()
def last_logits(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, prompts: list[Prompt]) -> Tensor:
    """Logits after the last token of each prompt: (prompt, token), float32."""
    return torch.stack([model(torch.tensor([tokens(tokenizer, p.text)])).logits[0, -1] for p in prompts])


def answers(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, prompts: list[Prompt]
) -> dict[str, float]:
    """How well the model answers prompts.

    accuracy: share of prompts with a positive margin; top1: share whose likeliest token is the correct
    answer; mean_margin, least_margin: nats.
    """
    logits = last_logits(model, tokenizer, prompts)
    correct, incorrect = (
        torch.tensor([tokenizer(getattr(p, side)).input_ids for p in prompts])
        for side in ("correct", "incorrect")
    )
    margins = (logits.gather(1, correct) - logits.gather(1, incorrect))[:, 0]
    return {
        "accuracy": (margins > 0).float().mean().item(),
        "top1": (logits.argmax(1) == correct[:, 0]).float().mean().item(),
        "mean_margin": margins.mean().item(),
        "least_margin": margins.min().item(),
    }


def reconstruction(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, transcoders: list[Weights], texts: list[str]
) -> list[dict[str, float]]:
    """For each layer: explained variance, mean L0, and the shares of features that are dead or repeated.

    They are measured over all positions of the texts but the first.
    """
    inputs, outputs = mlp_pairs(model, [tokens(tokenizer, text) for text in texts])
    measured = [quality.reconstruction(*layer) for layer in zip(transcoders, inputs, outputs, strict=True)]
    return [
        {
            "explained_variance": m["explained_variance"],
            "L0": m["l0"],
            "dead": m["dead"],
            "duplicates": m["duplicates"],
        }
        for m in measured
    ]


def replacement(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    transcoders: list[Weights],
    prompts: list[Prompt],
) -> dict[str, float]:
    """The replacement model beside the model, at the last token of each prompt.

    agreement: share of prompts with the same likeliest token; mean_kl, worst_kl: KL(model ‖ replacement) in
    nats.
    """
    model_logs = last_logits(model, tokenizer, prompts).log_softmax(1)
    with quality.replaced(model, dict(enumerate(transcoders))):
        logs = last_logits(model, tokenizer, prompts).log_softmax(1)
    divergence = quality.divergence(model_logs, logs)
    return {
        "agreement": quality.agreement(model_logs, logs).float().mean().item(),
        "mean_kl": divergence.mean().item(),
        "worst_kl": divergence.max().item(),
    }
