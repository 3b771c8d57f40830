"""A store with the interpretation of twelve prompts, four subjects beside three attractors."""

from __future__ import annotations

import json

import pytest
import xarray as xr
from shared import shared
from workspace import BEHAVIOUR, PROFILE, ROOT, Workspace, run_process

import circuitstore as cs

SUBJECTS, ATTRACTORS = ("keys", "cat", "mat", "dog"), ("cabinet", "mat", "paris")
ROWS = [
    {
        "id": f"m{i:02}",
        "text": f"the {subject} to the {attractor}",
        "correct": " are" if subject in ("keys", "cat") else " is",
        "incorrect": " is" if subject in ("keys", "cat") else " are",
        "group": subject,
        "labels": {"attractor": attractor},
    }
    for i, (subject, attractor) in enumerate((s, a) for s in SUBJECTS for a in ATTRACTORS)
]


class Interpreted(Workspace):
    """A workspace of these prompts, four positions kept. What a test changes it must set right again."""

    def write_rows(self, rows: list[dict]) -> None:
        """Write the prompts file."""
        self.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def interpret(self, *words: object) -> None:
        """Build `interpretation` in a process of its own."""
        command = ("build", "interpretation", *self.selection, *words)
        outcome = run_process(*command, python=(str(ROOT / "cli.py"),))
        assert outcome.code == 0, outcome.err

    def open(self, phase: str = "interpretation", **how: object) -> xr.Dataset:
        """What `cs.open` gives."""
        return cs.open(phase, behaviour=BEHAVIOUR, store=self.store, profile=PROFILE, **how)


@pytest.fixture(scope="session")
def interpreted(tmp_path_factory) -> Interpreted:
    """The workspace, with `interpretation` built."""
    return shared(tmp_path_factory, "interpreted", Interpreted, build_interpretation)


def build_interpretation(made: Interpreted) -> None:
    """Write the profile and the prompts, and build `interpretation` and all it needs."""
    made.profile.write_text(made.profile.read_text().replace("positions = 0", "positions = 4"))
    made.write_rows(ROWS)
    made.interpret()
