"""Continuing a text token by token, with the activations of features held at other values.

Every step runs the whole text anew, so that an edit acts in each step as it does in an intervention in the
regime "free": on the MLP output at its position, and from there on everything that comes after. An edit of a
position that is not reached yet acts as soon as it is.

The sampled token is the one at which the cumulative probability passes a draw. Two runs with the same draws
therefore differ only where their probabilities do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitstore.circuits.edits import Edit
from circuitstore.circuits.intervene import intervene
from circuitstore.models.capture import capture
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders


class Continued(NamedTuple):
    """The tokens that were chosen, and the probability that the model gave each."""

    tokens: NDArray[np.int32]  # (step,)
    probability: NDArray[np.float32]  # (step,)


def generate(
    model: LanguageModel,
    transcoders: Transcoders,
    tokens: Sequence[int],
    edits: Callable[[int], Sequence[Edit]],
    draws: Sequence[float],
    *,
    temperature: float = 0.0,
) -> Continued:
    """Continue ``tokens`` (position,) by a token for each of ``draws`` (step,), uniform from 0 to 1.

    ``edits`` gives those that act in a text of so many tokens. With ``temperature`` 0 the most probable token
    is taken, and the draws only say how many. It ends early after the tokenizer's end-of-sequence token.

    Raises UsageError for edits outside the model, LimitError when the text grows longer than the model has
    positions, and NonFiniteError.
    """
    text, probabilities = list(tokens), []
    for draw in draws:
        logits = _next(model, transcoders, text, edits(len(text)))
        chosen = _choose(logits, draw, temperature)
        text.append(chosen)
        probabilities.append(_softmax(logits)[chosen])
        if chosen == model.tokenizer.eos_token_id:
            break
    new = np.array(text[len(tokens) :], dtype=np.int32)
    return Continued(new, np.array(probabilities, dtype=np.float32))


def _next(
    model: LanguageModel, transcoders: Transcoders, text: Sequence[int], edits: Sequence[Edit]
) -> NDArray[np.float64]:
    """Logits (token,) after the last position."""
    if edits:
        run = intervene(model, transcoders, text, [edits], last_only=True, inputs=False)
        last = run.logits[0, -1]
    else:
        last = capture(model, text, last_only=True).logits[-1]
    return last.double().cpu().numpy()


def _choose(logits: NDArray[np.float64], draw: float, temperature: float) -> int:
    """The token that is taken; the first of equals."""
    if temperature == 0:
        return int(logits.argmax())
    total = np.cumsum(_softmax(logits / temperature))
    return int(np.searchsorted(total, draw * total[-1], side="right"))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max())
    return np.asarray(shifted / shifted.sum())
