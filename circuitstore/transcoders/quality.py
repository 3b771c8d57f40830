"""How good transcoders are: of each layer, what it explains with how many features; of all, whether the model
still says the same.

    explained variance   1 − Σ‖output − prediction‖² / Σ‖output − mean output‖²
    normalised MSE       Σ‖output − prediction‖² / Σ‖output‖²
    L0                   mean number of active features
    dead                 share of features that are never active
    agreement            share of tokens after which the replacement model, whose MLPs are transcoders, has the same likeliest token

Weights are those of one layer, named as in the files (`transcoders`); all plain matrix products, on any
number of samples.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Evaluating"; *Transcoders Find Interpretable
LLM Feature Circuits* (Dunefsky et al., 2024), §3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from circuitstore.models.families import take_apart
from circuitstore.transcoders.activation import largest, thresholded
from circuitstore.transcoders.formats import THRESHOLD
from circuitstore.transcoders.reconstruction import explained_variance, normalised_mse
from circuitstore.transcoders.training import Weights

CHUNK = 8192  # samples multiplied at a time


def activations(weights: Weights, inputs: Tensor, k: int | None = None) -> Tensor:
    """Feature activations (…, feature) of normalised MLP inputs (…, d_model); of each sample only the `k`
    largest, when given.
    """
    pre = inputs @ weights["W_enc"].mT + weights["b_enc"]
    active = thresholded(pre, weights.get(THRESHOLD, 0.0))
    return active if k is None else largest(active, k)


def predict(weights: Weights, activation: Tensor, inputs: Tensor) -> Tensor:
    """MLP outputs (…, d_model) from feature activations (…, feature), and from the inputs when there is a
    skip connection.
    """
    predicted = activation @ weights["W_dec"] + weights["b_dec"]
    return predicted + inputs @ weights["W_skip"].mT if "W_skip" in weights else predicted


@torch.no_grad()
def reconstruction(
    weights: Weights, inputs: Tensor, outputs: Tensor, k: int | None = None
) -> dict[str, float]:
    """explained_variance, normalised_mse, l0 and dead of one layer, over pairs (sample, d_model) of any float
    dtype.
    """
    error = total = square = active = 0.0
    alive = torch.zeros(len(weights["b_enc"]), dtype=torch.bool, device=inputs.device)
    mean = outputs.mean(0, dtype=torch.float32)
    for some_x, some_y in zip(inputs.split(CHUNK), outputs.split(CHUNK), strict=True):
        x, y = some_x.float(), some_y.float()
        activation = activations(weights, x, k)
        error += (y - predict(weights, activation, x)).square().sum().item()
        total += (y - mean).square().sum().item()
        square += y.square().sum().item()
        active += (activation > 0).sum().item()
        alive |= (activation > 0).any(0)
    return {
        "explained_variance": float(explained_variance(error, total)),
        "normalised_mse": float(normalised_mse(error, square)),
        "l0": active / max(len(inputs), 1),
        "dead": 1 - alive.float().mean().item(),
    }


@contextmanager
def replaced(model: nn.Module, layers: Mapping[int, Weights], k: int | None = None) -> Iterator[None]:
    """Within, the output of these layers' MLPs is their transcoders', except at position 0; errors add up
    through the layers.

    A layer's weights are asked for when it is reached, so a lazy mapping holds one at a time.
    """

    def hook(layer: int) -> Any:
        def replace(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            x, weights = inputs[0].float(), layers[layer]
            predicted = predict(weights, activations(weights, x, k), x).to(output.dtype)
            return torch.cat([output[:, :1], predicted[:, 1:]], dim=1)

        return replace

    parts = take_apart(model)
    hooks = [parts.layers[layer].mlp.register_forward_hook(hook(layer)) for layer in layers]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


@torch.no_grad()
def log_probabilities(model: Any, sequences: Iterable[Sequence[int]]) -> Tensor:
    """(prediction, token) float32, nats: after every token but the first of each sequence; those of equal
    length are run together.
    """
    by_length: dict[int, list[Sequence[int]]] = {}
    for sequence in sequences:
        by_length.setdefault(len(sequence), []).append(sequence)
    every = [
        model(torch.tensor(some, device=model.device), use_cache=False).logits[:, 1:]
        for some in by_length.values()
    ]
    return torch.cat([logits.flatten(0, 1) for logits in every]).float().log_softmax(1)


def divergence(of_model: Tensor, of_other: Tensor) -> Tensor:
    """KL(model ‖ other) (prediction,) in nats, of log-probabilities (prediction, token)."""
    return (of_model.exp() * (of_model - of_other)).sum(1)


def agreement(of_model: Tensor, of_other: Tensor) -> Tensor:
    """Whether the likeliest token is the same (prediction,) bool, of log-probabilities (prediction, token)."""
    return of_model.argmax(1) == of_other.argmax(1)
