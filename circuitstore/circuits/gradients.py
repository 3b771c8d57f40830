"""Gradients of the real model: how its logits and features react, to first order, to what its layers write.

Nothing is frozen: attention patterns, norms and later MLPs react too. The gradients are those of torch.

Sources: *Attribution Patching Outperforms Automated Circuit Discovery* (Syed et al., 2023), §2; *Sparse
Feature Circuits* (Marks et al., 2024), §3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitstore.models.capture import check_tokens
from circuitstore.models.load import LanguageModel

# targets differentiated at once, each in its own copy of the prompt; fixed, since it decides the last bits
CHUNK = 32


def logit_gradients(model: LanguageModel, tokens: Sequence[int], directions: Tensor) -> Tensor:
    """Gradients of ``directions @ final norm output`` at the last position, directions (target, d_model)
    float32.

    Returns (target, entry, position, d_model) float32: entry l is what enters at the input of layer l, so 0
    are the token embeddings and l + 1 the MLP output of layer l. Raises UsageError, LimitError for tokens the
    model cannot take.
    """
    everywhere = np.full(len(directions), model.n_layers), np.full(len(directions), len(tokens) - 1)
    return _gradients(model, tokens, *everywhere, directions)


def feature_gradients(
    model: LanguageModel, tokens: Sequence[int], layer: np.ndarray, position: np.ndarray, encoders: Tensor
) -> Tensor:
    """Gradients of the pre-activations of features: layer, position (target,), encoder rows (target, d_model)
    float32.

    Returns (target, entry, position, d_model) float32 as `logit_gradients`; 0 for what enters after a target.
    """
    return _gradients(model, tokens, layer, position, encoders)


def _gradients(
    model: LanguageModel, tokens: Sequence[int], layer: np.ndarray, position: np.ndarray, reads: Tensor
) -> Tensor:
    """Gradients of reads · (MLP input of ``layer``, or the final norm's output for n_layers), at
    ``position``.
    """
    ids = check_tokens(model, tokens)
    parts, n_layers = model.parts, model.n_layers
    shape = (n_layers + 1, len(ids), model.d_model)
    if not len(reads):
        return torch.zeros(0, *shape, device=model.device)
    results = []
    for start in range(0, len(reads), CHUNK):
        part = slice(start, start + CHUNK)
        count = len(reads[part])
        leaves = [
            torch.zeros(count, *shape[1:], dtype=model.dtype, device=model.device, requires_grad=True)
            for _ in range(shape[0])
        ]
        seen: list[Tensor] = []
        hf: Any = model.hf
        with torch.enable_grad(), ExitStack() as hooks:
            modules = [hf.get_input_embeddings(), *(block.mlp for block in parts.layers)]
            for module, leaf in zip(modules, leaves, strict=True):
                hooks.callback(
                    module.register_forward_hook(lambda _, args, output, leaf=leaf: output + leaf).remove
                )
            for module in (*(block.mlp_norm for block in parts.layers), parts.final_norm):
                hooks.callback(
                    module.register_forward_hook(
                        lambda _, args, output, seen=seen: seen.append(output)
                    ).remove
                )
            parts.trunk(ids.expand(count, -1), use_cache=False)
            where = zip(layer[part].tolist(), range(count), position[part].tolist(), reads[part], strict=True)
            total = torch.stack(
                [seen[level][copy, place].float() @ read for level, copy, place, read in where]
            ).sum()
            found = torch.autograd.grad(total, leaves, allow_unused=True)
        results.append(
            torch.stack([torch.zeros_like(leaves[0]) if g is None else g for g in found], dim=1).float()
        )
    return torch.cat(results)
