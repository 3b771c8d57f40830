"""Interventions on features of the real model: what happens when a feature's activation is another one.

An edit adds (new − old activation) · W_dec to the MLP's output. The output is never overwritten by a
reconstruction. So what the transcoder fails to explain stays in place, and editing a feature to its own
activation changes nothing.

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
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture, capture, unembed
from circuitstore.models.families import Layer
from circuitstore.models.finite import require_finite
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.feature_rows import FeatureRows
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
    by_layer = _by_layer(variants, transcoders, len(tokens))
    base = capture(model, tokens, patterns=regime != "free") if base is None else base
    held_up_to = _held_up_to(model, regime, constrained, len(variants))
    mlp_input: list[Tensor] = []
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
            edited = _edited_mlp(transcoder, by_layer.get(index), base, index, held_up_to >= index)
            if inputs:
                hooks.callback(
                    layer.mlp.register_forward_pre_hook(lambda _, args: mlp_input.append(args[0])).remove
                )
            hooks.callback(layer.mlp.register_forward_hook(edited).remove)
        if regime == "direct":
            hooks.callback(parts.final_norm.register_forward_hook(_frozen_norm(base.final_scale)).remove)
        hooks.callback(
            parts.final_norm.register_forward_hook(lambda _, args, output: final.append(output)).remove
        )
        parts.trunk(base.tokens.expand(len(variants), -1), use_cache=False)
    last = final[0][:, -1:] if last_only else final[0]
    logits = unembed(model, last)
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


@dataclass(frozen=True)
class _Spot:
    """The edits of one layer at one position, as a table of variants and features."""

    position: int
    variants: Tensor  # (variant,) int64
    columns: Tensor  # (feature,) int64: places among the features of the layer
    value: Tensor  # (variant, feature) float32: the new activation
    edited: Tensor  # (variant, feature) bool: whether this variant edits this feature


@dataclass(frozen=True)
class _LayerEdits:
    """The edits of one layer, position by position."""

    features: NDArray[np.int64]  # (feature,) ids, each once
    spots: list[_Spot]

    @classmethod
    def of(cls, edits: NDArray[np.int64], values: NDArray[np.float64]) -> _LayerEdits:
        """From columns variant, position and feature, (edit, 3), and new activations (edit,)."""
        features, place = np.unique(edits[:, 2], return_inverse=True)
        spots = []
        for position in np.unique(edits[:, 1]).tolist():
            here = edits[:, 1] == position
            variants, row = np.unique(edits[here, 0], return_inverse=True)
            columns, column = np.unique(place[here], return_inverse=True)
            value = torch.zeros(len(variants), len(columns))
            edited = torch.zeros(value.shape, dtype=torch.bool)
            value[row, column] = torch.from_numpy(values[here].astype(np.float32))
            edited[row, column] = True
            table = (torch.from_numpy(variants), torch.from_numpy(columns), value, edited)
            spots.append(_Spot(position, *table))
        return cls(features, spots)


def _by_layer(
    variants: Sequence[Sequence[Edit]] | Sequence[NDArray[np.float64]],
    transcoders: Transcoders,
    n_positions: int,
) -> dict[int, _LayerEdits]:
    """The edits by layer. Raises UsageError outside the model, and for two values of one feature."""
    tables = [np.asarray(edits, dtype=np.float64).reshape(-1, 4) for edits in variants]
    layer, position, feature, value = np.concatenate(tables).T
    variant = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    outside = ~np.isin(layer, list(transcoders.layers)) | (position < 0) | (position >= n_positions)
    if outside.any():
        bounds = f"a layer below {transcoders.n_layers}, in use, and a position below {n_positions}"
        edit = tuple(np.concatenate(tables)[outside][0].tolist())
        raise UsageError("intervention", expected=bounds, got=edit)
    edited = np.stack([variant, layer, position, feature], axis=1).astype(np.int64)
    order = np.lexsort(edited.T[::-1])
    twice = (np.diff(edited[order], axis=0) == 0).all(axis=1)
    if twice.any():
        which = int(edited[order][:-1][twice][0, 0])
        raise UsageError(
            f"intervention {which}", expected="one value for a feature at a position", got="several"
        )
    result = {}
    for index in np.unique(edited[:, 1]).tolist():
        here = order[edited[order, 1] == index]
        result[index] = _LayerEdits.of(edited[here][:, [0, 2, 3]], value[here])
    return result


def _edited_mlp(
    transcoder: LayerTranscoder | None,
    edits: _LayerEdits | None,
    base: Capture,
    index: int,
    held: Tensor,
) -> Callable[..., Tensor]:
    """A hook that adds the edits of a layer to its MLP output.

    For variants that are ``held`` (variant,) bool, the output is first put back as it was.
    """
    any_held = bool(held.any())

    def hook(module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = args[0]  # (variant, position, d_model)
        if any_held:
            before = base.mlp_output[index].expand_as(output)
            if transcoder is not None and (skip := transcoder.skip) is not None:
                before = before + ((x - base.mlp_input[index]).float() @ skip.T).to(output.dtype)
            output = torch.where(held[:, None, None], before, output)
        if edits is None or transcoder is None:
            return output
        features, total = FeatureRows(transcoder, edits.features), output.float()
        for spot in edits.spots:
            read = x[spot.variants, spot.position]
            if any_held:
                before = base.mlp_input[index][spot.position]
                read = torch.where(held[spot.variants, None], before, read)
            change = spot.value.to(x.device) - features.activations(read, spot.columns)
            change = torch.where(spot.edited.to(x.device), change, 0)
            total[spot.variants, spot.position] += change @ features.decoders[spot.columns]
        return total.to(output.dtype)

    return hook


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


def _frozen_norm(scale: Tensor) -> Callable[..., Tensor]:
    """A hook that divides by the denominators of the unedited run: scale (position,)."""

    def hook(module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return cast(Tensor, module.weight) * (args[0].float() * scale[:, None]).to(output.dtype)

    return hook
