"""Closed, full and broken standard streams, and arguments that are no text: a clear end, and nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from workspace import ROOT, Outcome, Workspace, one_line_error

CLOSE_STDIN_AND_STDERR, CLOSE_STDOUT = "0<&- 2>&-", ">&-"


def command(*words: object, redirect: str = "", **variables: str) -> Outcome:
    """One command in a process of its own, by a shell."""
    script = f'exec "$@" {redirect}'
    done = subprocess.run(
        ["bash", "-c", script, "bash", sys.executable, str(ROOT / "cli.py"), *words],
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
    )
    return Outcome(
        done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )


@pytest.mark.parametrize("redirect", [CLOSE_STDIN_AND_STDERR, "2>/dev/full", "2>&1 >/dev/null | true"])
def test_a_build_whose_messages_nobody_reads(new_workspace: Workspace, redirect):
    """It goes on to its end: everything is there and intact afterwards."""
    if "|" in redirect:  # a reader that has gone before the first message
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "cli.py", "build", "baseline", *map(str, new_workspace.selection)],
            cwd=ROOT,
            stderr=writing,
            check=False,
        )
        code = done.returncode
    else:
        code = command("build", "baseline", *new_workspace.selection, redirect=redirect).code
    assert code == 0
    assert new_workspace.build(phase="baseline").computed == {}
    assert new_workspace.verify("--deep").json["damaged"] == []


@pytest.mark.parametrize("redirect", [">/dev/full", CLOSE_STDOUT])
@pytest.mark.parametrize("words", ["status", "show baseline", "log", "build prompts --json"])
def test_output_that_cannot_be_written_is_an_error(workspace: Workspace, redirect, words):
    """One line that names standard output, exit code 1."""
    name, *more = words.split()
    selection = workspace.selection
    if name == "show":
        selection = ["-b", "mine", "--profile", workspace.profile, "--store", workspace.store]
    if name == "log":
        selection = ["--store", workspace.store]
    outcome = command(name, *more, *selection, redirect=redirect)
    assert "standard output" in one_line_error(outcome, code=1)


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        ([b"--set", b"baseline.gate=\xff"], {}),
        ([b"--set", b"figures.style=\xff"], {}),
        ([b"--store", b"/tmp/\xff"], {}),
        ([b"--profile", b"\xff.toml"], {}),
        ([], {"CIRCUITSTORE_STORE": os.fsdecode(b"/tmp/\xff")}),
    ],
)
def test_what_is_no_text_is_refused_at_once(words, variables):
    """A byte that is not UTF-8 in a setting, a path or a variable: wrong usage, in one line."""
    assert "UTF-8" in one_line_error(command("build", "prompts", *words, **variables), code=2)


def test_a_folder_whose_name_is_no_text(tmp_path):
    """Nor can a command be run from inside such a folder, or from one that is gone."""
    for name, words in ((b"\xff", "UTF-8"), (b"gone", "working directory")):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        leave = b"rmdir " + folder + b"; " if name == b"gone" else b""
        script = b"cd " + folder + b" && " + leave + os.fsencode(f"{sys.executable} {ROOT / 'cli.py'} status")
        done = subprocess.run([b"bash", b"-c", script], capture_output=True, check=False)
        outcome = Outcome(done.returncode, "", done.stderr.decode(errors="replace"))
        assert words in one_line_error(outcome, code=2)
