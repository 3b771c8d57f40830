"""Interventions on features of the real model: what happens when a feature's activation is another one.

An edit adds (new − old activation) · W_dec to the MLP's output; the output is never overwritten by a
reconstruction, so what the transcoder fails to explain stays in place, and editing a feature to its own
activation changes nothing.

Three regimes say what may react:

    direct            nothing: attention patterns, norm denominators and MLP outputs stay as they were (a transcoder's skip
                      connection, being linear, carries on). Old activations are those of the unedited run.
                      The effect on anything then is exactly that of the edges of the attribution graph.
    frozen_attention  norms and MLPs, not attention patterns
    free              everything

In the last two, "old" is the activation of the edited run itself, at the moment the layer is reached. They
may be **constrained** to a layer: up to and with it, MLP outputs stay as they were but for the edits, and
what the edits set off begins above.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), section "Validating attribution graph
hypotheses with interventions" (constrained patching); the regimes are those of circuit-tracer's
``feature_intervention``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture, capture, unembed
from circuitstore.models.families import Layer
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import LayerTranscoder, Transcoders

REGIMES = ("direct", "frozen_attention", "free")


class Edit(NamedTuple):
    """Set the activation of one feature at one position."""

    layer: int
    position: int
    feature: int
    value: float


@dataclass(frozen=True)
class Intervened:
    """What the edited runs gave; ``variant`` is one set of edits."""

    logits: Tensor  # (variant, position, token) float32; the last position only when asked for
    mlp_input: (
        Tensor | None
    )  # (variant, layer, position, d_model): encode it for the edited run's activations


def intervene(
    model: LanguageModel,
    transcoders: Transcoders,
    tokens: Sequence[int],
    variants: Sequence[Sequence[Edit]] | Sequence[np.ndarray],
    *,
    regime: str = "free",
    constrained: Sequence[int] | None = None,
    base: Capture | None = None,
    last_only: bool = False,
    inputs: bool = True,
) -> Intervened:
    """Run ``tokens`` (position,) once for every set of edits, all in one batch; a set may be an array (edit,
    4), its columns those of `Edit`. ``last_only`` gives the logits of the last position alone; without
    ``inputs``, MLP inputs are not kept: both save memory.

    ``constrained`` (variant,) is the layer that each set is constrained to, -1 for none. ``base`` is the
    unedited run, with patterns, when it is known already. Raises UsageError for an unknown regime or an edit
    outside the model.
    """
    if regime not in REGIMES:
        raise UsageError("intervention regime", expected=" or ".join(REGIMES), got=regime)
    if not variants:
        raise UsageError("interventions", expected="at least one set of edits", got="none")
    transcoders.check_fits(model.n_layers, model.d_model)
    by_layer = _by_layer(variants, transcoders, len(tokens))
    base = capture(model, tokens, patterns=regime != "free") if base is None else base
    held = torch.as_tensor(
        [model.n_layers if regime == "direct" else -1] * len(variants)
        if constrained is None
        else list(constrained)
    )
    if len(held) != len(variants) or (regime == "direct" and constrained is not None):
        raise UsageError(
            "constrained",
            expected=f"a layer for each of {len(variants)} sets, and another regime than direct",
            got=constrained,
        )
    held = held.to(model.device)
    mlp_input: list[Tensor] = []
    seen = mlp_input if inputs else None
    final: list[Tensor] = []
    parts = model.parts
    with torch.no_grad(), ExitStack() as hooks:
        for index, layer in enumerate(parts.layers):
            if regime != "free":
                hooks.callback(
                    layer.attention.register_forward_hook(
                        _frozen_attention(model, layer, base, index), with_kwargs=True
                    ).remove
                )
            if regime == "direct":
                hooks.callback(
                    layer.attention_norm.register_forward_hook(
                        _frozen_norm(base.attention_scale[index])
                    ).remove
                )
                hooks.callback(
                    layer.mlp_norm.register_forward_hook(_frozen_norm(base.mlp_scale[index])).remove
                )
            transcoder = transcoders.layer(index) if index in transcoders.layers else None
            edited = _edited_mlp(transcoder, by_layer.get(index), base, index, held >= index, seen)
            hooks.callback(layer.mlp.register_forward_hook(edited).remove)
        if regime == "direct":
            hooks.callback(parts.final_norm.register_forward_hook(_frozen_norm(base.final_scale)).remove)
        hooks.callback(
            parts.final_norm.register_forward_hook(lambda _, args, output: final.append(output)).remove
        )
        parts.trunk(base.tokens.expand(len(variants), -1), use_cache=False)
    last = final[0][:, -1:] if last_only else final[0]
    return Intervened(unembed(model, last), torch.stack(mlp_input, dim=1) if inputs else None)


@dataclass(frozen=True)
class _LayerEdits:
    """The edits of one layer; arrays (edit,)."""

    variant: np.ndarray  # int64
    position: np.ndarray  # int64
    feature: np.ndarray  # int64
    value: np.ndarray  # float32


def _by_layer(
    variants: Sequence[Sequence[Edit]] | Sequence[np.ndarray], transcoders: Transcoders, n_positions: int
) -> dict[int, _LayerEdits]:
    tables = [np.asarray(edits, dtype=np.float64).reshape(-1, 4) for edits in variants]
    layer, position, feature, value = np.concatenate(tables).T
    variant = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    outside = ~np.isin(layer, list(transcoders.layers)) | (position < 0) | (position >= n_positions)
    if outside.any():
        bounds = f"a layer below {transcoders.n_layers}, in use, and a position below {n_positions}"
        raise UsageError(
            "intervention", expected=bounds, got=tuple(np.concatenate(tables)[outside][0].tolist())
        )
    places = np.stack([variant, layer, position, feature], axis=1).astype(np.int64)
    order = np.lexsort(places.T[::-1])
    twice = (np.diff(places[order], axis=0) == 0).all(axis=1)
    if twice.any():
        which = int(places[order][:-1][twice][0, 0])
        raise UsageError(
            f"intervention {which}", expected="one value for a feature at a position", got="several"
        )
    result = {}
    for index in np.unique(places[:, 1]).tolist():
        here = order[places[order, 1] == index]
        result[index] = _LayerEdits(
            places[here, 0], places[here, 2], places[here, 3], value[here].astype(np.float32)
        )
    return result


def _edited_mlp(
    transcoder: LayerTranscoder | None,
    edits: _LayerEdits | None,
    base: Capture,
    index: int,
    held: Tensor,
    seen: list[Tensor] | None,
) -> Callable:
    """A hook that adds the edits of a layer to its MLP output, which for variants that are ``held`` is first
    put back as it was.
    """
    some = bool(held.any())

    def hook(module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = args[0]  # (variant, position, d_model)
        if seen is not None:
            seen.append(x)
        if some:
            before = base.mlp_output[index].expand_as(output)
            if transcoder is not None and (skip := transcoder.skip) is not None:
                before = before + ((x - base.mlp_input[index]).float() @ skip.T).to(output.dtype)
            output = torch.where(held[:, None, None], before, output)
        if edits is None or transcoder is None:
            return output
        variant, position, value = (
            torch.from_numpy(column).to(x.device) for column in (edits.variant, edits.position, edits.value)
        )
        read = x[variant, position]
        if some:
            read = torch.where(held[variant, None], base.mlp_input[index][position], read)
        change = value - transcoder.activation_of(read, edits.feature)
        places, row = np.unique(edits.variant * x.shape[1] + edits.position, return_inverse=True)
        features, column = np.unique(edits.feature, return_inverse=True)
        changes = torch.zeros(
            len(places), len(features), device=x.device
        )  # edits share few places and features: one product
        changes[torch.from_numpy(row), torch.from_numpy(column)] = change
        total = output.float().flatten(0, 1)
        total[torch.from_numpy(places).to(x.device)] += changes @ transcoder.decoder_rows(features)
        return total.view_as(output).to(output.dtype)

    return hook


def _frozen_attention(model: LanguageModel, layer: Layer, base: Capture, index: int) -> Callable:
    """A hook that gives the output attention would have had with the patterns of the unedited run."""
    if base.patterns is None:
        raise UsageError("unedited run", expected="a capture with attention patterns", got="one without")
    parts = model.parts
    pattern = (
        base.patterns[index].unflatten(0, (parts.n_kv_heads, -1)).to(model.dtype)
    )  # kv_head, group, query, key

    def hook(module: torch.nn.Module, args: tuple, kwargs: dict, output: tuple) -> tuple:
        x = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        values = layer.value(x).unflatten(-1, (parts.n_kv_heads, parts.head_dim))
        mixed = torch.einsum("hgqk,vkhd->vqhgd", pattern, values)
        return layer.output(mixed.flatten(2)), *output[1:]

    return hook


def _frozen_norm(scale: Tensor) -> Callable:
    """A hook that divides by the denominators of the unedited run: scale (position,)."""

    def hook(module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return cast(Tensor, module.weight) * (args[0].float() * scale[:, None]).to(output.dtype)

    return hook
