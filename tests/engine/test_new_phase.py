"""Adding a phase is what CONTRIBUTING.md says it is, and every command then knows the new phase."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from workspace import BEHAVIOUR, ROOT, TEXTS, Outcome, Workspace, run_process

from circuitstore.command import Commands

PHASE = '''
"""Phase `lengths`: how long each prompt is."""

from __future__ import annotations

import numpy as np
import xarray as xr


def lengths(cells, config, prompts):
    """Yield one dataset for each prompt: n_tokens, in units of `config.unit` tokens, int32."""
    for cell in cells:
        tokens = prompts.one(cell).tokens
        yield cell, xr.Dataset({"n_tokens": ((), np.int32(tokens.size // config.unit))})
'''
STRUCT = '''

class Lengths(Section, frozen=True):
    """In which unit lengths are counted."""

    unit: Count = 1
'''
LINE = '    Task("lengths", phases.Lengths, needs=("prompts",), per=("prompt",)),\n)\n\n# Built only'
WORDS = {  # command → its words, for the phase `lengths`
    "build": ["lengths", "--json"],
    "plan": ["lengths", "--json"],
    "profile": [],
    "status": ["--json"],
    "explain": ["lengths", "--json"],
    "show": ["lengths", "--json"],
    "log": ["--phase", "lengths", "--json"],
    "verify": ["--deep", "--json"],
    "adopt": ["lengths", "--check", "1", "--json"],
    "gc": ["--json"],
    "du": ["--json"],
    "attribute": [],
    "intervene": [],
    "attention": [],
    "audit": [],
    "view": [],
    "review": [],
    "export": [],
    "diff": [],
    "tag": ["--list", "--json"],
    "push": [],
    "pull": [],
    "update": ["--json"],
}
SELECTING = {"build", "plan", "status", "explain", "adopt"}


class Extended:
    """A copy of the code with one phase more, and a workspace in which it is built."""

    def __init__(self, tree: Path, work: Workspace):
        self.tree, self.work = tree, work
        (tree / "tasks" / "lengths.py").write_text(PHASE)
        with (tree / "tasks" / "settings" / "phases.py").open("a") as file:
            file.write(STRUCT)
        contents = tree / "tasks" / "__init__.py"
        text = contents.read_text()
        assert text.count(")\n\n# Built only when asked for by name. A graph beside") == 1
        contents.write_text(text.replace(")\n\n# Built only", LINE, 1))

    def __call__(self, command: str, *words: object) -> Outcome:
        return run_process(command, *words, tree=self.tree)


@pytest.fixture(scope="module")
def extended(pristine_tree, tmp_path_factory):
    """The new phase, built for three prompts."""
    import shutil

    folder = tmp_path_factory.mktemp("extended")
    made = Extended(Path(shutil.copytree(pristine_tree, folder / "tree")), Workspace.create(folder / "work"))
    outcome = made("build", "lengths", *made.work.selection, "--json")
    assert outcome.code == 0, outcome.err
    return made


def words_of(extended: Extended, command: str) -> list[object]:
    work = extended.work
    plain = ["--profile", work.profile, "--store", work.store]
    if command == "plan":
        return [*WORDS[command], *work.selection[:-2]]
    if command in SELECTING:
        return [*WORDS[command], *work.selection]
    given = {
        "profile": ["show", "--profile", work.profile, "--json"],
        "show": [*WORDS["show"], "-b", BEHAVIOUR, *plain],
        "attribute": [TEXTS["a"], *plain, "--json"],
        "intervene": [TEXTS["a"], "-f", "1/2/3=4", *plain, "--json"],
        "attention": [TEXTS["a"], "--head", "1/2/3/1", *plain, "--json"],
        "audit": [work.prompts, *plain, "--set", "audit.graphs=1", "--json"],
        "view": ["--help"],
        "review": ["--help"],
        "export": ["--help"],
        "diff": ["--help"],
        "push": ["--help"],
        "pull": ["--help"],
        "update": [*WORDS["update"], *plain],
    }
    return given.get(command, [*WORDS[command], "--store", work.store])


def test_every_command_is_tried():
    """A new command needs words here."""
    assert set(WORDS) == set(Commands.homes)


@pytest.mark.parametrize("command", WORDS)
def test_commands_know_the_new_phase(extended, command):
    """None ends in a traceback, and none needs to be told of the phase."""
    outcome = extended(command, *words_of(extended, command))
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    if command in ("build", "plan", "status", "explain", "log"):
        assert "lengths" in outcome.out


def test_what_the_new_phase_costs_is_unknown(extended):
    """`plan` says so in its row and in its totals; the costs of the other phases are known."""
    rows = {
        row["phase"]: row for row in json.loads(extended("plan", *words_of(extended, "plan")).out)["phases"]
    }
    assert rows["lengths"]["seconds"] is None and rows["lengths"]["cells"] is None
    assert rows["prompts"]["seconds"] is not None
    everything = extended("plan", *extended.work.selection[:-2])
    assert everything.code == 0 and re.search(r"^lengths +mine +unknown", everything.out, re.MULTILINE)


def test_a_setting_of_the_new_phase_can_be_set(extended):
    """By --set, with a value of the right type; a wrong one and an unknown field are told."""
    selection = [*extended.work.selection, "--json"]
    assert extended("build", "lengths", *selection, "--set", "lengths.unit=2").computed_of("lengths") == 3
    assert extended("build", "lengths", *selection).computed_of("lengths") == 0
    for wrong in ("lengths.unit=0", "lengths.units=2"):
        assert extended("build", "lengths", *selection, "--set", wrong).code == 2


def test_contributing_says_the_same():
    """One file, one struct, one entry."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for words in ("one file", "one struct", "one entry", "tasks/settings/phases.py"):
        assert words in text.lower()
