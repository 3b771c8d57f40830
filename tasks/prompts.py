"""Phase `prompts`: the prompts of a behaviour, tokenized and audited.

Both answers must be single tokens of this model's tokenizer. Partners must have equally many tokens. A prompt
followed by its answer must tokenize as the tokens of the prompt followed by the token of the answer:
otherwise the logit that is read is not the one that the model would use. All violations are reported
together.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import xarray as xr

from circuitstore.errors import PromptError, some_of
from circuitstore.models.chat import token_roles, written_out
from circuitstore.models.load import answer_ids, tokenize
from circuitstore.models.token_text import token_text
from circuitstore.texts import text_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from circuitstore.storage.records import Coords
    from tasks.settings.phases import Prompts

TEXT = ("text", "correct", "incorrect", "split", "template", "group", "partner")
USER = "user"  # who says a prompt in a conversation
LISTED = 8  # violations named in an error
SHOWN = 60  # characters of a prompt that are shown with one
DRAWN = "change these prompts or the model, or have others drawn: --set prompts.misfits=skip"
OWN = "change these lines of your file, or use another model"


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


class Answer(NamedTuple):
    """Token ids of an answer, as it stands after its prompt, or by itself where it ``merges`` with that."""

    ids: list[int]
    merges: bool


def prompts(
    cells: list[Coords],
    config: Prompts,
    behaviour: Callable[[Prompts, Callable[..., bool] | None], Sequence[Prompt]],
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each prompt, along axis `prompt`.

    `behaviour` gives the prompts; its second argument says which minimal pairs can be used. Those of a user's
    file come with `lines`, the number of the line of each id, for errors.

        text, correct, incorrect     text
        split                        text: "train" or "test"
        template, group              text
        partner                      text: the id of the other prompt of the minimal pair, or ""
        labels                       text: a JSON object
        correct_id, incorrect_id     int32: token ids
        tokens, token_text           (position,) int32 and text: the prepended token comes first
        token_role                   (position,) text, with `chat`: "user" where the text is, else ""

    Raises PromptError, which lists the prompts that cannot be used.
    """
    rows = behaviour(config, _fits(tokenizer, config) if config.misfits == "skip" else None)
    asked = {row.id: _asked(tokenizer, row, config) for row in rows}
    tokens = {name: tokenize(tokenizer, text, prepend=config.prepend) for name, text in asked.items()}
    answers = {row.id: _answer_ids(tokenizer, row, asked[row.id]) for row in rows}
    lines: Mapping[str, int] = getattr(behaviour, "lines", {})
    problems = [
        f"line {lines[row.id]}: {problem}" if row.id in lines else problem
        for row in rows
        for problem in _problems(row, tokens, answers[row.id])
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
            "prompts",
            expected="ids of their own, partners among the prompts, answers of one token to this tokenizer",
            got=some_of(problems, LISTED),
            remedy=OWN if lines else DRAWN,
        )
    for row in rows:
        (correct,), (incorrect,) = (answer.ids for answer in answers[row.id])
        variables: dict[str, Any] = {name: ((), text_array(getattr(row, name))) for name in TEXT}
        variables["labels"] = ((), text_array(json.dumps(row.labels, sort_keys=True)))
        variables["correct_id"] = ((), np.int32(correct))
        variables["incorrect_id"] = ((), np.int32(incorrect))
        variables["tokens"] = ("position", np.array(tokens[row.id], dtype=np.int32))
        texts = [token_text(tokenizer, token) for token in tokens[row.id]]
        variables["token_text"] = ("position", text_array(texts))
        if config.chat:
            roles = token_roles(tokenizer, asked[row.id], [(USER, row.text)])
            roles = [""] * (len(texts) - len(roles)) + roles
            variables["token_role"] = ("position", text_array(roles))
        yield {"prompt": row.id}, xr.Dataset(variables)


def _fits(tokenizer: PreTrainedTokenizerBase, config: Prompts) -> Callable[..., bool]:
    """A function that says whether both prompts of a minimal pair can be used."""

    def fits(*pair: Prompt) -> bool:
        asked = {row.id: _asked(tokenizer, row, config) for row in pair}
        tokens = {name: tokenize(tokenizer, text, prepend=config.prepend) for name, text in asked.items()}
        return not any(_problems(row, tokens, _answer_ids(tokenizer, row, asked[row.id])) for row in pair)

    return fits


def _asked(tokenizer: PreTrainedTokenizerBase, row: Prompt, config: Prompts) -> str:
    """What the model reads: the text, or with `chat` the text as a user says it, in the model's template."""
    return written_out(tokenizer, [(USER, row.text)]) if config.chat else row.text


def _answer_ids(tokenizer: PreTrainedTokenizerBase, row: Prompt, asked: str) -> list[Answer]:
    """What the correct and the incorrect answer add to the tokens of what the model is `asked`."""
    answers = []
    for text in (row.correct, row.incorrect):
        added = answer_ids(tokenizer, asked, text)
        alone = list(tokenizer.encode(text, add_special_tokens=False)) if added is None else added
        answers.append(Answer(alone, added is None))
    return answers


def _problems(
    row: Prompt,
    tokens: Mapping[str, list[int]],
    answers: list[Answer],
) -> list[str]:
    """What is wrong with one prompt, a line for each problem. `tokens` holds all prompts by id."""
    problems, name = [], _named(row)
    for text, answer in zip((row.correct, row.incorrect), answers, strict=True):
        if len(answer.ids) != 1:
            problems.append(f"{name}: answer {text!r} is {len(answer.ids)} tokens, not one")
        elif answer.merges:
            problems.append(f"{name}: answer {text!r} merges with the prompt's last token")
    if answers[0].ids == answers[1].ids:
        problems.append(f"{name}: both answers are the same token")
    if row.partner and row.partner not in tokens:
        problems.append(f"{name}: partner {row.partner} is no prompt")
    elif row.partner and len(tokens[row.partner]) != len(tokens[row.id]):
        lengths = f"has {len(tokens[row.partner])} tokens, this has {len(tokens[row.id])}"
        problems.append(f"{name}: partner {row.partner} {lengths}")
    if len(tokens[row.id]) < 2:
        problems.append(f"{name}: the prompt has no tokens")
    return problems


def _named(row: Prompt) -> str:
    """A prompt's id and its text, or the end of it, which is where answers begin."""
    text = row.text if len(row.text) <= SHOWN else "…" + row.text[-SHOWN:]
    return f"{row.id} ({text!r})"
