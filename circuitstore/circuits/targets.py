"""The logits that an attribution graph explains, and what each reads of the final norm's output.

A logit node is a token's logit less the mean over the vocabulary, or less the logit of another token. The
subtraction leaves what tells the tokens apart: adding one number to all logits changes no probability. Where
a model caps its logits (Gemma 2), nodes are those before the cap, which are linear in what the final norm
gives. Probabilities are those after it.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Attribution".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture
from circuitstore.models.load import LanguageModel

MEAN = -1  # in place of a token id: the mean over the vocabulary


@dataclass(frozen=True)
class Targets:
    """The logit nodes of a graph."""

    ids: NDArray[np.int64]  # (logit,) token ids
    against: NDArray[np.int64]  # (logit,) the token whose logit is subtracted, or `MEAN`
    probabilities: NDArray[np.float32]  # (logit,) probability of the token; 1 for a difference
    weights: NDArray[np.float32]  # (logit,) the same, but of tokens that were asked for the share of each
    directions: Tensor  # (logit, d_model) float32

    def values(self, run: Capture) -> NDArray[np.float64]:
        """The logit of each target less what is subtracted: (logit,), nats, from the model's own logits."""
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
