"""Labels of features and names of roles in words: as figures print them, where room is scarce and a token
must be told from prose.
"""

from __future__ import annotations

import ast
import re

from tasks.drawing.style import token

QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""  # a token in a label, as Python writes it
MOST_LETTERS = 18  # of a token in a label


def printed(label: str) -> str:
    """An automatic label or a role as figures print it: tokens, which are quoted in it, as tokens are
    printed.
    """
    name, equals, value = label.partition("=")
    if name == "correct" and equals:
        return f"correct={token(value, MOST_LETTERS)}"
    return re.sub(QUOTED, lambda found: token(ast.literal_eval(found[0]), MOST_LETTERS), label)


def shortened(label: str) -> str:
    """An automatic label as diagrams print it: only what tells features apart."""
    name, equals, value = label.partition("=")
    said = f"→{token(value, MOST_LETTERS)}" if name == "correct" else value if equals else printed(label)
    return said.replace("after token ", "after ").removeprefix("token ")
