"""The edits that a person asks for in one text, at the positions that they mean.

An edit names a layer, a feature, the new activation, and one position or a range of positions. Positions
count from the prepended token, which is 0. A negative one counts from the end of the text as it was given: -1
is its last token. A range without an end goes on over what is generated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from circuitstore.circuits.edits import Edit
from circuitstore.errors import UsageError


def acting(edits: Sequence[Mapping[str, Any]], given: int, now: int) -> list[Edit]:
    """The edits that act in a text of `now` tokens, of which `given` were given.

    `edits` have layer, feature and value, and either position or start and stop (None for an open end).
    Raises UsageError for one position outside the given text, when nothing was generated yet.
    """
    result = []
    for edit in edits:
        for position in _positions(edit, given, now):
            result.append(Edit(edit["layer"], position, edit["feature"], edit["value"]))
    return result


def _positions(edit: Mapping[str, Any], given: int, now: int) -> range:
    if edit["position"] is None:
        start, stop = (_from_start(edit[end], given) for end in ("start", "stop"))
        return range(max(start or 0, 0), now if stop is None else min(stop, now))
    position = _from_start(edit["position"], given)
    if position is None or not 0 <= position < now:
        expected = f"a position from {-given} to {now - 1}, in a text of {now} tokens"
        raise UsageError("edit", expected=expected, got=edit["position"])
    return range(position, position + 1)


def _from_start(position: int | None, given: int) -> int | None:
    return position if position is None or position >= 0 else position + given
