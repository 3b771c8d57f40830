"""Edits of features as people write them: in Python as a dictionary, on the command line as words.

{(3, 4, 981): 0.0}                 layer 3, position 4, feature 981: activation 0
{(3, (4, None), 981): 5.0}         from position 4 on, over generated tokens too
{(3, -1, 981): 0.0}                at the last token of the text
3/4/981=0    3/4:/981=5    3/-1/981=0        the same as words
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping
from typing import Any

from circuitstore.errors import UsageError

Position = int | tuple[int | None, int | None]  # one, or from start to before stop, None for an open end
Edits = Mapping[tuple[int, Position, int], float]
FORM = "LAYER/POSITION/FEATURE=VALUE, with a position such as 4, -1 or 4:"
WORD = re.compile(r"(\d+)/(-?\d*:?-?\d*)/(\d+)=(\S+)")


def checked(edits: Edits) -> list[dict[str, Any]]:
    """Edits as plain data. Raises UsageError for what is no edit."""
    if not isinstance(edits, Mapping):
        expected = "a dictionary {(layer, position, feature): value}"
        raise UsageError("edits", expected=expected, got=repr(edits)[:80])
    return [_edit(key, value) for key, value in edits.items()]


def _edit(key: Any, value: Any) -> dict[str, Any]:
    try:
        layer, position, feature = key
        edit: dict[str, Any] = {"layer": operator.index(layer), "feature": operator.index(feature)}
        edit["value"] = float(value)
        if isinstance(position, tuple):
            for name, end in zip(("start", "stop"), position, strict=True):
                edit[name] = None if end is None else operator.index(end)
        else:
            edit["position"] = operator.index(position)
    except (TypeError, ValueError):
        expected = "(layer, position, feature): value, whole numbers, and a position or (start, stop)"
        raise UsageError("edit", expected=expected, got=f"{key!r}: {value!r}"[:120]) from None
    if edit["layer"] < 0 or edit["feature"] < 0 or not math.isfinite(edit["value"]):
        expected = "a layer and a feature of at least 0, and a finite value"
        raise UsageError("edit", expected=expected, got=f"{key!r}: {value!r}"[:120])
    return edit


def from_words(words: Iterable[str]) -> dict[tuple[int, Position, int], float]:
    """Edits from words such as 3/4/981=0. Raises UsageError, also for two values at one place."""
    edits: dict[tuple[int, Position, int], float] = {}
    for word in words:
        found = WORD.fullmatch(word)
        try:
            if found is None:
                raise ValueError
            layer, position, feature = int(found[1]), _position(found[2]), int(found[3])
            value = float(found[4])
        except ValueError:
            raise UsageError(f"edit {word!r}", expected=FORM) from None
        if (layer, position, feature) in edits:
            raise UsageError(f"edit {word!r}", expected="one value for a feature at a position", got="two")
        edits[layer, position, feature] = value
    return edits


def _position(text: str) -> Position:
    if ":" not in text:
        return int(text)
    start, _, stop = text.partition(":")
    return int(start) if start else None, int(stop) if stop else None
