"""Phase `prompts`: the prompts of a behaviour, tokenized and audited.

Both answers must be single tokens of this model's tokenizer. Partners must have equally many tokens. A prompt
followed by its answer must tokenize as the tokens of the prompt followed by the token of the answer:
otherwise the logit that is read is not the one that the model would use. All violations are reported
together.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr

from circuitstore.errors import PromptError, some_of
from circuitstore.models.load import tokenize
from circuitstore.texts import text_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from circuitstore.storage.records import Coords
    from tasks.settings.phases import Prompts

TEXT = ("text", "correct", "incorrect", "split", "template", "group", "partner")
LISTED = 8  # violations named in an error


class Prompt(Protocol):
    """What is known of a prompt before it is tokenized: one that was drawn, or a row of a user's file."""

    id: str
    text: str
    correct: str
    incorrect: str
    split: str
    template: str
    group: str
    partner: str
    labels: Mapping[str, str]


def prompts(
    cells: list[Coords],
    config: Prompts,
    behaviour: Callable[[Prompts, Callable[..., bool] | None], Sequence[Prompt]],
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each prompt, along axis `prompt`.

    `behaviour` gives the prompts; its second argument says which minimal pairs can be used.

        text, correct, incorrect     text
        split                        text: "train" or "test"
        template, group              text
        partner                      text: the id of the other prompt of the minimal pair, or ""
        labels                       text: a JSON object
        correct_id, incorrect_id     int32: token ids
        tokens, token_text           (position,) int32 and text: the prepended token comes first

    Raises PromptError, which lists the prompts that cannot be used.
    """
    rows = behaviour(config, _fits(tokenizer, config.prepend) if config.misfits == "skip" else None)
    tokens = {row.id: tokenize(tokenizer, row.text, prepend=config.prepend) for row in rows}
    answers = {row.id: _answer_ids(tokenizer, row) for row in rows}
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
        raise PromptError(
            "prompts do not fit this tokenizer",
            got=some_of(problems, LISTED),
            remedy="change these prompts or the model, or have others drawn: --set prompts.misfits=skip",
        )
    for row in rows:
        (correct,), (incorrect,) = answers[row.id]
        variables: dict[str, Any] = {name: ((), text_array(getattr(row, name))) for name in TEXT}
        variables["labels"] = ((), text_array(json.dumps(row.labels, sort_keys=True)))
        variables["correct_id"] = ((), np.int32(correct))
        variables["incorrect_id"] = ((), np.int32(incorrect))
        variables["tokens"] = ("position", np.array(tokens[row.id], dtype=np.int32))
        texts = [str(tokenizer.decode([token])) for token in tokens[row.id]]
        variables["token_text"] = ("position", text_array(texts))
        yield {"prompt": row.id}, xr.Dataset(variables)


def _fits(tokenizer: PreTrainedTokenizerBase, prepend: str) -> Callable[..., bool]:
    """A function that says whether both prompts of a minimal pair can be used."""

    def fits(*pair: Prompt) -> bool:
        tokens = {row.id: tokenize(tokenizer, row.text, prepend=prepend) for row in pair}
        return not any(
            _problems(row, tokens, _answer_ids(tokenizer, row), tokenizer, prepend) for row in pair
        )

    return fits


def _answer_ids(tokenizer: PreTrainedTokenizerBase, row: Prompt) -> list[list[int]]:
    """The token ids of the correct and of the incorrect answer."""
    return [
        list(tokenizer.encode(answer, add_special_tokens=False)) for answer in (row.correct, row.incorrect)
    ]


def _problems(
    row: Prompt,
    tokens: Mapping[str, list[int]],
    answers: list[list[int]],
    tokenizer: PreTrainedTokenizerBase,
    prepend: str,
) -> list[str]:
    """What is wrong with one prompt, a line for each problem. `tokens` holds all prompts by id."""
    problems = []
    for text, ids in zip((row.correct, row.incorrect), answers, strict=True):
        if len(ids) != 1:
            problems.append(f"{row.id}: answer {text!r} is {len(ids)} tokens, not one")
        elif tokenize(tokenizer, row.text + text, prepend=prepend) != tokens[row.id] + ids:
            problems.append(f"{row.id}: answer {text!r} merges with the prompt's last token")
    if answers[0] == answers[1]:
        problems.append(f"{row.id}: both answers are the same token")
    if row.partner and row.partner not in tokens:
        problems.append(f"{row.id}: partner {row.partner} is no prompt")
    elif row.partner and len(tokens[row.partner]) != len(tokens[row.id]):
        lengths = f"has {len(tokens[row.partner])} tokens, this has {len(tokens[row.id])}"
        problems.append(f"{row.id}: partner {row.partner} {lengths}")
    if len(tokens[row.id]) < 2:
        problems.append(f"{row.id}: the prompt has no tokens")
    return problems
