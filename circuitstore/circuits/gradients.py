"""Gradients of the real model: how its logits and features react, to first order, to what its layers write.

Nothing is frozen: attention patterns, norms and later MLPs react too. The gradients are those of torch.

Sources: *Attribution Patching Outperforms Automated Circuit Discovery* (Syed et al., 2023), §2; *Sparse
Feature Circuits* (Marks et al., 2024), §3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from circuitstore.models.capture import check_tokens
from circuitstore.models.load import LanguageModel

# How many targets are differentiated at once, each in its own copy of the prompt. The number is a constant,
# because it decides the last bits.
CHUNK = 32


def logit_gradients(model: LanguageModel, tokens: Sequence[int], directions: Tensor) -> Tensor:
    """Gradients of direction · final norm output at the last position, directions (target, d_model) float32.

    Returns (target, entry, position, d_model) float32. Entry l is what enters at the input of layer l: entry
    0 the token embeddings, entry l + 1 the MLP output of layer l. Raises UsageError and LimitError for tokens
    that the model cannot take.
    """
    layer = np.full(len(directions), model.n_layers)
    position = np.full(len(directions), len(tokens) - 1)
    return _gradients(model, tokens, layer, position, directions)


def feature_gradients(
    model: LanguageModel,
    tokens: Sequence[int],
    layer: NDArray[np.int64],
    position: NDArray[np.int64],
    encoders: Tensor,
) -> Tensor:
    """Gradients of the pre-activations of features with respect to what enters the residual stream.

    ``layer`` and ``position`` (target,) say where the features are, ``encoders`` (target, d_model) float32
    are their encoder rows. Returns (target, entry, position, d_model) float32 as `logit_gradients`, 0 for
    what enters after a target. Raises UsageError and LimitError for tokens that the model cannot take.
    """
    return _gradients(model, tokens, layer, position, encoders)


def _gradients(
    model: LanguageModel,
    tokens: Sequence[int],
    layer: NDArray[np.int64],
    position: NDArray[np.int64],
    reads: Tensor,
) -> Tensor:
    """Gradients of reads · MLP input of ``layer``, or for n_layers of reads · output of the final norm."""
    ids = check_tokens(model, tokens)
    if not len(reads):
        return torch.zeros(0, model.n_layers + 1, len(ids), model.d_model, device=model.device)
    parts = [slice(start, start + CHUNK) for start in range(0, len(reads), CHUNK)]
    return torch.cat([_chunk(model, ids, layer[part], position[part], reads[part]) for part in parts])


def _chunk(
    model: LanguageModel, ids: Tensor, layer: NDArray[np.int64], position: NDArray[np.int64], reads: Tensor
) -> Tensor:
    """Gradients of some targets, each in its own copy of the prompt: (target, entry, position, d_model)."""
    parts, count, hf = model.parts, len(reads), cast(Any, model.hf)
    # Zeros that are added to the embeddings and to each MLP output; gradients are taken with respect to them.
    leaves = [
        torch.zeros(
            count, len(ids), model.d_model, dtype=model.dtype, device=model.device, requires_grad=True
        )
        for _ in range(model.n_layers + 1)
    ]
    outputs: list[Tensor] = []  # of the norms before the MLPs, then of the final norm

    def adding(leaf: Tensor) -> Callable[..., Tensor]:
        return lambda module, args, output: output + leaf

    def keeping(module: nn.Module, args: object, output: Tensor) -> None:
        outputs.append(output)

    with torch.enable_grad(), ExitStack() as hooks:
        modules = [hf.get_input_embeddings(), *(block.mlp for block in parts.layers)]
        for module, leaf in zip(modules, leaves, strict=True):
            hooks.callback(module.register_forward_hook(adding(leaf)).remove)
        for norm in (*(block.mlp_norm for block in parts.layers), parts.final_norm):
            hooks.callback(norm.register_forward_hook(keeping).remove)
        parts.trunk(ids.expand(count, -1), use_cache=False)
        targets = zip(layer.tolist(), range(count), position.tolist(), reads, strict=True)
        products = [outputs[level][copy, at].float() @ read for level, copy, at, read in targets]
        gradients = torch.autograd.grad(torch.stack(products).sum(), leaves, allow_unused=True)
    known = [torch.zeros_like(leaves[0]) if gradient is None else gradient for gradient in gradients]
    return torch.stack(known, dim=1).float()
