"""Users who share a store: two accounts with other umasks, on two hosts with networks of their own.

A user may not be able to read this interpreter's own files. So each process loads all modules by a build in a
store of its own, and only then becomes another user on another host.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workspace import ROOT

GROUP, ANN, BEN = 54000, 54001, 54002
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")
COMMON = (0, 1, 2, 3)  # items that are edited when both build the same
SCRIPT = """
import ctypes, json, os, socket, sys
from pathlib import Path
from bench.plain_phases import Items, build_plain
from circuitstore.errors import CircuitstoreError
from circuitstore.storage.gc import collect
from circuitstore.storage.layout import Store
from circuitstore.storage.remote import place
from circuitstore.storage.remote_pull import pull
from circuitstore.storage.remote_work import Wanted
from circuitstore.storage.verify import verify

top, user, group, umask, steps = Path(sys.argv[1]), *map(int, sys.argv[2:5]), json.loads(sys.argv[5])
own = top / str(user)

def build(store, edited, count=8):
    done = build_plain(own / "source", store, Items(count, tuple(edited)), 2)
    return sum(each.computed for each in done.values())

def act(store, kind, *arguments):
    try:
        if kind == "verify":
            return len(verify(Store(store), deep=True).damaged)
        if kind == "gc":
            return collect(Store(store), grace=0).files > 0
        if kind == "pull":
            report = pull(Store(own / arguments[0]).check_or_new(), place(str(top / arguments[1])), Wanted())
            return [len(report.refs), len(report.failed)]
        return build(store, *arguments)
    except CircuitstoreError as error:
        return str(error)

scratch = own / f"scratch-{os.getpid()}"  # a new one, or there would be nothing to build and to load
pulled = "pull", f"{scratch.name}-pulled", f"{user}/{scratch.name}"
for step in (("build", ()), pulled, ("build", (1,)), ("verify",), ("gc",)):
    if isinstance(told := act(scratch, *step), str):
        sys.exit(told)
if ctypes.CDLL(None, use_errno=True).unshare(0x04000000 | 0x40000000):  # host name and network
    sys.exit(os.strerror(ctypes.get_errno()))
socket.sethostname(f"host-{user}")
os.setgroups([group]); os.setgid(user); os.setuid(user)
os.umask(umask)
print(json.dumps([act(top / "store", *step) for step in steps]))
"""


class Shared:
    """A folder for a store, and what two users do there."""

    def __init__(self, top: Path, mode: int):
        self.top, self.store = top, top / "store"
        self.store.mkdir()
        os.chown(self.store, ANN, GROUP)
        self.store.chmod(mode)
        for user in (ANN, BEN):
            (top / str(user)).mkdir()
            os.chown(top / str(user), user, user)

    def start(self, user: int, umask: int, *steps: tuple[Any, ...]) -> subprocess.Popen[str]:
        words = [str(self.top), str(user), str(GROUP), str(umask), json.dumps(steps)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *words],
            env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def act(self, user: int, umask: int, *steps: tuple[Any, ...]) -> list[Any]:
        """What each step gives: how many cells were computed, are damaged, or what the error says."""
        return results(self.start(user, umask, *steps))


def results(process: subprocess.Popen[str]) -> list[Any]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found: list[Any] = json.loads(out)
    return found


@pytest.fixture
def shared(request) -> Iterator[Shared]:
    """A place that every user may reach, unlike pytest's."""
    top = Path(tempfile.mkdtemp(prefix="users-"))
    top.chmod(0o755)
    yield Shared(top, request.param)
    shutil.rmtree(top)


MODES = {"group": 0o2770, "no setgid": 0o775}


@pytest.mark.parametrize("shared", MODES.values(), ids=MODES, indirect=True)
def test_one_builds_and_the_other_gets_all_hits(shared):
    """Ben adds to what Ann built with a private umask, Ann takes it, and either may verify and delete."""
    assert shared.act(ANN, 0o077, ("build", [])) == [16]
    assert shared.act(BEN, 0o022, ("build", []), ("build", [3]), ("verify",)) == [0, 2, 0]
    steps = ("build", [3]), ("build", [5]), ("gc",), ("verify",)
    assert shared.act(ANN, 0o077, *steps) == [0, 2, True, 0]
    assert shared.act(BEN, 0o077, ("build", [5])) == [0]
    mode = stat.S_IMODE(shared.store.stat().st_mode)
    for path in shared.store.rglob("*"):
        status = path.stat()
        expected = (mode if path.is_dir() else mode & 0o666) & 0o777
        assert (status.st_gid, stat.S_IMODE(status.st_mode) & 0o777) == (GROUP, expected), path


@pytest.mark.parametrize("shared", [0o2770], indirect=True)
def test_both_at_once_on_two_hosts(shared):
    """Both edit other items at the same time; then each has the cells of the other."""
    assert shared.act(ANN, 0o077, ("build", [])) == [16]
    both = [shared.start(user, 0o077, ("build", [item])) for user, item in ((ANN, 1), (BEN, 6))]
    assert [results(process) for process in both] == [[2], [2]]
    assert shared.act(ANN, 0o077, ("build", [6])) == shared.act(BEN, 0o077, ("build", [1])) == [0]


@pytest.mark.parametrize("shared", [0o2770], indirect=True)
def test_what_one_may_not_read_stays_where_it_is(shared):
    """Records and data that their owner closed are no damage: `verify` names them and moves nothing."""
    assert shared.act(ANN, 0o077, ("build", [])) == [16]
    first, *_, last = sorted(shared.store.glob("objects/*/*"))
    records = ("refs/*/*/*.json", "artifacts/*.json", "actions/*/*.json")
    closed = [next(shared.store.glob(pattern)) for pattern in records]
    closed += [first / "MANIFEST.json", next(path for path in last.rglob("c/*") if path.is_file())]
    for path in closed:
        path.chmod(0o600)
    (damaged,) = shared.act(BEN, 0o077, ("verify",))
    assert damaged == len(closed) and not (shared.store / "quarantine").exists()
    before = {path: path.read_bytes() for path in closed}
    (told,) = shared.act(BEN, 0o077, ("build", []))
    assert "Permission denied; its owner can let you read it" in told
    assert {path: path.read_bytes() for path in closed} == before
    for path in closed:
        path.chmod(0o660)
    assert shared.act(BEN, 0o077, ("verify",), ("build", [])) == [0, 0]


@pytest.mark.parametrize("shared", [0o2770], indirect=True)
def test_what_one_may_not_read_does_not_keep_others_from_travelling(shared):
    """A journal that no wanted result needs is named, and all results arrive."""
    assert shared.act(ANN, 0o077, ("build", []), ("build", [2])) == [16, 2]
    journals = sorted(shared.store.glob("actions/first/*.json"), key=lambda path: path.stat().st_mtime_ns)
    journals[0].chmod(0o600)
    assert shared.act(BEN, 0o077, ("pull", "mine", "store")) == [[2, 1]]


@pytest.mark.parametrize("shared", [0o755], indirect=True)
def test_what_cannot_be_written_is_refused_at_the_start(shared):
    """Naming the folder and its owner; what the error says the owner can do helps."""
    assert shared.act(ANN, 0o022, ("build", [])) == [16]
    hits, told = shared.act(BEN, 0o022, ("build", []), ("build", [3]))
    assert hits == 0 and "Permission denied; name another with --store" in told
    shared.store.chmod(0o2775)
    (told,) = shared.act(BEN, 0o022, ("build", [3]))
    assert f"one of user {ANN}, mode 755" in told and str(shared.store) in told
    command = told.partition("`")[2].partition("`")[0]
    subprocess.run(command, shell=True, check=True, user=ANN, group=ANN, extra_groups=[GROUP])
    assert shared.act(BEN, 0o022, ("build", [3])) == [2]
