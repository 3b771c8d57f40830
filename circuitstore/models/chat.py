"""A conversation written out by a model's own chat template, as instruction-tuned models are asked.

A template is a program in Jinja that comes with a tokenizer; transformers renders it in a sandbox. Some ask
for today's date. The text of a prompt may not depend on the day on which it is computed, so for them it is
always `DATE`, which Llama's templates take where they are not told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from circuitstore.errors import ModelError, UsageError, first_line

Turn = tuple[str, str]  # role, content
DATE = {  # code of a format → what it is on the 26th of July 2024, whatever the locale
    "%d": "26",
    "%m": "07",
    "%b": "Jul",
    "%B": "July",
    "%y": "24",
    "%Y": "2024",
    "%a": "Fri",
    "%A": "Friday",
    "%H": "00",
    "%M": "00",
    "%S": "00",
}


def written_out(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> str:
    """The text of a conversation, up to where the model's answer begins.

    Raises ModelError for a tokenizer without a template, and UsageError for turns that it does not take.
    """
    named: Any = tokenizer
    try:
        template = named.get_chat_template()
    except ValueError as error:
        raise ModelError(
            "chat template",
            expected="one in the tokenizer's files, as models for conversations have",
            got="none",
            remedy="ask without chat, or use the model's instruction-tuned sibling",
        ) from error
    messages = [{"role": role, "content": content} for role, content in turns]
    given: Mapping[str, Any] = {"add_generation_prompt": True, "tokenize": False}
    try:
        return str(named.apply_chat_template(messages, chat_template=_dated(template), **given))
    except (TemplateError, TypeError, ValueError) as error:
        roles = ", ".join(role for role, _ in turns)
        raise UsageError(
            f"conversation with turns of {roles}",
            expected="one that this model's chat template takes",
            got=first_line(error),
        ) from error


def token_roles(tokenizer: PreTrainedTokenizerBase, text: str, turns: Sequence[Turn]) -> list[str]:
    """The role of the turn that each token of a written-out conversation is the content of, else "".

    There is one for each token of ``text`` itself, without a token that is put before it. Templates may trim
    what is said, so a turn is looked for without the blanks around it.
    """
    if not tokenizer.is_fast:  # it does not say where in the text a token is
        return [""] * len(tokenizer.encode(text, add_special_tokens=False))
    encoded: Any = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    offsets = encoded["offset_mapping"]
    roles, start = [""] * len(offsets), 0
    for role, content in turns:
        said = content.strip()
        at = text.find(said, start)
        if not said or at < 0:
            continue
        start = at + len(said)
        for number, (begin, end) in enumerate(offsets):
            if begin < start and end > at and end > begin:
                roles[number] = role
    return roles


def _dated(template: str) -> str:
    """The template with a date of its own, if it asks for one."""
    if "strftime_now" not in template:
        return template
    filters = "".join(f"|replace('{code}', '{said}')" for code, said in DATE.items())
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{filters} }}}}{{%- endmacro -%}}{template}"
