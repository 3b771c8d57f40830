"""Labels of features and names of roles as figures print them.

Room is scarce there, and a token must be told from prose. Two signs tell two facts: "=␣were" is a feature
that goes with prompts whose correct answer is ␣were, "→␣were" one that promotes this token.
"""

from __future__ import annotations

import ast
import re

from tasks.drawing.style import TIED, token

QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""  # a token in a label, as Python writes it
SIGNS = (
    "below the index, what the feature goes with; “=␣a”: prompts with the correct answer ␣a; “→␣a”: no "
    f"label, the token that it promotes most; “{TIED}”: other categories fit as well"
)
MOST_LETTERS = 18  # of a token in a label


def parted(label: str) -> tuple[str, str]:
    """Name and value of a label, "" and the label for one that has no name: a token in it may be a “=”."""
    name, equals, value = label.partition("=")
    return (name, value) if equals and not re.search("['\"]", name) else ("", label)


def printed(label: str) -> str:
    """An automatic label or a role as figures print it: the tokens that are quoted in it as tokens."""
    name, value = parted(label)
    if name == "correct":
        return f"correct={token(value, MOST_LETTERS)}"
    label = re.sub("(?<=^position )-", "−", label)
    return re.sub(QUOTED, lambda quoted: token(ast.literal_eval(quoted[0]), MOST_LETTERS), label)


def shortened(label: str) -> str:
    """An automatic label as diagrams print it, with as little as tells features apart."""
    name, value = parted(label)
    if not name:
        value = printed(label)
    elif name == "correct":
        value = f"={token(value, MOST_LETTERS)}"
    return value.replace("after token ", "after ").removeprefix("token ")
