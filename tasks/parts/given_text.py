"""The one text that a question is about, as the model reads it: plain, as token ids, or as a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from circuitstore.models.chat import token_roles, written_out
from circuitstore.models.load import tokenize
from circuitstore.models.token_text import token_text
from circuitstore.texts import text_array

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase


def plain(tokenizer: PreTrainedTokenizerBase, text: Mapping[str, Any]) -> str:
    """What is tokenized: the text itself, or a conversation written out by the model's template.

    `text` is what the resource of this name gives. The result is "" for token ids. Raises ModelError for a
    model without a template, and UsageError for turns that it does not take.
    """
    turns = text["turns"]
    return written_out(tokenizer, turns) if turns else str(text["text"])


def tokens_of(tokenizer: PreTrainedTokenizerBase, text: Mapping[str, Any]) -> list[int]:
    """Its token ids (position,), the prepended token first. Raises what `plain` raises."""
    return list(text["tokens"]) or tokenize(tokenizer, plain(tokenizer, text), prepend=text["prepend"])


def texts_of(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> np.ndarray:
    """Each of these tokens as text, (position,)."""
    return text_array([token_text(tokenizer, token) for token in tokens])


def roles_of(tokenizer: PreTrainedTokenizerBase, text: Mapping[str, Any], count: int) -> list[str] | None:
    """Who says each of ``count`` tokens in a conversation, "" for those of the template; else None."""
    if not text["turns"]:
        return None
    roles = token_roles(tokenizer, plain(tokenizer, text), text["turns"])
    return [""] * (count - len(roles)) + roles
