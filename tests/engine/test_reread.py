"""What is read twice, or kept in memory, is what the key says when the result is filed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from workspace import ROOT, Workspace

from circuitstore.engine import audit, loading
from circuitstore.engine.loading import check_loaded
from circuitstore.engine.territory import Cover
from circuitstore.errors import StaleCodeError
from circuitstore.memo import file_hash

DECLARED = "tasks/costs/devices.toml"  # any file of the package that is no code


def test_a_declared_file_of_a_phase_is_compared_again():
    """Before cells are computed and before they are kept."""
    check_loaded({DECLARED: file_hash(str(ROOT / DECLARED))})
    with pytest.raises(StaleCodeError, match=r"devices\.toml.*the content that the key was made from"):
        check_loaded({DECLARED: "0" * 64})
    with pytest.raises(StaleCodeError, match=r"gone\.toml"):
        check_loaded({"tasks/costs/gone.toml": "0" * 64})


def test_a_declared_file_that_a_function_may_have_kept(monkeypatch):
    """`functools.lru_cache` answers without reading again, so a change needs a new process."""
    path = str(ROOT / DECLARED)
    monkeypatch.setattr(audit, "_remembered", {})
    cover = Cover("tasks", set(), [path])
    with audit.watching("prompts", cover) as watch:
        open(path).close()
        watch.check_remembered()
        audit._remembered[path] = "0" * 64  # as if it had been another when it was read
        with pytest.raises(StaleCodeError, match="restart this process"):
            watch.check_remembered()


def test_a_summary_is_computed_by_the_code_of_its_key(built_once, new_workspace, monkeypatch):
    """Also when no cell has to be computed, and this process loaded its code before."""
    work = built_once.copy(new_workspace.root / "copy")
    monkeypatch.setitem(loading._sources, "tasks.baseline", b"OLD = 1")
    outcome = Workspace(work.root).build("--set", "baseline.gate=0.001", phase="baseline")
    assert outcome.code == 1 and "tasks.baseline" in outcome.err and "restart this process" in outcome.err


def test_python_without_assertions_is_refused(new_workspace):
    """`python -O` leaves out code, and no key says so."""
    command = [sys.executable, "-O", "cli.py", "build", "prompts", *map(str, new_workspace.selection)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "the option -O; leave out -O" in done.stderr


def test_own_prompts_may_not_be_called_like_a_behaviour(new_workspace):
    """Their results would take its names."""
    taken = new_workspace.prompts.rename(new_workspace.root / "plural.jsonl")
    new_workspace.prompts = taken
    outcome = new_workspace.build(phase="prompts")
    assert outcome.code == 2 and "which is that of a behaviour" in outcome.err and "rename" in outcome.err
