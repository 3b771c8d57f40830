"""SIGTERM, SIGHUP and Ctrl-C end a build alike: finished cells are kept, and no worker process stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from processes import alive, children
from workspace import ROOT, Workspace

PROMPTS = 24
BUILD = """
import sys
import pytest
from workspace import small_batches
from circuitstore.command import main
small_batches(pytest.MonkeyPatch())
sys.exit(main())
"""


@pytest.fixture(scope="module")
def before_graphs(tmp_path_factory) -> Workspace:
    """Enough prompts for a dozen small batches of graphs, with all before the graphs built."""
    made = Workspace.create(tmp_path_factory.mktemp("many"))
    made.write_prompts({f"p{i}": f"the keys to the w{i} and the cat on the mat" for i in range(PROMPTS)})
    for phase in ("baseline", "features"):
        assert made.build(phase=phase).code == 0
    return made


@pytest.fixture
def many(before_graphs, tmp_path) -> Workspace:
    return before_graphs.copy(tmp_path / "many")


def start(workspace: Workspace, *more: str, ignored: int = 0) -> subprocess.Popen[str]:
    """A build of graphs in a process of its own, with signals as a terminal's shell leaves them."""

    def as_in_a_shell() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if ignored:
            signal.signal(ignored, signal.SIG_IGN)

    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, "build", "attribution", *map(str, workspace.selection), *more],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_in_a_shell,
    )


def journals(workspace: Workspace) -> int:
    """How many batches of graphs are committed."""
    return len(list((workspace.store / "actions" / "attribution").glob("*.json")))


def wait_for_graphs(process: subprocess.Popen[str], workspace: Workspace) -> None:
    """Wait until the first batch is committed."""
    while not journals(workspace):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def end(workspace: Workspace, number: int, *more: str) -> tuple[int, str, list[int]]:
    """Send a signal once the first graphs are committed: exit code, messages, and processes that stayed."""
    process = start(workspace, *more)
    wait_for_graphs(process, workspace)
    workers = children(process.pid)
    assert workers or not more
    process.send_signal(number)
    _, messages = process.communicate(timeout=60)
    deadline = time.monotonic() + 5
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return process.returncode, messages, [worker for worker in workers if alive(worker)]


@pytest.mark.parametrize(
    ("jobs", "number", "code"),
    [
        (2, signal.SIGTERM, 143),
        pytest.param(1, signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(2, signal.SIGHUP, 129, marks=pytest.mark.slow),
        pytest.param(2, signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_build_that_is_told_to_end(many, jobs, number, code):
    """Exit code 128 + number, one line, no worker left; the next build computes only the rest."""
    ended, messages, stayed = end(many, number, *(["--jobs", str(jobs)] if jobs > 1 else []))
    assert (ended, stayed) == (code, []), messages
    assert messages.splitlines()[-1] == "interrupted: finished batches are kept, the next build resumes"
    assert "Traceback" not in messages and "Error" not in messages
    assert many.verify().json["damaged"] == []
    again = many.build()
    assert again.code == 0, again.err
    assert set(again.computed) <= {"attribution"} and again.phases["attribution"]["hits"] >= 2


@pytest.mark.slow
def test_a_signal_that_is_ignored_stays_ignored(many):
    """`nohup` starts a process that outlives its terminal."""
    process = start(many, ignored=signal.SIGHUP)
    wait_for_graphs(process, many)
    os.kill(process.pid, signal.SIGHUP)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 0, messages


@pytest.mark.slow
def test_a_worker_told_to_end_commits_what_is_finished(many):
    """SLURM sends the signal to all processes at once: workers commit finished cells of their batch too."""
    process = start(many, "--jobs", "2")
    wait_for_graphs(process, many)
    for each in [process.pid, *children(process.pid)]:
        os.kill(each, signal.SIGTERM)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in messages, messages
    assert many.verify().json["damaged"] == []
    assert many.build().phases["attribution"]["hits"] >= 2


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGHUP)),
    ],
    ids=lambda n: n.name,
)
def test_no_worker_outlives_a_build(many, number):
    """However the build itself ends: its workers are gone seconds later."""
    process = start(many, "--jobs", "2")
    wait_for_graphs(process, many)
    workers = children(process.pid)
    assert len(workers) >= 2
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [worker for worker in workers if alive(worker)] == []
    assert many.verify().json["damaged"] == []
