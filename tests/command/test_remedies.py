"""What an error advises works: the command that it names can be run as it stands."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
from workspace import BEHAVIOUR, ROOT, Workspace, one_line_error, run

import circuitstore as cs
from circuitstore.command import Commands, cli
from circuitstore.errors import CircuitstoreError
from circuitstore.results.find import build_command
from circuitstore.storage.layout import Store

ADVISED = re.compile(r"`circuitstore ([^`]+)`")
SOURCES = [file for top in ("circuitstore", "tasks") for file in sorted((ROOT / top).rglob("*.py"))]


def advised(error: object) -> list[str]:
    """The words of the one command that an error names; FILE is one of the texts to train on."""
    (command,) = ADVISED.findall(str(error))
    return [word.replace("=FILE", f"={ROOT / 'README.md'}") for word in shlex.split(command)]


def plans(words: list[str], workspace: Workspace) -> None:
    """The command that builds something plans it, when nothing is added but that it is only to plan."""
    assert words[0] == "build"
    store = [] if "--store" in words else ["--store", workspace.store]
    outcome = run(*words, *store, "--dry-run", "--json")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("words", "phase"),
    [
        (("show", "circuit", "-b", BEHAVIOUR), "circuit"),
        (("show", "circuit", "-b", "capital"), "circuit"),
        (("export", "figures", "-b", BEHAVIOUR), "figures"),
        (("export", "figures"), "figures"),
        (("export", "transcoders"), "transcoders"),
        (("review", "export", "new.csv", "-b", BEHAVIOUR), "interpretation"),
        (("diff", f"{BEHAVIOUR}/a", "capital/a"), "attribution"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else None,
)
def test_the_command_that_builds_what_is_missing_can_be_run(workspace, monkeypatch, words, phase):
    """Where the prompts file and the profile lie; with profile, prompts and store as they must be typed."""
    monkeypatch.chdir(workspace.root)
    error = one_line_error(run(*words, "--profile", "small.toml", "--store", workspace.store), code=1)
    command = advised(error)
    assert command[1] == phase and "small.toml" in command
    plans(command, workspace)


@pytest.mark.parametrize("profile", ["small", "small.toml"])
def test_a_script_is_advised_alike(workspace, monkeypatch, profile):
    """`cs.open` and `cs.graph` know the profile by its name or by its file."""
    monkeypatch.chdir(workspace.root)
    for ask in (lambda **where: cs.open("circuit", **where), lambda **where: cs.graph("a", **where)):
        with pytest.raises(CircuitstoreError) as raised:
            ask(behaviour="capital", store=workspace.store, profile=profile)
        plans(advised(raised.value), workspace)


def test_the_command_has_the_settings_that_the_rest_was_built_with(workspace, monkeypatch):
    """Else it would build everything anew, with other numbers."""
    monkeypatch.chdir(workspace.root)
    assert workspace.build("--set", "baseline.top_k=3", "--set", "prompts.prepend=pad").code == 0
    for profile in ("small.toml", "small"):
        words = shlex.split(build_command(Store(str(workspace.store)), profile, BEHAVIOUR, "circuit"))
        assert "baseline.top_k=3" in words and "small.toml" in words
    command = build_command(
        Store(str(workspace.store)), "small.toml", BEHAVIOUR, "circuit", "circuit.min_prompts=3"
    )
    words = shlex.split(command)[1:]
    assert {"baseline.top_k=3", "prompts.prepend=pad", "circuit.min_prompts=3"} <= set(words)
    planned = run(*words, "--dry-run", "--json").phases
    assert {planned[phase]["state"] for phase in ("prompts", "baseline", "attribution")} == {"fresh"}


def test_a_store_that_is_not_there(tmp_path, monkeypatch):
    """Is made by the build that is named; `status` says that there is none."""
    words = advised(one_line_error(run("verify", "--store", tmp_path / "store"), code=1))
    assert words == ["build"]
    outcome = run("status", "-b", "plural", "--store", tmp_path / "store")
    assert outcome.code == 0 and "there is no store" in outcome.err


def literals(file: Path) -> set[str]:
    """The texts of a source that are printed, with … for what is put in."""
    tree = ast.parse(file.read_text())
    documented = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if hasattr(node, "body") and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
    }
    texts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.add(
                "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in documented:
            texts.add(node.value)
    return texts


def test_every_command_that_the_code_names_exists():
    """With its options."""
    wrong, seen = [], 0
    for file in SOURCES:
        for text in literals(file):
            for words in (found.split() for found in ADVISED.findall(text)):
                seen += 1
                command = cli.get_command(click.Context(cli), words[0]) if words[0] != "…" else None
                options = {option for each in command.params for option in each.opts} if command else set()
                asked = {word.partition("=")[0] for word in words if word.startswith("-")}
                if words[0] not in (*Commands.homes, "…") or (command and asked - options):
                    wrong.append(f"{file}: {text}")
    assert wrong == [] and seen > 5


MISSPELT = [
    (["bild"], "build"),
    (["profile", "shwo"], "show"),
    (["review", "exprot"], "export"),
    (["build", "atribution"], "attribution"),
    (["explain", "atribution"], "attribution"),
    (["show", "atribution", "-b", "plural"], "attribution"),
    (["show", "prompts", "-b", "plurl"], "plural"),
    (["build", "-b", "plurl"], "plural"),
    (["log", "-b", "plurl"], "plural"),
    (["log", "--phase", "atribution"], "attribution"),
    (["build", "--profile", "tinny"], "tiny"),
    (["profile", "show", "--profile", "tinny"], "tiny"),
    (["build", "--set", "baselin.gate=1"], "baseline"),
    (["build", "--set", "baseline.gat=1"], "gate"),
    (["build", "--set", "figures.style=papr"], "paper"),
    (["build", "--set", 'figures.formats=["pgn"]'], "png"),
    (["export", "graph"], "graphs"),
    (["export", "graphs", "--format", "graphm"], "graphml"),
]


@pytest.mark.parametrize(
    ("words", "meant"), MISSPELT, ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_a_name_that_is_nearly_right_is_guessed(built_once, words, meant):
    """Whatever kind of name it is. All names that there are stand before the guess."""
    store = [] if words in (["bild"],) or words[0] in ("profile", "review") else ["--store", built_once.store]
    error = one_line_error(run(*words, *store), code=2)
    assert f"did you mean {meant}?" in error and "expected " in error
    assert meant in error.partition("expected ")[2].partition("did you mean")[0]
    assert "…" not in error.partition("did you mean")[0]


@pytest.mark.parametrize(
    "words", [words for words, _ in MISSPELT if words[0] in ("build", "explain", "show", "log")], ids=" ".join
)
def test_errors_as_json(built_once, words):
    """The same error in parts, on standard output, beside the line for people."""
    outcome = run(*words, "--store", built_once.store, "--json")
    told = outcome.json["error"]
    assert one_line_error(outcome, code=2) == f"error: {told['message']}"
    assert told["kind"] == "UsageError" and told["message"].startswith(told["where"])
    assert told["expected"] in told["message"] and told["remedy"] in told["message"]


def test_a_failed_build_has_its_error_beside_its_phases(new_workspace):
    """One JSON value in all."""
    outcome = new_workspace.build("--set", "baseline.gate=0.99")
    assert [row["phase"] for row in outcome.json["phases"]] == ["prompts", "baseline"]
    assert outcome.json["error"]["kind"] == "GateError" and outcome.code == 1
    wrong = run("status", "--jso", "--json")
    assert wrong.code == 2 and "--jso" in wrong.json["error"]["message"]
