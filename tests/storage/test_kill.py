"""A build that is killed, interrupted or doubled at any moment leaves a store that opens, verifies and
resumes.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from faults import DIE, INTERRUPT, changes
from workspace import PHASES, TEXTS, Workspace, small_batches

from circuitstore.storage.actions import journals
from circuitstore.storage.layout import Store

SEED = 789
PRELOADED = [
    "torch",
    "transformers.models.qwen3.modeling_qwen3",
    "xarray",
    "zarr",
]  # no module of circuitstore: a build loads those itself


def build_in_child(root: Path, moment: int, what: int) -> None:
    """A whole build in a process of its own; at the `moment`-th change to the store it is killed or
    interrupted.
    """
    small_batches(pytest.MonkeyPatch())
    workspace = Workspace(root)
    with changes(workspace.store, fail_from=moment, errno=what):
        outcome = workspace.build()
    (root / "stderr").write_text(outcome.err)
    sys.exit(outcome.code)


@pytest.fixture(scope="module")
def processes():
    """A source of processes that start quickly: each is forked from one that has imported torch and nothing
    of this project.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Workspace, int, float]:
    """A workspace built without disturbance, how often the store was changed, and the seconds it took."""
    made = Workspace.create(tmp_path_factory.mktemp("undisturbed"))
    with pytest.MonkeyPatch.context() as patch, changes(made.store) as counted:
        small_batches(patch)
        assert made.build().code == 0
        made.store.rename(
            made.root / "first"
        )  # the second build has the model in memory, as fast as a build can be
        counted.seen, started = 0, time.monotonic()
        assert made.build().code == 0
    return made, counted.seen, time.monotonic() - started


def start(processes, root: Path, moment: int = 0, what: int = 0):
    process = processes.Process(target=build_in_child, args=(root, moment, what))
    process.start()
    return process


def assert_sound(workspace: Workspace) -> None:
    """The store opens and nothing in it is damaged; or it was not made yet."""
    if (workspace.store / "format.json").exists():
        verified = workspace.verify()
        assert verified.code == 0 and verified.json["damaged"] == [], verified.out


def assert_finished(workspace: Workspace, undisturbed: Workspace) -> None:
    """After one more build everything is there, as it would be without any disturbance, and no cell was
    committed twice.
    """
    outcome = workspace.build()
    assert outcome.code == 0, outcome.err
    assert workspace.contents() == undisturbed.contents()
    assert_sound(workspace)
    for phase in PHASES[1:]:
        committed = Counter(
            cell.key for journal in journals(Store(workspace.store), phase) for cell in journal.cells
        )
        assert set(committed.values()) == {1}


def kill_repeatedly(tmp_path: Path, undisturbed: Workspace, kills: int, disturb) -> None:
    """Kill builds of one store until it is complete, then of another one, `kills` times in all."""
    workspace = Workspace.create(tmp_path / "0")
    for kill in range(1, kills + 1):
        killed = disturb(workspace)
        assert_sound(workspace)
        if not killed or kill == kills:
            assert_finished(workspace, undisturbed)
            workspace = Workspace.create(tmp_path / str(kill))


def test_build_killed_at_a_random_change_resumes(processes, undisturbed, tmp_path):
    """kill -9 at five random changes to the store: each time it verifies, at the end it is complete, and no
    batch ran twice.
    """
    whole, total, _ = undisturbed
    moments = random.Random(SEED)

    def disturb(workspace: Workspace) -> bool:
        process = start(processes, workspace.root, moments.randint(1, total // 2), DIE)
        process.join()
        assert process.exitcode in (0, -9)
        return process.exitcode == -9

    kill_repeatedly(tmp_path, whole, 5, disturb)


@pytest.mark.slow
def test_build_killed_at_fifty_random_moments_resumes(processes, undisturbed, tmp_path):
    """kill -9 from outside at fifty random times: each time it verifies, at the end it is complete, and no
    batch ran twice.
    """
    whole, _, seconds = undisturbed
    times = random.Random(SEED)

    def disturb(workspace: Workspace) -> bool:
        process = start(processes, workspace.root)
        process.join(times.uniform(0, 2 * seconds))
        process.kill()
        process.join()
        return process.exitcode == -9

    kill_repeatedly(tmp_path, whole, 50, disturb)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_interrupted_build_keeps_what_is_finished(processes, undisturbed, tmp_path, share):
    """Ctrl-C: exit code 130, one line that says what to do, and the next build computes only the rest."""
    whole, total, _ = undisturbed
    workspace = Workspace.create(tmp_path)
    process = start(processes, workspace.root, int(share * total), INTERRUPT)
    process.join()
    assert process.exitcode == 130
    message = (workspace.root / "stderr").read_text()
    assert (
        "interrupted: finished batches are kept, the next build resumes" in message
        and "Traceback" not in message
    )
    assert_sound(workspace)
    assert journals(Store(workspace.store), "baseline"), "something was finished"
    assert_finished(workspace, whole)


def test_two_builds_at_once_agree(processes, undisturbed, tmp_path):
    """Two processes build the same into one new store: both succeed, and it holds what either would have made
    alone.
    """
    workspace = Workspace.create(tmp_path)
    both = [start(processes, workspace.root) for _ in range(2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0], (workspace.root / "stderr").read_text()
    assert workspace.build().computed == {}
    assert workspace.contents() == undisturbed[0].contents()
    assert_sound(workspace)
    assert len(workspace.artifact("attribution").cells) == len(TEXTS)
