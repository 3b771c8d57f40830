"""What an attribution graph explains, logits or one other number, and what each reads of the residual stream.

A logit node is a token's logit less the mean over the vocabulary, or less the logit of another token. The
subtraction leaves what tells the tokens apart: adding one number to all logits changes no probability. Where
a model caps its logits (Gemma 2), nodes are those before the cap, which are linear in what the final norm
gives. Probabilities are those after it.

One other number can stand in the place of logits (`Aim`): the pre-activation of a feature, whether it is
active or not, the product of a direction with the final norm's output at the last position, or a weighted sum
of the logits of tokens, each less the mean. All are linear in the frozen network. So the edges into it and
the bias sum to its value, as for a logit.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Attribution".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders

MEAN = -1  # in place of a token id: the mean over the vocabulary
NO_TOKEN = -1  # the id of what is no token
LARGEST = 1e30  # of a number in a direction: the square of what it reads must be a float32 sum


@dataclass(frozen=True)
class Aim:
    """One number to explain that is no logit; one of the three is given."""

    feature: tuple[int, int, int] | None = None  # layer, position, feature
    direction: Sequence[float] | NDArray[np.floating] | None = None  # (d_model,)
    weights: Mapping[int, float] | None = None  # token id → weight of its logit


@dataclass(frozen=True)
class Targets:
    """The logit nodes of a graph, or the one node that an `Aim` is."""

    ids: NDArray[np.int64]  # (logit,) token ids; `NO_TOKEN` for an aim
    against: NDArray[np.int64]  # (logit,) the token whose logit is subtracted, or `MEAN`
    probabilities: NDArray[np.float32]  # (logit,) probability of the token; 1 for a difference
    weights: NDArray[np.float32]  # (logit,) the same, but of tokens that were asked for the share of each
    directions: Tensor  # (logit, d_model) float32: what each reads; of a feature its encoder row
    feature: tuple[int, int, int] | None = None  # the feature that is explained, its position from 0 on
    bias: float = 0.0  # of this feature
    value: float | None = None  # of an aim

    def values(self, run: Capture) -> NDArray[np.float64]:
        """The logit of each target less what is subtracted: (logit,), nats, from the model's own logits.

        Of an aim it is its value.
        """
        if self.value is not None:
            return np.array([self.value])
        last = run.uncapped[-1].cpu().numpy()
        values: NDArray[np.float64] = last[self.ids] - np.where(
            self.against < 0, last.mean(dtype=np.float64), last[self.against]
        )
        return values


def choose_targets(
    model: LanguageModel,
    run: Capture,
    targets: Sequence[int] | None,
    difference: tuple[int, int] | None,
    max_logits: int,
    logit_prob: float,
) -> Targets:
    """The logits of ``targets``, of one ``difference`` (correct, incorrect), or of the most probable tokens.

    The most probable tokens are taken until they hold ``logit_prob`` together, or number ``max_logits``. Each
    weighs its probability. Tokens that were asked for weigh their share of what they hold together: however
    improbable a token is, what explains it can be asked.
    """
    if difference is not None:
        correct, incorrect = (np.array([token]) for token in difference)
        one = np.ones(1, dtype=np.float32)
        return Targets(correct, incorrect, one, one, direction(model, difference)[None])
    probabilities = torch.softmax(run.logits[-1], dim=0)
    if targets is not None:
        ids = torch.as_tensor(list(targets), device=probabilities.device)
    else:
        top, ids = torch.topk(probabilities, min(max_logits, model.vocab_size))
        ids = ids[: int(torch.searchsorted(top.cumsum(0), logit_prob)) + 1]
    directions = model.parts.unembedding[ids].float() - model.parts.mean_unembedding
    against = np.full(len(ids), MEAN)
    chance = probabilities[ids]
    weights = chance if targets is None else torch.softmax(run.logits[-1][ids].double(), dim=0).float()
    return Targets(ids.cpu().numpy(), against, chance.cpu().numpy(), weights.cpu().numpy(), directions)


def aimed(model: LanguageModel, transcoders: Transcoders, run: Capture, aim: Aim) -> Targets:
    """The one node that an aim is. Raises UsageError for what the model or its transcoders do not have."""
    one, none = np.ones(1, dtype=np.float32), np.array([NO_TOKEN])
    if sum(each is not None for each in (aim.feature, aim.direction, aim.weights)) != 1:
        raise UsageError("target", expected="one of feature, direction and weights", got="none, or several")
    if aim.feature is not None:
        layer, position, feature = _feature(transcoders, run, aim.feature)
        weights = transcoders.layer(layer)
        encoder, bias = weights.encoder_rows([feature]), float(weights.b_enc[feature])
        value = float(run.mlp_input[layer, position].double() @ encoder[0].double()) + bias
        return Targets(none, none, one, one, encoder, (layer, position, feature), bias, value)
    read = _checked_direction(model, aim.direction) if aim.direction is not None else _weighted(model, aim)
    gain = model.parts.gain(model.parts.final_norm)
    normed = run.final_residual[-1].float() * run.final_scale[-1] * gain
    return Targets(none, none, one, one, read[None], value=float(normed.double() @ read.double()))


def _feature(transcoders: Transcoders, run: Capture, feature: tuple[int, int, int]) -> tuple[int, int, int]:
    """The feature with its position counted from 0. Raises UsageError unless it can be explained."""
    layer, position, index = feature
    count = len(run.tokens)
    at = position + count if position < 0 else position
    if not 0 < at < count:
        expected = (
            f"a position from 1 to {count - 1}, or from -{count - 1} to -1; the prepended token has none"
        )
        raise UsageError(f"feature {layer}/{position}/{index}", expected=expected, got=position)
    if not 0 <= index < transcoders.layer(layer).n_features:
        most = transcoders.layer(layer).n_features
        expected = f"a feature of layer {layer}, from 0 to {most - 1}"
        raise UsageError(f"feature {layer}/{position}/{index}", expected=expected, got=index)
    return layer, at, index


def _checked_direction(model: LanguageModel, values: Sequence[float] | NDArray[np.floating]) -> Tensor:
    """(d_model,) float32 on the device of the model. Raises UsageError."""
    read = np.asarray(values, dtype=np.float64)
    if read.shape != (model.d_model,):
        expected = f"{model.d_model} numbers, as the model's d_model"
        raise UsageError("direction", expected=expected, got=f"shape {read.shape}")
    wrong = np.flatnonzero(~(np.abs(read) < LARGEST))
    if len(wrong):
        raise UsageError("direction", expected="finite numbers", got=f"{read[wrong[0]]} at {wrong[0]}")
    made = torch.from_numpy(read.astype(np.float32)).to(model.device)
    if not made.any():
        raise UsageError("direction", expected="a number other than 0", got="zeros, which read nothing")
    return made


def _weighted(model: LanguageModel, aim: Aim) -> Tensor:
    """What a weighted sum of logits, each less the mean, reads: (d_model,) float32. Raises UsageError."""
    weights = aim.weights or {}
    if wrong := [token for token in weights if not 0 <= token < model.vocab_size]:
        raise UsageError("weights", expected=f"token ids below {model.vocab_size}", got=wrong[0])
    if not all(abs(weight) < LARGEST for weight in weights.values()) or not any(weights.values()):
        raise UsageError("weights", expected="finite numbers, one of them not 0", got=list(weights.values()))
    rows = model.parts.unembedding[torch.tensor(list(weights), device=model.device)].float()
    scale = torch.tensor(list(weights.values()), device=model.device, dtype=torch.float32)
    made: Tensor = scale @ (rows - model.parts.mean_unembedding)
    return made


def direction(model: LanguageModel, difference: tuple[int, int]) -> Tensor:
    """What the logit difference (correct, incorrect) reads of the final norm's output: (d_model,) float32."""
    correct, incorrect = (model.parts.unembedding[token].float() for token in difference)
    return correct - incorrect


def check_targets(
    model: LanguageModel,
    targets: Sequence[int] | None,
    difference: tuple[int, int] | None,
    margin: tuple[int, int] | None,
) -> None:
    """Raise UsageError for both targets and a difference, and for tokens that the model does not have."""

    def known(ids: Sequence[int]) -> bool:
        return len(set(ids)) == len(ids) and all(0 <= i < model.vocab_size for i in ids)

    if targets is not None and difference is not None:
        raise UsageError("targets and difference", expected="one of them", got="both")
    if targets is not None and not (len(targets) and known(targets)):
        raise UsageError(
            "targets", expected=f"different token ids below {model.vocab_size}, at least one", got=targets
        )
    for name, pair in (("difference", difference), ("margin", margin)):
        if pair is not None and not (len(pair) == 2 and known(pair)):
            raise UsageError(name, expected=f"two different token ids below {model.vocab_size}", got=pair)
