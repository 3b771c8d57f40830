"""Names that people give, as parts of paths: a prompt's id is one, since its graph is exported under it.

A name is checked when it is read and again when a path is made of it, because a store may come from somebody
else. The rule is one for all systems. It is a module of its own, so that what computes depends on little.
"""

from __future__ import annotations

MOST_BYTES, ENDING_BYTES = 200, 20  # a file system allows 255, and a draft has a mark behind its ending
RESERVED = ("", ".", "..", "provenance")  # the last one is what every export says of itself
FILE_NAME = (
    f"1 to {MOST_BYTES} bytes of printable text without '/', '\\' or blanks around it, "
    "nor '.', '..' or 'provenance'"
)
SHOWN = 40


def is_file_name(name: str, *, ending: bool = False) -> bool:
    """Whether this is one part of a path on every system (`FILE_NAME`), perhaps with an ending already."""
    return (
        name.isprintable()  # so without surrogates, line ends, and controls that change how text is shown
        and name.strip() == name
        and name.casefold() not in RESERVED
        and not {"/", "\\"}.intersection(name)
        and len(name.encode()) <= MOST_BYTES + (ENDING_BYTES if ending else 0)
    )


def shown(name: str) -> str:
    """A name that is refused, escaped and not too long, for a message of one line."""
    return ascii(name if len(name) <= SHOWN else name[:SHOWN] + "...")
