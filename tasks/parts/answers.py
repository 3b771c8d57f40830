"""The token id of an answer to one text, for the phase that explains it and for the check before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitstore.errors import UsageError
from circuitstore.models.load import answer_ids
from circuitstore.models.token_text import token_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_SHOWN = 8  # tokens of an answer that an error lists


def answer_id(tokenizer: PreTrainedTokenizerBase, text: str, option: str, answer: str) -> int:
    """The token id of an answer: the one that it adds to the text, else its own one.

    A text is "" where it was given as token ids. `option` is how the answer was given, for the error. Raises
    UsageError for an answer that is not one token in either way.
    """
    ids = answer_ids(tokenizer, text or "a", answer)
    if ids is None or len(ids) != 1:
        ids = list(tokenizer.encode(answer, add_special_tokens=False, verbose=False))
    if len(ids) != 1:
        remedy = None if answer.startswith(" ") else "mind the leading space"
        shown = ", ".join(repr(token_text(tokenizer, token)) for token in ids[:MOST_SHOWN])
        got = f"{len(ids)} tokens: {shown}"
        raise UsageError(f"{option} {answer!r}", expected="one token", got=got, remedy=remedy)
    return int(ids[0])
