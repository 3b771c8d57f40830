"""Gradients of the real model: how its logits and features react to what its layers write.

Nothing is frozen: attention patterns, norms and later MLPs react too. The gradients are those of torch.

A gradient is taken where the prompt is, to first order, or **integrated** along a `Path` that ends there. On
a path, what its nodes write at one entry falls together to nothing, in equal steps, entry by entry. The
integrated gradients of an entry, times what its nodes write, sum to the change of the target when all of this
is taken away, as the number of steps grows.

Sources: *Attribution Patching Outperforms Automated Circuit Discovery* (Syed et al., 2023), §2; *Sparse
Feature Circuits* (Marks et al., 2024), §3.1, for both kinds; integrated gradients of inputs are those of
*Have Faith in Faithfulness* (Hanna et al., 2024), §3, and their sum is the completeness of *Axiomatic
Attribution for Deep Networks* (Sundararajan et al., 2017), §3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.models.capture import NATIVE, check_tokens
from circuitstore.models.hooks import Hooks
from circuitstore.models.load import LanguageModel

# How many targets are differentiated at once, each in its own copy of the prompt. The number is a constant,
# because it decides the last bits.
CHUNK = 32


@dataclass(frozen=True)
class Path:
    """What the nodes of each entry write, and in how many steps it falls to nothing."""

    written: Tensor  # (entry, position, d_model) float32
    steps: int

    def missing(self, step: NDArray[np.int64]) -> Tensor:
        """The share of what is written that is missing at each step: the middles of equal parts of 0 to 1."""
        return torch.from_numpy(((step + 0.5) / self.steps).astype(np.float32))


def logit_gradients(
    model: LanguageModel,
    tokens: Sequence[int],
    directions: Tensor,
    hooks: Hooks = NATIVE,
    path: Path | None = None,
) -> Tensor:
    """Gradients of direction · final norm output at the last position, directions (target, d_model) float32.

    Returns (target, entry, position, d_model) float32. Entry l is what enters at the input of layer l: entry
    0 the token embeddings, entry l + 1 what transcoders predict of layer l, by ``hooks``. With a ``path``,
    gradients are their means along it.

    Raises UsageError and LimitError for tokens that the model cannot take.
    """
    layer = np.full(len(directions), model.n_layers)
    position = np.full(len(directions), len(tokens) - 1)
    return _gradients(model, tokens, layer, position, directions, hooks, path)


def feature_gradients(
    model: LanguageModel,
    tokens: Sequence[int],
    layer: NDArray[np.int64],
    position: NDArray[np.int64],
    encoders: Tensor,
    hooks: Hooks = NATIVE,
    path: Path | None = None,
) -> Tensor:
    """Gradients of the pre-activations of features with respect to what enters the residual stream.

    ``layer`` and ``position`` (target,) say where the features are, ``encoders`` (target, d_model) float32
    are their encoder rows. Returns (target, entry, position, d_model) float32 as `logit_gradients`, 0 for
    what enters after a target. Raises UsageError and LimitError for tokens that the model cannot take.
    """
    return _gradients(model, tokens, layer, position, encoders, hooks, path)


def _gradients(
    model: LanguageModel,
    tokens: Sequence[int],
    layer: NDArray[np.int64],
    position: NDArray[np.int64],
    reads: Tensor,
    hooks: Hooks,
    path: Path | None,
) -> Tensor:
    """Gradients of reads · MLP input of ``layer``, or for n_layers of reads · output of the final norm."""
    ids = check_tokens(model, tokens)
    shape = (len(reads), model.n_layers + 1, len(ids), model.d_model)
    result = torch.zeros(shape, device=model.device)
    if path is None:
        for start in range(0, len(reads), CHUNK):
            part = slice(start, start + CHUNK)
            nothing = torch.zeros_like(result[part])
            result[part] = _chunk(model, ids, layer[part], position[part], reads[part], nothing, hooks)
        return result
    below = int(layer.max(initial=-1)) + 1  # entries that can reach a target
    grid = np.indices((len(reads), below, path.steps)).reshape(3, -1)
    parts = [torch.zeros(0, *shape[2:], device=model.device)]
    for start in range(0, grid.shape[1], CHUNK):
        of, entry, step = grid[:, start : start + CHUNK]
        copies, at = torch.arange(len(of)), torch.from_numpy(entry)
        added = torch.zeros(len(of), *shape[1:], device=model.device)
        added[copies, at] = -path.missing(step).to(model.device)[:, None, None] * path.written[at]
        chunk = _chunk(model, ids, layer[of], position[of], reads[torch.from_numpy(of)], added, hooks)
        parts.append(chunk[copies, at])
    result[:, :below] = torch.cat(parts).unflatten(0, (len(reads), below, path.steps)).mean(2)
    return result


def _chunk(
    model: LanguageModel,
    ids: Tensor,
    layer: NDArray[np.int64],
    position: NDArray[np.int64],
    reads: Tensor,
    added: Tensor,
    hooks: Hooks,
) -> Tensor:
    """Gradients of some targets, each in its own copy of the prompt: (target, entry, position, d_model).

    They are with respect to what is ``added`` at the entries, which has the same shape.
    """
    parts, count = model.parts, len(reads)
    leaves = [leaf.clone().requires_grad_() for leaf in added.to(model.dtype).unbind(1)]
    outputs: list[Tensor] = []  # what transcoders read, layer by layer, then the output of the final norm

    def adding(leaf: Tensor) -> Callable[..., Tensor]:
        return lambda module, args, output: output + leaf

    with torch.enable_grad(), ExitStack() as stack:
        first = parts.first_block.register_forward_pre_hook(lambda _, args: (args[0] + leaves[0], *args[1:]))
        stack.callback(first.remove)
        for block, leaf in zip(parts.layers, leaves[1:], strict=True):
            stack.callback(hooks.writer(block).register_forward_hook(adding(leaf)).remove)
            stack.callback(hooks.on_read(block, parts.norm_epsilon, outputs.append).remove)
        stack.callback(
            parts.final_norm.register_forward_hook(lambda _, args, output: outputs.append(output)).remove
        )
        parts.trunk(ids.expand(count, -1), use_cache=False)
        product = _read(outputs, layer, position, reads)
        gradients = torch.autograd.grad(product, leaves, allow_unused=True)
    known = [torch.zeros_like(leaves[0]) if gradient is None else gradient for gradient in gradients]
    return torch.stack(known, dim=1).float()


def _read(
    outputs: Sequence[Tensor], layer: NDArray[np.int64], position: NDArray[np.int64], reads: Tensor
) -> Tensor:
    """The sum over targets of reads · the output of ``layer`` at ``position`` in the target's own copy: ().

    Targets of a layer are taken out together: each taken by itself would cost a tensor of the size of all
    copies on the way back. Added to zero, a read of -0 becomes 0, as in a sum over such tensors.
    """
    total = torch.zeros((), device=reads.device)
    for level in np.unique(layer):
        copies = np.flatnonzero(layer == level)
        of, at = (torch.from_numpy(index).to(reads.device) for index in (copies, position[copies]))
        total = total + (outputs[level][of, at].float() * (reads[of] + 0.0)).sum()
    return total
