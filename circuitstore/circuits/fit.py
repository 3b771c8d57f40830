"""How well transcoders fit a model: layer by layer, at other hooks, and when they stand in for its MLPs.

    explained variance   1 − Σ‖output − prediction‖² / Σ‖output − mean output‖²
    normalised MSE       Σ‖output − prediction‖² / Σ‖output‖²
    L0                   mean number of active features
    dead                 share of features that are active in none of the prompts
    agreement            share of tokens after which the likeliest next token is the same
    divergence           KL(model ‖ replacement model) of the next token, in nats

All are over every position but the first, which has no features. In the replacement model, transcoders stand
in for the MLPs of all layers in use at once, and errors add up through the layers.

A wrong hook gives no error: vectors have the same width everywhere, and a graph comes out. But predictions
are then worse than the mean output would be. So the stated hook can be measured beside the others.

Sources: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Evaluating", for the replacement model and
normalised MSE; `circuitstore.transcoders.reconstruction` for the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from circuitstore.circuits.prediction import Prediction
from circuitstore.errors import UsageError
from circuitstore.models.capture import capture, check_tokens, unembed
from circuitstore.models.finite import require_finite
from circuitstore.models.hooks import READS, WRITES, Hooks
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders
from circuitstore.transcoders.quality import agreement, divergence
from circuitstore.transcoders.reconstruction import explained_variance, normalised_mse, variance_about_mean

FAR_BETTER = 0.2  # by how much of the variance, as a mean over layers, another hook must explain more

Prompts = Sequence[Sequence[int]]  # token ids of each prompt, the prepended token first


@dataclass(frozen=True)
class Fit:
    """How well the transcoder of one layer fits (see this module's opening)."""

    explained_variance: float
    normalised_mse: float
    l0: float
    dead: float


@torch.no_grad()
def layer_fits(
    model: LanguageModel, transcoders: Transcoders, prompts: Prompts, hooks: Hooks | None = None
) -> dict[int, Fit]:
    """The fit of each layer in use where the transcoders say that they read and write, or at ``hooks``.

    Raises UsageError and LimitError for tokens that the model cannot take.
    """
    transcoders.check_fits(model.n_layers, model.d_model)
    _check_prompts(prompts)
    at = transcoders.hooks if hooks is None else hooks
    runs = [capture(model, tokens, last_only=True, hooks=at) for tokens in prompts]
    inputs, outputs = ([getattr(run, name)[:, 1:] for run in runs] for name in ("mlp_input", "mlp_output"))
    prediction, fits = Prediction(transcoders), {}
    for layer in sorted(transcoders.layers):
        predicted = prediction.of(layer, [x[layer] for x in inputs])
        error = square = 0.0
        total = np.zeros(model.d_model)
        for y, guess in zip((some[layer].double() for some in outputs), predicted, strict=True):
            error += (y - guess.double()).square().sum().item()
            square += y.square().sum().item()
            total += y.sum(0).cpu().numpy()
        rows = prediction.active(layer)
        count = sum(one.n_positions for one in rows)
        features = np.concatenate([one.feature for one in rows])
        fits[layer] = Fit(
            explained_variance=float(explained_variance(error, variance_about_mean(square, total, count))),
            normalised_mse=float(normalised_mse(error, square)),
            l0=len(features) / count,
            dead=1 - len(np.unique(features)) / transcoders.layer(layer).n_features,
        )
    return fits


def hook_fit(
    model: LanguageModel, transcoders: Transcoders, prompts: Prompts
) -> dict[Hooks, dict[int, float]]:
    """Explained variance of each layer in use under every pair of hooks, the stated pair first.

    Pairs that are one and the same in this model count once. Raises what `layer_fits` raises.
    """
    distinct = [transcoders.hooks]
    writes = sorted(WRITES, key=lambda name: name != transcoders.hooks.writes)
    for hooks in (Hooks(*pair) for pair in product(READS, writes)):
        if not any(_same(model, hooks, other) for other in distinct):
            distinct.append(hooks)
    return {
        hooks: {
            layer: fit.explained_variance
            for layer, fit in layer_fits(model, transcoders, prompts, hooks).items()
        }
        for hooks in distinct
    }


def better_hooks(fits: Mapping[Hooks, Mapping[int, float]]) -> str:
    """What a user should know of the fits that `hook_fit` gives: a line, or nothing.

    There is a line when another pair explains `FAR_BETTER` more of the variance than the stated, first one.
    """
    means = {hooks: float(np.mean(list(layers.values()))) for hooks, layers in fits.items() if layers}
    if not means:
        return ""
    stated = next(iter(means))
    best = max(means, key=lambda hooks: means[hooks])
    if means[best] < means[stated] + FAR_BETTER:
        return ""
    return (
        f"transcoders explain {means[stated]:.3f} of the variance at {stated.reads} and {stated.writes}, "
        f"where they are said to read and write, and {means[best]:.3f} at {best.reads} and {best.writes}"
    )


@torch.no_grad()
def replacement(model: LanguageModel, transcoders: Transcoders, prompts: Prompts) -> tuple[Tensor, Tensor]:
    """Agreement (prediction,) bool and divergence (prediction,) float32 of the replacement model.

    There is a prediction after every token but the first. Position 0 keeps its MLP outputs. Raises
    NonFiniteError, and what `layer_fits` raises.
    """
    transcoders.check_fits(model.n_layers, model.d_model)
    _check_prompts(prompts)
    ids = [check_tokens(model, tokens) for tokens in prompts]
    # Nothing looks ahead, so what fills short prompts up on the right changes nothing that is read.
    batch = nn.utils.rnn.pad_sequence(ids, batch_first=True)
    lengths = [len(tokens) for tokens in ids]
    true = model.parts.trunk(batch, use_cache=False)[0]
    with ExitStack() as stack:
        prediction = Prediction(transcoders)
        for index in sorted(transcoders.layers):
            layer = model.parts.layers[index]
            read: list[Tensor] = []
            handle = transcoders.hooks.on_read(layer, model.parts.norm_epsilon, read.append)
            stack.callback(handle.remove)
            writer = transcoders.hooks.writer(layer)
            stack.callback(writer.register_forward_hook(_replacing(prediction, index, read, lengths)).remove)
        replaced = model.parts.trunk(batch, use_cache=False)[0]
    same, away = [], []
    for number, length in enumerate(lengths):
        logits = [model.parts.capped(unembed(model, x[number, 1:length])) for x in (true, replaced)]
        for whose, values in zip(("the model", "the replacement model"), logits, strict=True):
            require_finite(f"logits of {whose}", values, ("position", "token"), first=(1, 0))
        pair = [values.log_softmax(-1) for values in logits]
        same.append(agreement(*pair).cpu())
        away.append(divergence(*pair).cpu())
    return torch.cat(same), torch.cat(away)


def _replacing(
    prediction: Prediction, layer: int, read: list[Tensor], lengths: Sequence[int]
) -> Callable[..., Tensor]:
    """A hook that puts predictions in the place of an MLP's output (prompt, position, d_model)."""

    def replace(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        inputs = [x[1:length] for x, length in zip(read.pop(), lengths, strict=True)]
        out = output.clone()
        for row, length, predicted in zip(out, lengths, prediction.of(layer, inputs), strict=True):
            row[1:length] = predicted.to(out.dtype)
        return out

    return replace


def _check_prompts(prompts: Prompts) -> None:
    """Raise UsageError unless there is something to predict from."""
    if not prompts or min(map(len, prompts)) < 2:
        got = "none" if not prompts else f"{min(map(len, prompts))} tokens"
        raise UsageError("prompts", expected="a prepended token and at least one more in each", got=got)


def _same(model: LanguageModel, hooks: Hooks, other: Hooks) -> bool:
    """Whether two pairs of hooks are one place in this model: without a norm after the MLP, writes are."""
    followed = any(layer.post_mlp_norm is not None for layer in model.parts.layers)
    return hooks.reads == other.reads and (hooks.writes == other.writes or not followed)
