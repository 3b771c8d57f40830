"""Phase `prompts`: a behaviour's prompts, tokenized and audited.

One row a prompt. Both answers must be single tokens of this model's tokenizer, partners must have equally
many tokens, and a prompt followed by its answer must tokenize as the prompt's tokens followed by the
answer's: otherwise the logit that is read is not the one the model would use. All violations are reported
together.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import xarray as xr

from circuitstore.errors import PromptError
from circuitstore.models.load import tokenize

TEXT = ("text", "correct", "incorrect", "split", "template", "group", "partner")
SHOWN = 8  # violations listed in full


def prompts(cells, config, behaviour, tokenizer):
    """Yield one dataset a prompt, axis `prompt`.

    text, correct, incorrect, split ("train" or "test"), template, group, partner (id or ""), labels (JSON
    object): text; correct_id, incorrect_id: int32 token ids; tokens (position,) int32 and token_text
    (position,), the prepended token first. Raises PromptError listing every prompt that cannot be used.
    """
    rows = behaviour(config, _fits(tokenizer, config.prepend) if config.misfits == "skip" else None)
    tokens = {row.id: tokenize(tokenizer, row.text, prepend=config.prepend) for row in rows}
    answers = {
        row.id: [_token_ids(tokenizer, answer) for answer in (row.correct, row.incorrect)] for row in rows
    }
    problems = [
        problem
        for row in rows
        for problem in _problems(row, tokens, answers[row.id], tokenizer, config.prepend)
    ]
    problems += [
        f"{name}: {count} prompts have this id"
        for name, count in Counter(row.id for row in rows).items()
        if count > 1
    ]
    if not rows:
        problems.append("there are no prompts")
    if problems:
        more = f" … and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        remedy = "change these prompts or the model, or have others drawn: --set prompts.misfits=skip"
        raise PromptError(
            "prompts do not fit this tokenizer", got="; ".join(problems[:SHOWN]) + more, remedy=remedy
        )
    for row in rows:
        (correct,), (incorrect,) = answers[row.id]
        variables: dict[str, Any] = {name: ((), np.array(getattr(row, name), dtype=str)) for name in TEXT}
        variables["labels"] = ((), np.array(json.dumps(row.labels, sort_keys=True), dtype=str))
        variables["correct_id"] = ((), np.int32(correct))
        variables["incorrect_id"] = ((), np.int32(incorrect))
        variables["tokens"] = ("position", np.array(tokens[row.id], dtype=np.int32))
        variables["token_text"] = (
            "position",
            np.array([tokenizer.decode([token]) for token in tokens[row.id]], dtype=str),
        )
        yield {"prompt": row.id}, xr.Dataset(variables)


def _fits(tokenizer, prepend: str):
    """Whether the prompts of a drawn minimal pair can be used."""

    def fits(*pair) -> bool:
        tokens = {row.id: tokenize(tokenizer, row.text, prepend=prepend) for row in pair}
        answers = {
            row.id: [_token_ids(tokenizer, answer) for answer in (row.correct, row.incorrect)] for row in pair
        }
        return not any(_problems(row, tokens, answers[row.id], tokenizer, prepend) for row in pair)

    return fits


def _token_ids(tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def _problems(
    row, tokens: dict[str, list[int]], answers: list[list[int]], tokenizer, prepend: str
) -> list[str]:
    """What is wrong with one prompt, a line each."""
    found = []
    for text, ids in zip((row.correct, row.incorrect), answers, strict=True):
        if len(ids) != 1:
            found.append(f"{row.id}: answer {text!r} is {len(ids)} tokens, not one")
        elif tokenize(tokenizer, row.text + text, prepend=prepend) != tokens[row.id] + ids:
            found.append(f"{row.id}: answer {text!r} merges with the prompt's last token")
    if answers[0] == answers[1]:
        found.append(f"{row.id}: both answers are the same token")
    if row.partner and row.partner not in tokens:
        found.append(f"{row.id}: partner {row.partner} is no prompt")
    elif row.partner and len(tokens[row.partner]) != len(tokens[row.id]):
        found.append(
            f"{row.id}: partner {row.partner} has {len(tokens[row.partner])} tokens, this has {len(tokens[row.id])}"
        )
    if len(tokens[row.id]) < 2:
        found.append(f"{row.id}: the prompt has no tokens")
    return found
