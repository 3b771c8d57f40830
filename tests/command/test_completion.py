"""What Tab offers, by click's own machinery for shells."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete
from workspace import BEHAVIOUR, PIPELINE, ROOT, TEXTS, run

from circuitstore.command import cli


def offered(*words: str, incomplete: str = "") -> dict[str, str]:
    """Value → kind of each completion of a command line."""
    complete = ShellComplete(cli, {}, "circuitstore", "_CIRCUITSTORE_COMPLETE")
    return {item.value: item.type for item in complete.get_completions(list(words), incomplete)}


@pytest.mark.parametrize("command", ["build", "plan", "explain"])
def test_phases(command):
    """All phases, or those that begin with what is typed."""
    assert list(offered(command)) == [task.name for task in PIPELINE.every]
    assert list(offered(command, incomplete="attribut")) == ["attribution", "attribute"]


def test_a_phase_is_offered_once():
    """One that is named already is not offered again."""
    assert "attribution" not in offered("build", "attribution", incomplete="attribut")


@pytest.mark.parametrize("command", ["build", "status", "explain", "show", "log", "export"])
def test_behaviours(command, workspace, monkeypatch):
    """Those that come built in, and what the store has of a user's own prompts; no single text."""
    where = ("--profile", workspace.profile, "--store", workspace.store)
    assert run("attribute", TEXTS["a"], *where).code == 0
    monkeypatch.setenv("CIRCUITSTORE_STORE", str(workspace.store))
    assert {"plural", "capital", "antonym", "addition", BEHAVIOUR} == set(offered(command, "-b"))
    assert list(offered(command, "--behaviour", incomplete="plu")) == ["plural"]
    monkeypatch.setenv("CIRCUITSTORE_STORE", str(workspace.root / "nothing"))
    assert BEHAVIOUR not in offered(command, "-b")


def test_profiles_and_files():
    """A profile by name, else a file; a store is a folder."""
    assert set(offered("build", "--profile", incomplete="t")) == {"tiny"}
    assert offered("build", "--profile", incomplete="./my") == {"./my": "file"}
    assert offered("build", "--prompts", incomplete="my") == {"my": "file"}
    assert offered("build", "--store", incomplete="s") == {"s": "dir"}
    assert list(offered("export")) == [*PIPELINE.serves.exports, "arrays"]


def test_the_command_answers_a_shell():
    """As docs/reference.md says: the script for bash, and the answer to one question of it."""
    asked = {"COMP_WORDS": "circuitstore build attr", "COMP_CWORD": "2"}
    for question, answer in (
        ("bash_source", "_circuitstore_completion"),
        ("bash_complete", "plain,attribution"),
    ):
        done = subprocess.run(
            [sys.executable, "cli.py"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "_CIRCUITSTORE_COMPLETE": question, **asked},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer in done.stdout and done.returncode in (0, 1), done.stderr
