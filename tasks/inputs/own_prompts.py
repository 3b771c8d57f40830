"""A user's own prompts: one JSON object a line, the same that `show prompts --json` prints.

    {"text": "The keys near the cabinet", "correct": " are", "incorrect": " is"}

`text`, `correct` and `incorrect` are required. `id` (made from the text and answers when absent), `split`
("train" or "test", default "train"), `template`, `group`, `partner` (id of the minimal-pair prompt) and
`labels` (an object of text) are optional. All bad rows are reported at once, each by line number and reason.
The layout of the file does not count: the identity is that of the prompts.

An id becomes the name of a file when graphs are exported, and of a node when they are opened. So it must be
one part of a path (`circuitstore.storage.names`). Ids are refused when the file is read, since
a build may take hours and an export comes last.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from circuitstore.engine.fingerprint import digest
from circuitstore.engine.task import Sources
from circuitstore.errors import PromptError, some_of
from circuitstore.storage.names import FILE_NAME, is_file_name, shown

SHOWN = 20


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One prompt of the file."""

    text: str
    correct: str
    incorrect: str
    id: str = ""
    split: Literal["train", "test"] = "train"
    template: str = ""
    group: str = ""
    partner: str = ""
    labels: dict[str, str] = {}


def identity(path: str) -> dict[str, Any]:
    """Each prompt by its id, so that `explain` can say what changed, and their order. Raises PromptError."""
    rows = read(path)
    return {
        "prompts": {row.id: msgspec.to_builtins(row) for row in rows},
        "order": digest("order", [row.id for row in rows]),
    }


def sources(path: str) -> Sources:
    """The one file."""
    return Sources([path])


def load(path: str) -> Callable[[Any, Any], list[Row]]:
    """A function of settings and tokenizer test that gives the prompts, as phase `prompts` calls it.

    The file is read now, so that what is loaded is what was identified. Raises PromptError.
    """
    return Given(read_lines(path))


class Given:
    """All prompts of a file, whatever fits the tokenizer; `lines` are their numbers in the file, by id."""

    def __init__(self, rows: Mapping[int, Row]):
        self.rows = list(rows.values())
        self.lines = {row.id: number for number, row in rows.items()}

    def __call__(self, config: Any, fits: Any) -> list[Row]:
        return self.rows


def read(path: str) -> list[Row]:
    """All prompts of a JSONL file. Raises PromptError, with every bad line and its reason."""
    return list(read_lines(path).values())


def read_lines(path: str) -> dict[int, Row]:
    """The same by their numbers of line. Raises PromptError."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise PromptError(path, expected="a readable JSONL file", got=error.strerror or error) from error
    if source.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise PromptError(path, expected="a JSONL file in UTF-8", got="UTF-16")
    lines = source.removeprefix(codecs.BOM_UTF8).splitlines()
    rows: dict[int, Row] = {}
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _with_id(msgspec.json.decode(line, type=Row))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problems.append(f"line {number}: {_plain(error)}")
            continue
        problems += [f"line {number}: {problem}" for problem in _problems(row)]
        if row.id in seen:
            problems.append(f"line {number}: the same id or prompt as line {seen[row.id]}")
        seen.setdefault(row.id, number)
        rows[number] = row
    if not rows and not problems:
        problems.append("no prompts in it")
    if problems:
        expected = "one prompt a line, see docs/prompts.md"
        raise PromptError(path, expected=expected, got=some_of(problems, SHOWN))
    return rows


def _with_id(row: Row) -> Row:
    """The row with an id. One that is made does not name the file, so a renamed copy is the same prompts."""
    if row.id:
        return row
    digest = hashlib.sha256("\0".join((row.text, row.correct, row.incorrect)).encode()).hexdigest()
    return msgspec.structs.replace(row, id=f"prompt-{digest[:8]}")


def _problems(row: Row) -> list[str]:
    empty = [f"{name} is empty" for name in ("text", "correct", "incorrect") if not getattr(row, name)]
    same = ["correct and incorrect are the same"] if row.correct == row.incorrect else []
    wrong = [] if is_file_name(row.id) else [f"id {shown(row.id)} is not {FILE_NAME}"]
    return empty + same + wrong


def _plain(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start + 1}"
    return str(error).replace("JSON is malformed", "no JSON object").replace("Object", "the object")
