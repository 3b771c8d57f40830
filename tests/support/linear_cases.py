"""Models and transcoders whose frozen networks are tried: every family, grouping, bias, skip and norm."""

from __future__ import annotations

import published
import torch
from random_model import CAPPED

ROPE_3 = {  # of Llama 3.2, with a context short enough to matter here
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
CASES = {
    "gqa1": ({"kv_heads": 4}, {}),
    "gqa2-tied": ({"kv_heads": 2, "tied": True}, {}),
    "gqa4-jumprelu": ({"kv_heads": 1}, {"threshold": True}),
    "bias": ({"bias": True}, {}),
    "skip": ({}, {"skip": True}),
    "top-k": ({}, {"top_k": 5}),
    "bias-tied-jumprelu-skip": (
        {"bias": True, "tied": True, "kv_heads": 1},
        {"threshold": True, "skip": True},
    ),
    "one-layer": ({"layers": 1}, {"layers": 1}),
    "five-layers": ({"layers": 5, "kv_heads": 4}, {"layers": 5, "skip": True}),
    "llama": ({"kind": "llama", "bias": True}, {}),
    "mistral": ({"kind": "mistral", "sliding_window": 3}, {}),
    "qwen2": ({"kind": "qwen2", "kv_heads": 4}, {}),  # with biases of queries, keys and values alone
    "apertus": ({"kind": "apertus", "kv_heads": 1}, {"threshold": True}),
    "gemma": ({"kind": "gemma", "tied": True, "kv_heads": 1}, {"skip": True}),
    "ministral": ({"kind": "ministral"}, {"top_k": 5}),
    "seed-oss": ({"kind": "seed_oss", "bias": True, "kv_heads": 4}, {}),
    "gemma2": ({"kind": "gemma2", "bias": True, **CAPPED}, {"skip": True}),
    "gemma3": ({"kind": "gemma3_text", "kv_heads": 1}, {"threshold": True}),
    "gemma3-bias": ({"kind": "gemma3_text", "kv_heads": 4, "bias": True}, {"skip": True, "top_k": 5}),
    "llama-3-rope": ({"kind": "llama", "tied": True, "rope_parameters": ROPE_3}, {"threshold": True}),
}

CROSS_LAYER = {
    "gqa1": {"kv_heads": 4},
    "gqa2": {"kv_heads": 2, "bias": True},
    "gqa4": {"kv_heads": 1, "kind": "llama"},
    "gemma2": {"kind": "gemma2", **CAPPED},
    "gemma3": {"kind": "gemma3_text", "kv_heads": 1},
}
HOOKS = ("mlp.hook_in", "hook_mlp_out")


def skips(layers: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(48, 48, generator=generator) * 0.04 for _ in range(layers)]


def written(folder, *, skip=False, layers=3, seed=4):
    """A cross-layer set, with skip connections in the layout that has them, and its tensors for `naive`."""
    native = published.cross_layer(
        folder / "native", seed, layers=layers, threshold=True, feature_output_hook="hook_mlp_out"
    )
    tensors = published.cross_layer_tensors(native)
    coders = [{published.THRESHOLD: each.pop("threshold"), **each} for each in tensors]
    if not skip:
        return native, coders
    (folder / "affine").mkdir()
    affine = published.gemma_scope_2_cross(native, folder / "affine", skips(layers))
    for coder, matrix in zip(coders, skips(layers), strict=True):
        coder["W_skip"] = matrix
    return affine, coders
