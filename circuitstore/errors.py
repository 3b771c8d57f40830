"""Every error circuitstore raises on purpose, in one tree.

    CircuitstoreError              the command line prints it as one line and exits 1; never a traceback
    ├── UsageError                 the question is wrong: an unknown name, field or value (exits 2)
    ├── InputError                 a file the user gave is missing, unreadable or wrong
    │   ├── PromptError            prompts that cannot be used; every bad row is listed
    │   └── ModelError             weights, tokenizer or transcoders that do not load or do not fit
    ├── StoreError                 the store directory itself: foreign, unwritable, unknown format version
    │   ├── MissingError           nothing of that name has been built yet
    │   └── DamageError            a file of the store is missing, altered or unreadable
    ├── BuildError                 cells failed; what finished is kept
    │   ├── NonFiniteError         NaN or infinity among numbers that must be finite
    │   ├── GateError              the model does not show the behaviour well enough to analyse it
    │   ├── StaleCodeError         the code in memory is not the code on disk
    │   └── UndeclaredReadError    a phase read a file that its key does not cover
    └── LimitError                 a request larger than a stated limit, with how to ask for less

Grouped by what a handler would do: correct the question, mend the input, mend the store, build again, ask for
less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


class CircuitstoreError(Exception):
    """Something a user can act on.

    The message is one line, ``where: expected …, got …; remedy``; parts that are not given are left out.
    """

    exit_code = 1

    def __init__(self, where: str, *, expected: object = None, got: object = None, remedy: str | None = None):
        self.where, self.expected, self.got, self.remedy = where, expected, got, remedy
        parts = [f"expected {expected}"] if expected is not None else []
        parts += [f"got {got}"] if got is not None else []
        self.problem = where + (": " + ", ".join(parts) if parts else "")  # without the remedy
        super().__init__(self.problem + (f"; {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive the default pickling between worker processes.
        return _rebuild, (type(self), self.where, self.expected, self.got, self.remedy)


def _rebuild(
    kind: type[CircuitstoreError], where: str, expected: object, got: object, remedy: str | None
) -> CircuitstoreError:
    return kind(where, expected=expected, got=got, remedy=remedy)


class UsageError(CircuitstoreError):
    """The question is wrong: an unknown name or value. Nothing was written."""

    exit_code = 2


class InputError(CircuitstoreError):
    """A file the user gave is missing, unreadable or wrong."""


class PromptError(InputError):
    """Prompts that cannot be used; the message lists every bad row."""


class ModelError(InputError):
    """Weights, tokenizer or transcoders that do not load or do not fit one another."""


class StoreError(CircuitstoreError):
    """The store directory is foreign, unwritable or of an unknown format version."""


class MissingError(StoreError):
    """Nothing of that name has been built yet."""


class DamageError(StoreError):
    """A file of the store is missing, altered or unreadable."""


class UnreadableError(StoreError):
    """The system does not let a file of the store be read now. What it holds is not known.

    It is no damage: nobody may put something else in its place.
    """


class BuildError(CircuitstoreError):
    """Cells failed. What finished is kept, and the next build resumes."""


class NonFiniteError(BuildError):
    """NaN or infinity among numbers that must be finite."""


class GateError(BuildError):
    """The model does not show the behaviour well enough for its analysis to mean anything."""


class StaleCodeError(BuildError):
    """The code this process has loaded is not the code on disk that the key was made from."""


class UndeclaredReadError(BuildError):
    """A file was read that the key of the result does not cover."""


class LimitError(CircuitstoreError):
    """A request larger than a stated limit."""


def one_of(names: Iterable[str], most: int = 40) -> str:
    """What a name may be: "one of a, b, c", or how many there are and the first three of more than `most`."""
    known = list(dict.fromkeys(names))
    if len(known) > most:
        return f"one of {len(known)} ({', '.join(known[:3])}, …)"
    return "one of " + ", ".join(known) if len(known) > 1 else known[0] if known else "nothing: there is none"


def meant(name: str, names: Iterable[str]) -> str:
    """Which name was probably meant, as a question: "did you mean build?", or "" when none is near."""
    import difflib

    spelled = {known.casefold(): known for known in names}
    near = difflib.get_close_matches(name.casefold(), spelled, n=1, cutoff=0.6)
    return f"did you mean {spelled[near[0]]}?" if near else ""


def unknown(what: str, name: str, names: Iterable[str], remedy: str = "") -> UsageError:
    """The error for a name that does not exist, with those that do and the one that was probably meant."""
    known = list(names)
    advice = "; ".join(filter(None, (meant(name, known), remedy))) or None
    return UsageError(f"unknown {what} {name!r}", expected=one_of(known), remedy=advice)


def some_of(items: Sequence[str], most: int, separator: str = "; ") -> str:
    """The first `most` items in one line, and how many more there are: "a; b … and 3 more"."""
    more = f" … and {len(items) - most} more" if len(items) > most else ""
    return separator.join(items[:most]) + more


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its class when it has no message."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
