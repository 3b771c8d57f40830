"""Per-layer JumpReLU transcoders of the tiny model, all layers trained side by side.

A transcoder reads the normalised input of an MLP (the output of the post-attention norm) and predicts the MLP's output as
a sum of few decoder rows: activations = pre · [pre > threshold], pre = W_enc x + b_enc, output = activations W_dec + b_dec.
Position 0, which always holds the prepended token, is left out.

Thresholds are learned through the pseudo-derivatives of Rajamanoharan et al. (2024), *Jumping Ahead: Improving
Reconstruction Fidelity with JumpReLU Sparse Autoencoders*, §3–4; the loss is the unexplained variance plus a penalty on
the mean number of active features (L0) above a target that tightens during training. A feature that stays silent is
pulled towards its threshold. Decoder rows have norm 1, so that an activation is the size of what a feature writes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import Qwen3ForCausalLM

SHARES = {"addition": 0.12, "antonym": 0.38, "capital": 0.33, "plural": 0.17}  # more where single words matter
SENTENCES, FEATURES, BATCH, STEPS, RATE = 50_000, 1024, 1024, 1200, 2e-3
TARGETS = (80.0, 15.0)  # L0 above which it is penalised: at first and from 60 % of the steps on
PENALTY, PULL, WIDTH, THRESHOLD = 0.1, 1e-3, 0.3, 0.1
PATIENCE = 30  # batches without activation after which a feature counts as silent


@torch.no_grad()
def mlp_pairs(model: Qwen3ForCausalLM, sequences: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Inputs and outputs of every MLP at every position but the first: two (layer, sample, d_model), float32."""
    layers = model.model.layers
    inputs: list[list[Tensor]] = [[] for _ in layers]
    outputs: list[list[Tensor]] = [[] for _ in layers]
    hooks = []
    for i, layer in enumerate(layers):
        hooks.append(layer.post_attention_layernorm.register_forward_hook(_keep(inputs[i])))
        hooks.append(layer.mlp.register_forward_hook(_keep(outputs[i])))
    by_length: dict[int, list[list[int]]] = {}
    for sequence in sequences:
        by_length.setdefault(len(sequence), []).append(sequence)
    for some in by_length.values():
        for start in range(0, len(some), 256):
            model.model(torch.tensor(some[start : start + 256]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return torch.stack([torch.cat(rows) for rows in inputs]), torch.stack([torch.cat(rows) for rows in outputs])


def _keep(into: list[Tensor]) -> Any:
    return lambda module, inputs, output: into.append(output[:, 1:].flatten(0, 1).clone())


class JumpReLU(torch.autograd.Function):
    """Activations and mean L0 of pre-activations (layer, sample, feature) and thresholds (layer, 1, feature).

    Backward: the derivative of a step at the threshold is taken as 1 / WIDTH within WIDTH / 2 of it, else 0.
    """

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
        active = pre > threshold
        ctx.save_for_backward(pre, threshold, active)
        return pre * active, active.sum((1, 2)) / pre.shape[1]

    @staticmethod
    def backward(ctx: Any, of_activation: Tensor, of_l0: Tensor) -> tuple[Tensor, Tensor]:
        pre, threshold, active = ctx.saved_tensors
        step = ((pre - threshold).abs() < WIDTH / 2) / WIDTH
        of_step = of_l0[:, None, None] / pre.shape[1]
        of_threshold = -(step * (of_activation * threshold + of_step)).sum(1, keepdim=True)
        return of_activation * active + step * of_step, of_threshold


@torch.no_grad()
def _initial(x: Tensor, y: Tensor) -> dict[str, nn.Parameter]:
    """Features that look for the input of some sample and write the output of that sample, sparse from the start."""
    layers, samples, width = x.shape
    some = torch.randint(samples, (FEATURES,))
    encoder, decoder = normalize(x[:, some], dim=2), normalize(y[:, some], dim=2)
    some = torch.randint(samples, (4 * FEATURES,))
    x, y = x[:, some], y[:, some]
    pre = x @ encoder.mT
    bias = -pre.quantile(1 - TARGETS[0] / FEATURES, dim=1, keepdim=True)
    written = (pre + bias).relu() @ decoder
    size = (written * y).sum((1, 2), keepdim=True) / written.square().sum((1, 2), keepdim=True)
    weights = {
        "W_enc": encoder * size,
        "b_enc": bias * size,
        "W_dec": decoder,
        "b_dec": torch.zeros(layers, 1, width),
        "log_threshold": torch.full((layers, 1, FEATURES), math.log(THRESHOLD)),
    }
    return {name: nn.Parameter(weight) for name, weight in weights.items()}


def train(inputs: Tensor, outputs: Tensor, seed: int) -> dict[str, Tensor]:
    """Train the transcoders of all layers on pairs (layer, sample, d_model); weights have a leading layer axis."""
    torch.manual_seed(seed)
    layers, samples, _ = inputs.shape
    mean_in, mean_out = inputs.mean(1, keepdim=True), outputs.mean(1, keepdim=True)
    scale_in = (inputs - mean_in).square().mean((1, 2), keepdim=True).sqrt()
    scale_out = (outputs - mean_out).square().mean((1, 2), keepdim=True).sqrt()
    weights = _initial((inputs - mean_in) / scale_in, (outputs - mean_out) / scale_out)
    optimizer = torch.optim.Adam(weights.values(), lr=RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 50, (STEPS - step) / (0.3 * STEPS)))
    silent = torch.zeros(layers, FEATURES)
    for step in range(1, STEPS + 1):
        rows = torch.randint(samples, (BATCH,))
        x = (inputs[:, rows] - mean_in) / scale_in
        y = (outputs[:, rows] - mean_out) / scale_out
        threshold = weights["log_threshold"].exp()
        pre = torch.baddbmm(weights["b_enc"], x, weights["W_enc"].mT)
        activation, l0 = JumpReLU.apply(pre, threshold)
        predicted = torch.baddbmm(weights["b_dec"], activation, weights["W_dec"])
        unexplained = (predicted - y).square().mean((1, 2))
        progress = min(1.0, step / (0.6 * STEPS))
        target = TARGETS[0] * (TARGETS[1] / TARGETS[0]) ** progress
        loss = unexplained.sum() + PENALTY * (l0 / target - 1).relu().square().sum()
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
        if step % (STEPS // 10) == 0:
            shown = "  ".join(f"{1 - u:.3f}@{n:.1f}" for u, n in zip(unexplained.tolist(), l0.tolist(), strict=True))
            print(f"  step {step:5d}  explained@L0 {shown}  silent {len(dead[0])}", flush=True)
    trained = {name: weight.detach() for name, weight in weights.items()}
    encoder = trained["W_enc"] * scale_out / scale_in
    return {
        "W_enc": encoder,
        "b_enc": (trained["b_enc"] * scale_out - mean_in @ encoder.mT)[:, 0],
        "W_dec": trained["W_dec"],
        "b_dec": (trained["b_dec"] * scale_out + mean_out)[:, 0],
        "activation_function.threshold": (trained["log_threshold"].exp() * scale_out)[:, 0],
    }
