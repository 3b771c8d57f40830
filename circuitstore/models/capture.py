"""One forward pass of the real model, with everything kept that the analyses read.

The numbers are those of transformers' own forward pass, because hooks only read and change nothing. Only the
product with the unembedding is computed here. When transformers computes the logits of some positions, torch
copies a half-precision unembedding once for every prompt of a batch. For Qwen3-4B that is 780 MB a prompt,
and most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitstore.errors import LimitError, UsageError
from circuitstore.models.bits import raised
from circuitstore.models.finite import all_finite, require_finite
from circuitstore.models.hooks import Hooks, scale
from circuitstore.models.load import LanguageModel

NATIVE = Hooks()


@dataclass(frozen=True)
class Capture:
    """What the model computed for one prompt. Activations have the model's dtype, the rest is float32."""

    tokens: Tensor  # (position,) int64
    residual: Tensor  # (layer, position, d_model): the input of each layer; [0] is the token embeddings
    final_residual: Tensor  # (position, d_model): the output of the last layer
    mlp_input: Tensor  # (layer, position, d_model): what transcoders read, by ``hooks``
    mlp_output: Tensor  # (layer, position, d_model): what transcoders predict, by ``hooks``
    logits: Tensor  # (position, token) float32, nats; the last position only when asked for
    uncapped: Tensor  # the same before their cap: the same tensor in a model without one
    attention_scale: Tensor  # (layer, position) float32: 1 / denominator of the norm before attention
    mlp_scale: Tensor  # (layer, position) float32: 1 / denominator of the norm before the MLP
    final_scale: Tensor  # (position,) float32: 1 / denominator of the final norm
    # (layer, position) float32: 1 / denominator of the norms after attention and after the MLP; None in a
    # model without them
    post_attention_scale: Tensor | None
    post_mlp_scale: Tensor | None
    # (layer, head, query position, key position) float32, rows sum to 1; when asked for
    patterns: Tensor | None
    hooks: Hooks


@torch.no_grad()
def capture(
    model: LanguageModel,
    tokens: Sequence[int],
    *,
    patterns: bool = False,
    last_only: bool = False,
    hooks: Hooks = NATIVE,
) -> Capture:
    """Run ``tokens`` (position,) through the model once.

    ``hooks`` say what is kept of each MLP. With ``patterns`` attention patterns are kept. With ``last_only``
    the logits of the last position alone are computed. Logits are float32 whatever the model's dtype, because
    half precision would round them to steps of 1/16.

    Raises UsageError for tokens that the model does not have, LimitError for more tokens than it has
    positions, and NonFiniteError for a NaN or an infinity, by layer and position.
    """
    ids = check_tokens(model, tokens)
    residual: list[Tensor] = []
    middle: list[Tensor] = []
    mlp_input: list[Tensor] = []
    mlp_output: list[Tensor] = []
    attention: list[Tensor] = []
    final: list[Tensor] = []  # input and output of the final norm
    epsilon = model.parts.norm_epsilon
    after: dict[str, list[Tensor]] = {"post_attention_norm": [], "post_mlp_norm": []}
    with ExitStack() as stack:
        for layer in model.parts.layers:
            handles = [
                layer.attention_norm.register_forward_pre_hook(lambda _, args: residual.append(args[0][0])),
                layer.mlp_norm.register_forward_pre_hook(lambda _, args: middle.append(args[0][0])),
                hooks.on_read(layer, epsilon, lambda read: mlp_input.append(read[0])),
                hooks.writer(layer).register_forward_hook(
                    lambda _, args, output: mlp_output.append(output[0])
                ),
            ]
            for name, kept in after.items():
                if (norm := getattr(layer, name)) is not None:
                    handles.append(norm.register_forward_pre_hook(_keeping(kept)))
            if patterns:
                handles.append(
                    layer.attention.register_forward_hook(
                        lambda _, args, output: attention.append(output[1][0])
                    )
                )
            for handle in handles:
                stack.callback(handle.remove)
        handle = model.parts.final_norm.register_forward_hook(
            lambda _, args, output: final.extend([args[0][0], output[0]])
        )
        stack.callback(handle.remove)
        model.parts.trunk(ids[None], use_cache=False)
    final_residual, final_output = final
    residuals = torch.stack(residual)
    uncapped = unembed(model, final_output[-1:] if last_only else final_output)
    scales = [scale(torch.stack(kept), epsilon) if kept else None for kept in after.values()]
    run = Capture(
        tokens=ids,
        residual=residuals,
        final_residual=final_residual,
        mlp_input=torch.stack(mlp_input),
        mlp_output=torch.stack(mlp_output),
        logits=model.parts.capped(uncapped),
        uncapped=uncapped,
        attention_scale=scale(residuals, epsilon),
        mlp_scale=scale(torch.stack(middle), epsilon),
        final_scale=scale(final_residual, epsilon),
        post_attention_scale=scales[0],
        post_mlp_scale=scales[1],
        patterns=torch.stack(attention).float() if patterns else None,
        hooks=hooks,
    )
    _check_finite(run)
    return run


def _keeping(kept: list[Tensor]) -> Callable[..., None]:
    return lambda _, args: kept.append(args[0][0])


def _check_finite(run: Capture) -> None:
    """Raise NonFiniteError for the first number in the order of layers that is not finite."""
    streams = {"residual stream": run.residual, "MLP input": run.mlp_input, "MLP output": run.mlp_output}
    if all_finite(*streams.values(), run.final_residual, run.logits):
        return
    for layer in range(len(run.residual)):
        for what, values in streams.items():
            require_finite(what, values[layer], ("position", "dimension"), layer=layer)
    require_finite("final residual stream", run.final_residual, ("position", "dimension"))
    first = (len(run.tokens) - len(run.logits), 0)
    require_finite("logits", run.logits, ("position", "token"), first=first)


def check_tokens(model: LanguageModel, tokens: Sequence[int]) -> Tensor:
    """``tokens`` as an int64 tensor (position,) on the model's device.

    Raises UsageError for no tokens and for ids that the model does not have, and LimitError for too many.
    """
    ids = torch.as_tensor(list(tokens), dtype=torch.int64)
    if not len(ids):
        raise UsageError("tokens", expected="at least one", got="none")
    if ids.min() < 0 or ids.max() >= model.vocab_size:
        wrong = next(int(i) for i in ids if not 0 <= i < model.vocab_size)
        raise UsageError("tokens", expected=f"ids from 0 to {model.vocab_size - 1}", got=wrong)
    if len(ids) > model.max_positions:
        raise LimitError(
            "prompt length",
            expected=f"at most {model.max_positions} tokens",
            got=len(ids),
            remedy="shorten it",
        )
    return ids.to(model.device)


def unembed(model: LanguageModel, x: Tensor) -> Tensor:
    """Logits before their cap, (…, token) float32, of the final norm's output (…, d_model)."""
    unembedding = model.parts.unembedding
    if unembedding.dtype == torch.float32:
        return torch.nn.functional.linear(x, unembedding)
    # Filled in place, because pieces that are kept apart fragment memory.
    logits = torch.empty(*x.shape[:-1], len(unembedding), device=x.device)
    for start, rows in raised(unembedding, x.device):
        logits[..., start : start + len(rows)] = x.float() @ rows.T
    return logits
