"""What is asked of one text, answered by the phase that answers it, cached like everything else."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

import circuitstore.results.open as results
from circuitstore import pipeline
from circuitstore.errors import BuildError, UsageError
from circuitstore.results.defaults import profile_argument, store_path, upstream_urls

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.engine.planner import Step
    from circuitstore.engine.runner import PhaseReport

Path = str | os.PathLike[str]
Turns = Sequence[Mapping[str, str]]  # of a conversation: {"role": …, "content": …} each
Asked = str | Sequence[int] | Turns


class Question(msgspec.Struct, frozen=True):
    """What is asked of one text, to be answered with one set of settings or another."""

    text: str | tuple[int, ...] | tuple[tuple[str, str], ...]
    model: str
    transcoders: str | None
    store: str
    targets: tuple[str, ...] = ()
    against: str = ""
    edits: tuple[Mapping[str, Any], ...] = ()
    aim: Mapping[str, Any] = {}

    def answer(self, phase: str, settings: Sequence[str]) -> xr.Dataset:
        """What a phase says with these settings, computed if the store does not have it."""
        from circuitstore.engine.planner import Planner
        from circuitstore.engine.runner import Options, build
        from circuitstore.storage.layout import Store
        from circuitstore.storage.refs import Name

        asked = (
            self.model,
            self.transcoders,
            self.text,
            self.targets,
            self.against,
            tuple(settings),
            self.edits,
            self.aim,
        )
        selection = pipeline.services().settings.select_text(*asked)
        store = Store(self.store, upstream_urls()).check_or_new()
        planner, heard = Planner(pipeline.load(), store), Heard()
        try:
            build(planner, [selection], (phase,), heard, Options(must_name=False))
        except BuildError as error:  # of one text and one cell, whose reason says it all
            if type(error) is not BuildError or error.got is None:
                raise
            raise BuildError(f"{phase} of this text", got=error.got) from error
        # By its key: in a store that may only be read, the name may mean an answer with other settings.
        name = Name(selection.profile_name, selection.behaviour, phase)
        result = results.open_key(store, name, heard.reports[-1].artifact)
        return result.drop_vars("position")  # within a text, positions count from the prepended token


def question(
    text: Asked,
    model: Path | None,
    transcoders: Path | None,
    store: Path | None,
    *,
    target: str | Sequence[str] = (),
    against: str = "",
    edits: Sequence[Mapping[str, Any]] = (),
    aim: Mapping[str, Any] | None = None,
) -> Question:
    """A question as it is asked, checked. Raises UsageError."""
    return Question(
        _asked(text),
        profile_argument(model),
        None if transcoders is None else os.fspath(transcoders),
        store_path(store),
        tuple(_text("target", each) for each in ((target,) if isinstance(target, str) else target) if each),
        _text("against", against),
        tuple(edits),
        aim or {},
    )


def _asked(text: Asked) -> str | tuple[int, ...] | tuple[tuple[str, str], ...]:
    """The text, token ids as plain integers, or turns as (role, content). Raises UsageError."""
    if isinstance(text, str):
        return _text("text", text)
    expected = "a text, a sequence of token ids, or turns with role and content, which are texts"
    try:
        parts: list[Any] = list(text)
        if parts and all(isinstance(part, Mapping) and part.keys() == {"role", "content"} for part in parts):
            return tuple((_text("role", part["role"]), _text("content", part["content"])) for part in parts)
        return tuple(operator.index(token) for token in parts)
    except TypeError:
        raise UsageError("text", expected=expected, got=repr(text)[:80]) from None


def user_turn(text: str, system: str = "") -> list[dict[str, str]]:
    """A text as a user says it, after what the system is told if anything."""
    said = [("system", system)] if system else []
    return [{"role": role, "content": content} for role, content in [*said, ("user", text)]]


def _text(what: str, text: str) -> str:
    """A text that UTF-8 can hold. Raises UsageError for half a character, and for what is no text."""
    try:
        text.encode()
    except (UnicodeEncodeError, AttributeError):
        expected = "text without halves of characters (surrogates)"
        raise UsageError(what, expected=expected, got=ascii(text)[:80]) from None
    return text


class Silent:
    """A reporter for scripts: only warnings are worth a word."""

    def begin(self, step: Step) -> None: ...

    def progress(self, cells: int) -> None: ...

    def end(self, report: PhaseReport) -> None: ...

    def note(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        import warnings

        warnings.warn(text, stacklevel=3)


class Heard(Silent):
    """A reporter that keeps what was done."""

    def __init__(self) -> None:
        self.reports: list[PhaseReport] = []

    def end(self, report: PhaseReport) -> None:
        self.reports.append(report)
