"""What a graph of one text explains in the place of answers, as it was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from circuitstore.circuits.targets import Aim
from tasks.parts.answers import answer_id
from tasks.parts.given_text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerBase


def aim_of(tokenizer: PreTrainedTokenizerBase, text: Mapping[str, Any]) -> Aim | None:
    """The aim; None where answers are explained. `text` is what the resource of this name gives.

    Raises UsageError for a weighted answer that is not one token.
    """
    if feature := text.get("feature"):
        layer, position, index = feature
        return Aim(feature=(layer, position, index))
    if direction := text.get("direction"):
        return Aim(direction=direction)
    if weights := text.get("weights"):
        return Aim(weights=weighted(tokenizer, text, weights))
    return None


def weighted(
    tokenizer: PreTrainedTokenizerBase, text: Mapping[str, Any], weights: tuple[tuple[str, float], ...]
) -> dict[int, float]:
    """Weights by token id; those of answers that are the same token add up. Raises UsageError."""
    made: dict[int, float] = {}
    for answer, weight in weights:
        token = answer_id(tokenizer, plain(tokenizer, text), "--weight", answer)
        made[token] = made.get(token, 0.0) + weight
    return made


def aim_name(text: Mapping[str, Any]) -> str:
    """What a graph calls it; "" where answers are explained."""
    if feature := text.get("feature"):
        return "feature " + "/".join(map(str, feature))
    if text.get("direction"):
        return "direction"
    return " + ".join(f"{weight:g} · {answer!r}" for answer, weight in text.get("weights", ()))
