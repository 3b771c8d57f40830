"""A copy of the code with a behaviour `colour`, and files beside it that it may read."""

from __future__ import annotations

from pathlib import Path

from workspace import MODEL, TRANSCODERS, Outcome, run_process

COLOUR = """
from itertools import combinations
from pathlib import Path

from tasks.behaviours import Behaviour, Side, Template
{imports}
NAMES = [f"w{{i}}" for i in range(20)]
ANSWERS = ("is", "are")


def pair(lexicon):
    {body}
    for a, b in combinations(range(len(NAMES)), 2):
        if a % 2 != b % 2:
            yield tuple(
                Side(NAMES[i], {{"thing": NAMES[i], "answer": ANSWERS[i % 2]}}) for i in (a, b)
            )


BEHAVIOUR = Behaviour(
    "colour", "Colours", "Things.", (Template("t", "the {{thing}}", " {{answer}}"),), NAMES, pair
)
"""


class Project:
    """A copy of the code with a behaviour `colour`, some files that it may read, and a store."""

    def __init__(self, tree: Path):
        self.tree = tree
        self.room = tree / "tasks" / "behaviours"
        for folder in (self.room, tree):
            (folder / "words.json").write_text("[1]")
        for file in (self.room / "_words.py", tree / "words.py"):
            file.write_text("WORDS = 1\n")
        tables = f'[model]\npath = "{MODEL}"\nthreads = 1\n[transcoders]\npath = "{TRANSCODERS}"\n'
        (tree / "own.toml").write_text(tables + "[prompts]\ntrain = 4\ntest = 2\n")

    def declare(self, imports: str = "", body: str = "pass", after: str = "") -> None:
        (self.room / "colour.py").write_text(COLOUR.format(imports=imports, body=body) + after)

    def run(self, command: str = "build", *words: object, phase: str = "prompts") -> Outcome:
        selection = ["--profile", "own.toml", "-b", "colour", "--store", self.tree / "store", "--json"]
        return run_process(command, phase, *selection, *words, tree=self.tree)
