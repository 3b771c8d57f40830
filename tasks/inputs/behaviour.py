"""A behaviour that is declared in a file of `tasks/behaviours`, whose code is its identity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from circuitstore.errors import PromptError
from circuitstore.storage.names import FILE_NAME, is_file_name, shown

if TYPE_CHECKING:
    from tasks.behaviours import Behaviour, Fits, Prompt
    from tasks.settings.phases import Prompts


def identity(name: str) -> dict[str, Any]:
    """The name of the declaration. Its code is in the key by itself."""
    return {"declared": name}


def load(name: str) -> Callable[[Prompts, Fits | None], list[Prompt]]:
    """A function that draws prompts, given settings and a test whether a pair fits the tokenizer.

    Raises UsageError for a name that nobody declared, PromptError for a file that does not declare it. The
    function raises PromptError for an id that cannot be the name of a file.
    """
    from tasks import behaviours

    return partial(_draw, behaviours.load(name))


def _draw(declared: Behaviour, config: Prompts, fits: Fits | None) -> list[Prompt]:
    from tasks import behaviours

    rows = behaviours.generate(declared, train=config.train, test=config.test, seed=config.seed, fits=fits)
    if wrong := [row.id for row in rows if not is_file_name(row.id)]:
        raise PromptError("an id of a declared prompt", expected=FILE_NAME, got=shown(wrong[0]))
    return rows
