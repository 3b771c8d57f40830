"""A small store with every phase built, for tests of what comes out at the end: random model, random
transcoders, twelve prompts.
"""

from __future__ import annotations

import json

import pytest
from shared import shared
from workspace import ROOT, Outcome, Workspace, run_process

NOUNS = (
    ("keys", "cabinet"),
    ("dog", "cat"),
    ("big", "small"),
    ("one", "two"),
    ("mat", "capital"),
    ("france", "paris"),
)
SMALLER = """
[attribution]
max_feature_nodes = 60
[interpretation]
min_prompts = 3
[interventions]
features = 3
sizes = [1, 10]
circuit_sizes = [1, 10, 100]
strengths = [-1.0, 2.0]
controls = 3
bootstrap = 50
[figures]
formats = ["png", "svg", "pdf"]
dpi = 100
bootstrap = 50
"""


class Finished(Workspace):
    """A workspace whose last phase is built. Tests must not change what it holds for others: the newest
    figures.
    """

    def command(self, *words: object) -> Outcome:
        """One command in a process of its own."""
        return run_process(*words, python=(str(ROOT / "cli.py"),))

    def computed(self, *words: object) -> dict[str, int]:
        """Build all phases in a process of its own: how many cells of each were computed."""
        outcome = self.command("build", *self.selection, *words, "--json")
        assert outcome.code == 0, outcome.err
        return {row["phase"]: row["computed"] for row in outcome.json["phases"] if row["computed"]}


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Finished:
    """All phases of six minimal pairs, two of them test prompts."""
    return shared(tmp_path_factory, "finished", Finished, build_all)


def build_all(made: Finished) -> None:
    """Write the profile and the prompts, and build every phase."""
    made.profile.write_text(made.profile.read_text() + SMALLER)
    rows = []
    for i, nouns in enumerate(NOUNS):
        for side, (word, answers) in enumerate(zip(nouns, ((" are", " is"), (" is", " are")), strict=True)):
            row = {
                "id": f"p{i}{'ab'[side]}",
                "partner": f"p{i}{'ba'[side]}",
                "text": f"the {word} to the w{i}",
            }
            row |= {
                "correct": answers[0],
                "incorrect": answers[1],
                "template": "to",
                "split": "test" if i > 3 else "train",
            }
            rows.append({**row, "labels": {"number": ("plural", "singular")[side]}})
    made.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert made.computed()["figures"] == 1
