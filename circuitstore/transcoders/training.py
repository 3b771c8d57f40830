"""Training per-layer transcoders, several layers side by side or one at a time.

A transcoder reads the normalised input of an MLP, the output of the norm before it, and predicts the MLP's
output as a sum of few decoder rows: activation = act(W_enc x + b_enc), output = activation W_dec + b_dec [+
W_skip x]. Position 0, which holds the prepended token, is left out. There are two kinds:

    jumprelu   The thresholds are learned through pseudo-derivatives. The loss is the unexplained variance
               plus a penalty on the mean number of active features (L0) above a target that tightens.
    topk       The k largest pre-activations of each sample are kept, where they are positive.

A feature that stays silent is pulled towards its threshold, or towards 0. Features that stay dead all the
same, and features that repeat another, start anew (`starting`). Decoder rows have norm 1, so that an
activation is the size of what a feature writes.

Sources: JumpReLU: Rajamanoharan et al. (2024), *Jumping Ahead: Improving Reconstruction Fidelity with
JumpReLU Sparse Autoencoders*, §3–4; top-k: Gao et al. (2024), *Scaling and evaluating sparse autoencoders*,
§2.3; the skip connection: Paulo et al. (2025), *Transcoders Beat Sparse Autoencoders for Interpretability*,
§3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from circuitstore.models.families import take_apart
from circuitstore.transcoders.activation import largest, thresholded
from circuitstore.transcoders.layouts import THRESHOLD
from circuitstore.transcoders.starting import PER_FEATURE, generator_of, initial, resample

PENALTY, PULL, WIDTH = 0.1, 1e-3, 0.3
PATIENCE = 30  # batches without activation after which a feature counts as silent
DEAD = 3 * PATIENCE  # … and after which it counts as dead
RESAMPLE_EVERY, RESAMPLE_UNTIL = 0.05, 0.75  # shares of the steps
TIGHTENED = 0.6  # share of the steps after which the target of L0 is the final one
RUN_AT_ONCE = 256  # sequences

Weights = dict[str, Tensor]
# Told of a step: its number, unexplained variance (layer,), L0 (layer,), and how many features are silent.
Report = Callable[[int, Tensor, Tensor, int], None]


@dataclass(frozen=True)
class Recipe:
    """How transcoders are trained.

    ``kind`` is "jumprelu" or "topk". ``l0_start`` and ``l0`` are the L0 above which there is a penalty, at
    first and in the end.
    """

    features: int
    steps: int
    batch: int
    rate: float
    kind: str = "jumprelu"
    l0_start: float = 80.0
    l0: float = 15.0
    k: int = 32
    skip: bool = False


@torch.no_grad()
def mlp_pairs(
    model: Any, sequences: Sequence[Sequence[int]], *, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Normalised inputs and outputs of every MLP of a transformers model, each (layer, sample, d_model).

    There is a sample at every position but the first of each sequence of tokens. Sequences of equal length
    are run together. Samples are ordered by length, in the order in which the lengths first occur.
    """
    layers = take_apart(model).layers
    inputs: list[list[Tensor]] = [[] for _ in layers]
    outputs: list[list[Tensor]] = [[] for _ in layers]
    hooks = []
    for i, layer in enumerate(layers):
        hooks.append(layer.mlp_norm.register_forward_hook(_keep(inputs[i], dtype)))
        hooks.append(layer.mlp.register_forward_hook(_keep(outputs[i], dtype)))
    by_length: dict[int, list[Sequence[int]]] = {}
    for sequence in sequences:
        by_length.setdefault(len(sequence), []).append(sequence)
    try:
        for some in by_length.values():
            for start in range(0, len(some), RUN_AT_ONCE):
                model.base_model(
                    torch.tensor(some[start : start + RUN_AT_ONCE], device=model.device), use_cache=False
                )
    finally:
        for hook in hooks:
            hook.remove()
    samples_in, samples_out = ([torch.cat(rows) for rows in every] for every in (inputs, outputs))
    return torch.stack(samples_in), torch.stack(samples_out)


def _keep(into: list[Tensor], dtype: torch.dtype) -> Any:
    return lambda module, inputs, output: into.append(output[:, 1:].flatten(0, 1).clone().to(dtype))


def train(
    inputs: Tensor,
    outputs: Tensor,
    recipe: Recipe,
    seed: int,
    report: Report | None = None,
    *,
    first_layer: int = 0,
) -> Weights:
    """Train on MLP inputs and outputs (layer, sample, d_model) of any float dtype.

    Returns float32 weights with a leading layer axis, named as in the files. Layers share nothing: each draws
    its own random numbers, by ``seed`` and its number, counted from ``first_layer``. So training a layer
    alone gives the same. ``report`` is told of every tenth of the steps.
    """
    draws = [generator_of(seed, first_layer + i) for i in range(len(inputs))]
    samples, each = inputs.shape[1], torch.arange(len(inputs), device=inputs.device)[:, None]
    mean_in, mean_out = (x.mean(1, keepdim=True, dtype=torch.float32) for x in (inputs, outputs))
    scale_in, scale_out = (
        (x - mean).square().mean((1, 2), keepdim=True).sqrt()
        for x, mean in ((inputs, mean_in), (outputs, mean_out))
    )

    def scaled(rows: Tensor) -> tuple[Tensor, Tensor]:
        chosen = each, rows.to(inputs.device)
        return (inputs[chosen] - mean_in) / scale_in, (outputs[chosen] - mean_out) / scale_out

    def sampled(count: int) -> tuple[Tensor, Tensor]:
        return scaled(torch.stack([torch.randint(samples, (count,), generator=draw) for draw in draws]))

    def different(count: int) -> tuple[Tensor, Tensor]:
        return scaled(torch.stack([torch.randperm(samples, generator=draw)[:count] for draw in draws]))

    candidates = different(PER_FEATURE * recipe.features)
    weights = initial(candidates, sampled(4 * recipe.features), recipe, draws)
    optimizer = torch.optim.Adam(weights.values(), lr=recipe.rate, betas=(0.9, 0.99))
    steps = recipe.steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, step / 50, (steps - step) / (0.3 * steps))
    )
    silent = torch.zeros(len(inputs), recipe.features, device=inputs.device)
    every = max(round(RESAMPLE_EVERY * steps), 1)
    for step in range(1, steps + 1):
        x, y = sampled(recipe.batch)
        pre = torch.baddbmm(weights["b_enc"], x, weights["W_enc"].mT)
        activation, l0, threshold = _activate(pre, weights, recipe)
        predicted = torch.baddbmm(weights["b_dec"], activation, weights["W_dec"])
        if recipe.skip:
            predicted = predicted + x @ weights["W_skip"].mT
        unexplained = (predicted - y).square().mean((1, 2))
        loss = unexplained.sum()
        if recipe.kind == "jumprelu":
            loss = loss + PENALTY * (l0 / _target(recipe, step) - 1).relu().square().sum()
        silent = torch.where((activation > 0).any(1), 0.0, silent + 1)
        dead = (silent > PATIENCE).nonzero(as_tuple=True)
        if len(dead[0]):
            loss = loss + PULL * (threshold[dead[0], 0, dead[1]] - pre.amax(1)[dead]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            weights["W_dec"].copy_(normalize(weights["W_dec"], dim=2))
        if step % every == 0 and step <= RESAMPLE_UNTIL * steps:
            rest = (y - predicted).detach()
            silent[resample(weights, optimizer, silent > DEAD, (x, y), rest, recipe, draws)] = 0
        if report and step % max(steps // 10, 1) == 0:
            report(step, unexplained.detach(), l0.detach(), len(dead[0]))
    return _unscaled(
        {name: weight.detach() for name, weight in weights.items()},
        (mean_in, scale_in),
        (mean_out, scale_out),
    )


class JumpReLU(torch.autograd.Function):
    """Activations and mean L0 of pre-activations (layer, sample, feature) and thresholds (layer, 1, feature).

    In the backward pass, the derivative of the step at the threshold is 1 / WIDTH within WIDTH / 2 of it, and
    0 elsewhere.
    """

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
        active = pre > threshold
        ctx.save_for_backward(pre, threshold, active)
        return thresholded(pre, threshold), active.sum((1, 2)) / pre.shape[1]

    @staticmethod
    def backward(ctx: Any, of_activation: Tensor, of_l0: Tensor) -> tuple[Tensor, Tensor]:
        pre, threshold, active = ctx.saved_tensors
        step = ((pre - threshold).abs() < WIDTH / 2) / WIDTH
        of_step = of_l0[:, None, None] / pre.shape[1]
        of_threshold = -(step * (of_activation * threshold + of_step)).sum(1, keepdim=True)
        return of_activation * active + step * of_step, of_threshold


jump_relu: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = JumpReLU.apply


def _activate(pre: Tensor, weights: dict[str, nn.Parameter], recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """Activations (layer, sample, feature), mean L0 (layer,) and thresholds (layer, 1, feature)."""
    if recipe.kind == "jumprelu":
        threshold = weights["log_threshold"].exp()
        activation, l0 = jump_relu(pre, threshold)
        return activation, l0, threshold
    activation = largest(pre, recipe.k).relu()
    return activation, (activation > 0).sum((1, 2)) / pre.shape[1], torch.zeros_like(weights["b_enc"])


def _target(recipe: Recipe, step: int) -> float:
    """The L0 above which there is a penalty at this step."""
    progress = min(1.0, step / (TIGHTENED * recipe.steps))
    start = min(recipe.l0_start, float(recipe.features))
    return float(start * (recipe.l0 / start) ** progress)


def _unscaled(trained: Weights, of_input: tuple[Tensor, Tensor], of_output: tuple[Tensor, Tensor]) -> Weights:
    """Weights for the model's inputs and outputs, from weights for such of mean 0 and size 1.

    ``of_input`` and ``of_output`` are the means and sizes that were divided out.
    """
    (mean_in, scale_in), (mean_out, scale_out) = of_input, of_output
    encoder = trained["W_enc"] * scale_out / scale_in
    weights = {
        "W_enc": encoder,
        "b_enc": (trained["b_enc"] * scale_out - mean_in @ encoder.mT)[:, 0],
        "W_dec": trained["W_dec"],
        "b_dec": (trained["b_dec"] * scale_out + mean_out)[:, 0],
    }
    if "log_threshold" in trained:
        weights[THRESHOLD] = (trained["log_threshold"].exp() * scale_out)[:, 0]
    if "W_skip" in trained:
        weights["W_skip"] = trained["W_skip"] * scale_out / scale_in
        weights["b_dec"] = weights["b_dec"] - (mean_in @ weights["W_skip"].mT)[:, 0]
    return weights
