"""What the variables of each phase are: a file a phase, with a text for each variable, and its unit.

    logit_difference = ["correct less incorrect logit, the margin", "nats"]
    rank_correct = "rank of the correct answer, 1 for the most probable token"
    "*_margin" = ["correct less incorrect logit", "nats"]        for all that no other line of the file names

Without a unit a number has none, which is written as the unit 1. `like` names other phases whose variables
the phase has too. `dims.toml` has the coordinates that every phase may have. The texts are no content: they
are put on what is opened, and docs/schema.md is made from them.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

HERE = os.path.dirname(os.path.abspath(__file__))
DIMS, LIKE = "dims", "like"


def described(phase: str, name: str) -> tuple[str, str] | None:
    """(text, unit) of a variable or a coordinate of a phase; None for one that nobody described."""
    for table in (*_tables(phase), *_tables(DIMS)):
        patterns = (pattern for pattern in table if fnmatchcase(name, pattern))
        if (found := table.get(name) or next((table[each] for each in patterns), None)) is not None:
            return found
    return None


@lru_cache(maxsize=64)
def _tables(phase: str) -> tuple[dict[str, tuple[str, str]], ...]:
    """Names, or patterns of names → text and unit: of a phase, and of those that it is like."""
    try:
        with open(os.path.join(HERE, f"{phase}.toml"), "rb") as file:
            rows = msgspec.toml.decode(file.read(), type=dict[str, str | list[str]])
    except FileNotFoundError:
        return ()
    like = rows.pop(LIKE, [])
    own = {name: (row, "") if isinstance(row, str) else (row[0], row[1]) for name, row in rows.items()}
    return own, *(table for each in like for table in _tables(each))
