"""Commands that look, and what they say to words that they do not know."""

from __future__ import annotations

import shutil

import pytest
from workspace import BEHAVIOUR, PROFILE, one_line_error, run

from circuitstore.command.inspect import outline


@pytest.mark.parametrize(
    "words", [("--phase", "nope"), ("-b", "nope"), ("--phase", "nope", "-b", BEHAVIOUR)], ids=" ".join
)
def test_log_refuses_names_that_nobody_knows(built_once, words):
    """Printing nothing would say that nothing was computed."""
    error = one_line_error(run("log", "--store", built_once.store, *words), code=2)
    assert "'nope'" in error and "expected one of" in error


@pytest.mark.parametrize("words", [("--phase", "figures"), ("-b", "capital")], ids=" ".join)
def test_log_of_what_was_not_computed_is_empty(built_once, words):
    """A phase and a behaviour that there are, but not in this store."""
    outcome = run("log", "--store", built_once.store, *words)
    assert (outcome.code, outcome.out) == (0, "")


@pytest.mark.parametrize("command", ["build", "explain"])
@pytest.mark.parametrize("phase", ["attribute", "intervene", "generate"])
@pytest.mark.parametrize("words", [(), ("-b", "plural")], ids=["all", "plural"])
def test_a_phase_of_one_text_is_asked_for_by_its_command(tmp_path, command, phase, words):
    """It has no text otherwise. The error says which command that is."""
    error = one_line_error(run(command, phase, *words, "--store", tmp_path / "store"), code=2)
    assert f"circuitstore {'attribute' if phase == 'attribute' else 'intervene'} TEXT" in error


def test_export_of_what_is_about_no_behaviour_refuses_one(built_once, tmp_path):
    """A build of it for that behaviour, which would be advised otherwise, is refused too."""
    words = ("export", "transcoders", tmp_path / "out", "-b", "plural", "--store", built_once.store)
    error = one_line_error(run(*words), code=2)
    assert "no behaviour" in error and "circuitstore build" not in error


def test_plan_takes_the_options_of_build(built_once, tmp_path):
    """With the store comes how much room there is, also where one will be; what is no store is refused."""
    for store in (built_once.store, tmp_path / "later" / "store"):
        outcome = run("plan", "attribution", *built_once.selection[:-1], store)
        assert outcome.code == 0, outcome.err
        (line,) = (line for line in outcome.out.splitlines() if line.startswith("store "))
        assert " of " in line and " free there" in line
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    outcome = run("plan", "attribution", *built_once.selection[:-1], tmp_path / "other")
    assert "name another with --store" in one_line_error(outcome, code=1)


def test_a_summary_is_printed_for_people():
    """Numbers side by side, tables by their length, nothing of what is empty; no line is endless."""
    rows = [{"size": size, "effect": {"value": 0.5, "low": 0.25, "high": 0.75}} for size in range(50)]
    interval = {"value": 1 / 3, "low": 0.0, "high": 1.0}
    summary = {"prompts": 12, "gate": "", "test": {"accuracy": interval, "controls": rows, "n": 4}}
    assert list(outline(summary)) == [
        "prompts: 12",
        "test:",
        "    accuracy: value 0.333333, low 0, high 1",
        "    controls: 50 rows (--json prints them)",
        "    n: 4",
    ]


def test_what_verify_set_aside_is_not_named_again(workspace):
    """It was named when it was found. What is gone without a trace is named until it is built."""
    (name,) = workspace.artifact("attribution").objects
    folder = workspace.store / "objects" / name[:2] / name
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name != "MANIFEST.json"]:
        path.write_bytes(b"")
    first, second = workspace.verify(), workspace.verify()
    assert (first.code, len(first.json["damaged"])) == (1, 1) and first.json["damaged"][0]["quarantined"]
    assert (second.code, second.json["damaged"]) == (0, [])
    assert workspace.build().computed == {"attribution": 3}
    shutil.rmtree(folder)
    shutil.rmtree(workspace.store / "quarantine")
    for _ in range(2):
        assert [damage["problem"] for damage in workspace.verify().json["damaged"]] == ["no such object"]


def test_show_prints_no_endless_line(built_once):
    """Of a phase with a summary."""
    where = ("--profile", built_once.profile, "--store", built_once.store, "-b", BEHAVIOUR)
    outcome = run("show", "features", *where)
    assert outcome.code == 0 and "explained_variance" in outcome.out
    assert max(map(len, outcome.out.splitlines())) < 250
    assert PROFILE in str(built_once.profile)
