"""A transfer that breaks off at any moment leaves nothing half there, and the next one ends it."""

from __future__ import annotations

import errno
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults import DIE, changes
from places import address, empty, failing, pull, push, sound
from workspace import PHASES, Outcome, Workspace, run

from circuitstore.storage import remote_push
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import intact
from circuitstore.storage.remote_work import Failed, Wanted

PHASE = "prompts"


@pytest.fixture
def other(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with the same prompts and no store."""
    return empty(workspace, tmp_path / "other")


@pytest.mark.parametrize("kind", ["bucket", "host"])
def test_a_push_whose_line_is_cut_at_any_call(workspace, tmp_path, kind):
    """Whatever came through can be pulled and is whole; the second push sends the rest."""

    def cut(moment: int, url: str) -> tuple[Outcome, int]:
        """A push whose calls fail from a moment on, and how many there were."""
        host = "" if kind == "bucket" else url
        with failing(moment, host) as faulty:
            return push(workspace, "memory://host" if host else url, PHASE, "--with-inputs"), faulty[0].calls

    def new() -> str:
        return address("memory" if kind == "bucket" else "folder", tmp_path)

    undisturbed, calls = cut(0, new())
    assert undisturbed.code == 0, undisturbed.err
    assert calls > 8
    seen = set()
    for moment in range(1, calls + 1):
        url = new()
        broken, _ = cut(moment, url)
        assert broken.code == 1 and "the line is cut" in broken.err, (moment, broken)
        other = empty(workspace, tmp_path / f"other-{moment}")
        between = pull(other, url)
        seen.add(between.code)
        if other.store.exists():
            assert other.verify().json["damaged"] == []
        assert cut(0, url)[0].code == 0, moment
        assert pull(other, url).code == 0, moment
        assert sound(other, (PHASE,)) == workspace.contents((PHASE,))
    assert seen == {0, 1}


def test_a_pull_whose_line_is_cut_at_any_call(workspace, other, tmp_path):
    """The error names the place; the second pull ends it."""
    url = address("memory", tmp_path)
    push(workspace, url, PHASE, "--with-inputs")
    with failing() as counted:
        assert pull(other, url).code == 0
    for moment in range(1, counted[0].calls + 1):
        third = empty(workspace, tmp_path / f"third-{moment}")
        with failing(moment):
            cut = pull(third, url)
        assert cut.code == 1 and "the line is cut" in cut.err and url in cut.err, (moment, cut)
        if third.store.exists():
            assert third.verify("--deep").json["damaged"] == []
        assert pull(third, url).code == 0
        assert sound(third, (PHASE,)) == workspace.contents((PHASE,))


def test_a_full_disk_while_pulling(workspace, other, tmp_path):
    """The error says so; what was published stays, and the next pull ends it."""
    url = address("memory", tmp_path)
    push(workspace, url)
    with changes(other.store) as counted:
        pull(other, url)
    codes = []
    for moment in range(1, counted.seen, max(1, counted.seen // 6)):
        third = empty(workspace, tmp_path / f"full-{moment}")
        with changes(third.store, fail_from=moment, errno=errno.ENOSPC):
            full = pull(third, url)
        # What fails last is only the tidying up.
        assert full.code == 0 or "No space left" in full.err, (moment, full)
        codes.append(full.code)
        again = pull(third, url)
        assert again.code == 0, (moment, again.json["failed"], again.err)
        assert sound(third) == workspace.contents()
    assert codes.count(1) >= 5


def _transfer(root: str, moment: int, words: tuple[str, ...], watched: str) -> None:
    with changes(Path(watched), fail_from=moment, errno=DIE):
        sys.exit(run(*words).code)


def test_a_transfer_that_is_killed(workspace, tmp_path):
    """kill -9 at moments from the first change to the last, of a push to a folder and of a pull from one."""
    context = multiprocessing.get_context("fork")
    for kind in ("push", "pull"):
        killed = 0
        for moment in (1, 4, 12, 30, 60):
            target = tmp_path / f"{kind}-{moment}"
            target.mkdir()
            made = Workspace(target)
            words = {
                "push": ("push", str(made.store), "--store", str(workspace.store)),
                "pull": ("pull", str(workspace.store), "--store", str(made.store)),
            }[kind]
            process = context.Process(target=_transfer, args=("", moment, words, str(made.store)))
            process.start()
            process.join(120)
            killed += process.exitcode == -9
            if (made.store / "format.json").exists():
                assert made.verify("--deep").json["damaged"] == [], (kind, moment)
            assert run(*words).code == 0
            assert sound(made) == workspace.contents()
        assert killed > 2


def test_two_who_push_at_once(workspace, tmp_path):
    """Into a folder and into a bucket: everything of both is there."""
    far = workspace.copy(tmp_path / "far")
    far.write_prompts({"e": "the cat is w17", "f": "the dogs"})
    assert far.build(phase="features").code == 0
    for kind in ("folder", "memory"):
        url = address(kind, tmp_path)
        with ThreadPoolExecutor(4) as pool:
            every = [workspace.store, far.store] * 2
            assert list(pool.map(_failures_of_a_push, every, [url] * 4)) == [[]] * 4
        third = empty(workspace, tmp_path / f"third-{kind}")
        pull(third, url)
        sound(third)
        for each in (workspace, far):
            for phase in ("prompts", "features"):
                artifact = each.artifact(phase)
                copy = Store(url) if kind == "folder" else Store(third.store)
                if kind == "folder" or third.artifact(phase).key == artifact.key:
                    assert all(intact(copy, name) for name in artifact.objects)
        assert set(third.contents(PHASES)) == set(PHASES)


def _failures_of_a_push(store: Path, url: str) -> list[Failed]:
    return remote_push.push(Store(store), url, Wanted()).failed
