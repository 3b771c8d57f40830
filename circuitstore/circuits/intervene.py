"""Interventions on features of the real model: what happens when a feature's activation is another one.

An edit adds (new − old activation) · W_dec where the transcoder writes, to the output of the MLP, or of every
MLP that a cross-layer feature writes to. The output is
never overwritten by a reconstruction. So what the transcoder fails to explain stays in place, and editing a
feature to its own activation changes nothing.

Three regimes say what may react to the edits:

    direct            nothing. Attention patterns, norm denominators and MLP outputs stay as they were, and
                      only skip connections, which are linear, carry on. The old activation is that of the
                      unedited run. The effects are exactly those of the edges of the attribution graph.
    frozen_attention  norms and MLPs, but not attention patterns
    free              everything

In the last two, the old activation is that of the edited run itself, when it reaches the layer. They may be
**constrained** to a layer. In this layer and those below it, MLP outputs stay as they were, apart from the
edits; what the edits set off begins above.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), section "Validating attribution graph
hypotheses with interventions" (constrained patching). The regimes are those of circuit-tracer's
``feature_intervention``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits.edits import Change, Edit, EditedMLP, edits_by_layer
from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture, capture, unembed
from circuitstore.models.families import Layer, Parts
from circuitstore.models.finite import require_finite
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders

REGIMES = ("direct", "frozen_attention", "free")


@dataclass(frozen=True)
class Intervened:
    """What the edited runs gave; a variant is one set of edits."""

    logits: Tensor  # (variant, position, token) float32; the last position only when asked for
    # (variant, layer, position, d_model); encoded, it gives the activations of the edited run
    mlp_input: Tensor | None


def intervene(
    model: LanguageModel,
    transcoders: Transcoders,
    tokens: Sequence[int],
    variants: Sequence[Sequence[Edit]] | Sequence[NDArray[np.float64]],
    *,
    regime: str = "free",
    constrained: Sequence[int] | None = None,
    base: Capture | None = None,
    last_only: bool = False,
    inputs: bool = True,
) -> Intervened:
    """Run ``tokens`` (position,) once for every set of edits, all in one batch.

    A set of ``variants`` may be an array (edit, 4) whose columns are those of `Edit`. ``constrained``
    (variant,) is the layer that each set is constrained to, -1 for none. ``base`` is the unedited run, with
    patterns, when it is known already. ``last_only`` gives the logits of the last position alone. Without
    ``inputs``, MLP inputs are not kept. Both save memory.

    Raises UsageError for an unknown regime, for edits outside the model and for two values of one feature.
    Raises NonFiniteError for a NaN or an infinity in what an edited run gives.
    """
    if regime not in REGIMES:
        raise UsageError("intervention regime", expected=" or ".join(REGIMES), got=regime)
    if not variants:
        raise UsageError("interventions", expected="at least one set of edits", got="none")
    transcoders.check_fits(model.n_layers, model.d_model)
    by_layer = edits_by_layer(variants, transcoders, len(tokens))
    if base is None:
        base = capture(model, tokens, patterns=regime != "free", hooks=transcoders.hooks)
    if base.hooks != transcoders.hooks:
        raise UsageError("unedited run", expected=f"one at {transcoders.hooks}", got=f"one at {base.hooks}")
    held_up_to = _held_up_to(model, regime, constrained, len(variants))
    mlp_input: list[Tensor] = []
    final: list[Tensor] = []
    changes: list[Change] = []
    parts = model.parts
    with torch.no_grad(), ExitStack() as stack:
        for index, layer in enumerate(parts.layers):
            if regime != "free":
                attention = _frozen_attention(model, layer, base, index)
                handle = layer.attention.register_forward_hook(attention, with_kwargs=True)
                stack.callback(handle.remove)
            if regime == "direct":
                for norm, known in _frozen_norms(layer, base, index):
                    stack.callback(norm.register_forward_hook(_frozen_norm(parts, known)).remove)
            transcoder = transcoders.layer(index) if index in transcoders.layers else None
            held, edits = held_up_to >= index, by_layer.get(index)
            edited = EditedMLP(transcoder, edits, base, index, held, changes, transcoders.written_by)
            scale = base.mlp_scale[index] if regime == "direct" else None
            handle = transcoders.hooks.on_read(layer, parts.norm_epsilon, edited.read, scale)
            stack.callback(handle.remove)
            if inputs:
                handle = transcoders.hooks.on_read(layer, parts.norm_epsilon, mlp_input.append, scale)
                stack.callback(handle.remove)
            handle = transcoders.hooks.writer(layer).register_forward_hook(edited.written)
            stack.callback(handle.remove)
        if regime == "direct":
            handle = parts.final_norm.register_forward_hook(_frozen_norm(parts, base.final_scale))
            stack.callback(handle.remove)
        handle = parts.final_norm.register_forward_hook(lambda _, args, output: final.append(output))
        stack.callback(handle.remove)
        parts.trunk(base.tokens.expand(len(variants), -1), use_cache=False)
    last = final[0][:, -1:] if last_only else final[0]
    logits = parts.capped(unembed(model, last))
    first = (0, len(tokens) - logits.shape[1], 0)
    require_finite("logits of an edited run", logits, ("set of edits", "position", "token"), first=first)
    if not inputs:
        return Intervened(logits, None)
    read = torch.stack(mlp_input, dim=1)
    require_finite("MLP input of an edited run", read, ("set of edits", "layer", "position", "dimension"))
    return Intervened(logits, read)


def _held_up_to(model: LanguageModel, regime: str, constrained: Sequence[int] | None, count: int) -> Tensor:
    """The last layer whose MLP output each variant holds as it was: (variant,) int64, -1 for none."""
    every = [model.n_layers if regime == "direct" else -1] * count
    layers = every if constrained is None else list(constrained)
    if len(layers) != count or (regime == "direct" and constrained is not None):
        raise UsageError(
            "constrained",
            expected=f"a layer for each of {count} sets, and another regime than direct",
            got=constrained,
        )
    return torch.as_tensor(layers).to(model.device)


def _frozen_attention(
    model: LanguageModel, layer: Layer, base: Capture, index: int
) -> Callable[..., tuple[Any, ...]]:
    """A hook that computes the output of attention with the patterns of the unedited run."""
    if base.patterns is None:
        raise UsageError("unedited run", expected="a capture with attention patterns", got="one without")
    parts = model.parts
    # (kv_head, group, query position, key position)
    pattern = base.patterns[index].unflatten(0, (parts.n_kv_heads, -1)).to(model.dtype)

    def hook(
        module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        x = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        values = layer.value(x).unflatten(-1, (parts.n_kv_heads, parts.head_dim))
        mixed = torch.einsum("hgqk,vkhd->vqhgd", pattern, values)
        return layer.output(mixed.flatten(2)), *output[1:]

    return hook


def _frozen_norms(layer: Layer, base: Capture, index: int) -> list[tuple[torch.nn.Module, Tensor]]:
    """The norms of a block, each with its denominators in the unedited run: scale (position,)."""
    of_block = [
        (layer.attention_norm, base.attention_scale),
        (layer.post_attention_norm, base.post_attention_scale),
        (layer.mlp_norm, base.mlp_scale),
        (layer.post_mlp_norm, base.post_mlp_scale),
    ]
    return [(norm, scales[index]) for norm, scales in of_block if norm is not None and scales is not None]


def _frozen_norm(parts: Parts, scale: Tensor) -> Callable[..., Tensor]:
    """A hook that divides by the denominators of the unedited run: scale (position,)."""

    def hook(module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return (args[0].float() * scale[:, None] * parts.gain(module)).to(output.dtype)

    return hook
