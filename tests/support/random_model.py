"""Small random models and transcoders, written as files in the real formats."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

CONFORMANCE = Path(__file__).parents[1] / "conformance"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")

# Every other layer sees four positions only. Scores and logits near the caps of Gemma 2, so that they matter.
LOCAL = {"sliding_window": 4, "query_pre_attn_scalar": 16, "pad_token_id": 0, "bos_token_id": 208}
TURNS = ["sliding_attention", "full_attention"]
LOCAL_KINDS = ("gemma2", "gemma3_text", "ministral")
WITHOUT_BIAS = ("ministral", "mistral")
CAPPED = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0}


def write_model(
    folder: Path,
    seed: int = 0,
    *,
    kind: str = "qwen3",
    layers: int = 3,
    kv_heads: int = 2,
    tied: bool = False,
    bias: bool = False,
    **more: object,
) -> Path:
    """A model with 4 heads, d_model 48, which is not heads · head_dim, and vocabulary 210.

    Its weights are far from any symmetry.
    """
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        kind,
        vocab_size=210,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        head_dim=16,
        tie_word_embeddings=tied,
        **({} if kind in WITHOUT_BIAS else {"attention_bias": bias}),
        max_position_embeddings=64,
        initializer_range=0.15,
        **(LOCAL | {"layer_types": (TURNS * layers)[:layers]} if kind in LOCAL_KINDS else {}),
        **more,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5).sub_(float(kind.startswith("gemma")))  # they store gains less 1
            elif name.endswith("bias"):
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    for name in TOKENIZER:
        shutil.copyfile(CONFORMANCE / "model" / name, Path(folder) / name)
    return Path(folder)


def write_transcoders(
    folder: Path,
    seed: int = 0,
    *,
    layers: int = 3,
    d_model: int = 48,
    n_features: int = 60,
    threshold: bool = False,
    skip: bool = False,
    top_k: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Random transcoders of which roughly one feature in six is active."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    for layer in range(layers):
        tensors = {
            "W_enc": normal(n_features, d_model, scale=d_model**-0.5),
            "b_enc": normal(n_features, scale=0.3) - 0.8,
            "W_dec": normal(n_features, d_model, scale=0.3),
            "b_dec": normal(d_model, scale=0.3),
        }
        if threshold:
            tensors["activation_function.threshold"] = torch.rand(n_features, generator=generator) * 0.5
        if skip:
            tensors["W_skip"] = normal(d_model, d_model, scale=0.3 * d_model**-0.5)
        save_file(
            {name: tensor.to(dtype) for name, tensor in tensors.items()},
            folder / f"layer_{layer}.safetensors",
        )
    config = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "mlp.hook_out"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | ({"top_k": top_k} if top_k else {})))
    return folder
