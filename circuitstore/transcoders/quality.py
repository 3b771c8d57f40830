"""How good transcoders are: how well each layer predicts, and whether the replacement model agrees.

    explained variance   how much of the MLP outputs is explained (`reconstruction`)
    normalised MSE       how large the error is beside the MLP outputs (`reconstruction`)
    L0                   mean number of active features
    dead                 share of features that are never active
    duplicates           share of features that repeat an earlier one (`distinct`)
    agreement            share of tokens after which the likeliest next token is the same
    divergence           KL(model ‖ replacement model) of the next token, in nats

In the replacement model, transcoders stand in for MLPs. Weights are those of one layer, named as in the files
(`formats`).

Sources: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Evaluating"; *Transcoders Find
Interpretable LLM Feature Circuits* (Dunefsky et al., 2024), §3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from circuitstore.models.families import take_apart
from circuitstore.models.finite import require_finite
from circuitstore.transcoders.activation import largest, thresholded
from circuitstore.transcoders.distinct import repeated, twins
from circuitstore.transcoders.layouts import THRESHOLD
from circuitstore.transcoders.reconstruction import explained_variance, normalised_mse
from circuitstore.transcoders.training import Weights

CHUNK = 8192  # samples multiplied at a time


def activations(weights: Weights, inputs: Tensor, k: int | None = None) -> Tensor:
    """Feature activations (…, feature) of normalised MLP inputs (…, d_model).

    With ``k`` only the k largest activations of each sample are kept.
    """
    pre = inputs @ weights["W_enc"].mT + weights["b_enc"]
    active = thresholded(pre, weights.get(THRESHOLD, 0.0))
    return active if k is None else largest(active, k)


def predict(weights: Weights, activation: Tensor, inputs: Tensor) -> Tensor:
    """Predicted MLP outputs (…, d_model) from feature activations (…, feature).

    The MLP inputs (…, d_model) are used when there is a skip connection.
    """
    predicted = activation @ weights["W_dec"] + weights["b_dec"]
    return predicted + inputs @ weights["W_skip"].mT if "W_skip" in weights else predicted


@torch.no_grad()
def reconstruction(
    weights: Weights, inputs: Tensor, outputs: Tensor, k: int | None = None
) -> dict[str, float]:
    """explained_variance, normalised_mse, l0, dead and duplicates of one layer (see this module's opening).

    ``inputs`` and ``outputs`` (sample, d_model) of any float dtype are those of the MLP.
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
        "duplicates": float(repeated(twins(weights["W_enc"], weights["W_dec"])).mean()),
    }


@contextmanager
def replaced(model: nn.Module, layers: Mapping[int, Weights], k: int | None = None) -> Iterator[None]:
    """Within the context, transcoders stand in for the MLPs of these layers, except at position 0.

    Errors add up through the layers. A layer's weights are asked for when the forward pass reaches it, so a
    lazy mapping need hold only one layer at a time.
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
def log_probabilities(model: Any, sequences: Iterable[Sequence[int]], whose: str = "the model") -> Tensor:
    """Log-probabilities of the next token (prediction, token) float32, in nats.

    There is a prediction after every token of a sequence but the first. Sequences of equal length are run
    together. Raises NonFiniteError for logits that are not finite, and says whose they are.
    """
    by_length: dict[int, list[Sequence[int]]] = {}
    for sequence in sequences:
        by_length.setdefault(len(sequence), []).append(sequence)
    every = [
        model(torch.tensor(some, device=model.device), use_cache=False).logits[:, 1:]
        for some in by_length.values()
    ]
    logits = torch.cat([some.flatten(0, 1) for some in every])
    require_finite(f"logits of {whose}", logits, ("prediction", "token"))
    return logits.float().log_softmax(1)


def divergence(of_model: Tensor, of_other: Tensor) -> Tensor:
    """KL(model ‖ other) in nats: log-probabilities (prediction, token) → (prediction,)."""
    return (of_model.exp() * (of_model - of_other)).sum(1)


def agreement(of_model: Tensor, of_other: Tensor) -> Tensor:
    """Whether the likeliest token is the same: (prediction,) bool; arguments (prediction, token)."""
    return of_model.argmax(1) == of_other.argmax(1)
