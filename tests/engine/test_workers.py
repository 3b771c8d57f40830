"""Worker processes and clusters: the same content as one process gives, whatever happens to a worker."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from counting import ITEMS, Cluster, Counting
from processes import alive, children
from workspace import Outcome, one_line_error

from circuitstore.storage.layout import Store
from circuitstore.storage.verify import verify

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def counting(tmp_path_factory) -> Counting:
    """The pipeline, built once in one process, as `alone`."""
    made = Counting(tmp_path_factory.mktemp("counting"))
    outcome = made.build("alone")
    assert outcome.code == 0, outcome.err
    return made


@pytest.fixture(scope="module")
def cluster(counting):
    """A running scheduler with workers."""
    made = Cluster(counting)
    yield made
    made.close()


@pytest.fixture
def ways(counting, request) -> dict[str, dict[str, object]]:
    """Options of a build, by way."""
    address = request.getfixturevalue("cluster").address
    return {"processes": {"jobs": 2}, "cluster": {"dask": address}}


def computed(outcome: Outcome) -> list[int]:
    assert outcome.code == 0, outcome.err
    return [cells for _, cells, _ in json.loads(outcome.out).values()]


@pytest.mark.slow
def test_a_phase_that_needs_a_gpu_goes_to_workers_that_have_one(counting, cluster, tmp_path):
    """By the tags of what it loads; without a tag it goes to all."""
    assert computed(
        counting.build("any", {"marks": str(tmp_path / "any"), "pause": 0.05}, dask=cluster.address)
    )
    tagged = {"marks": str(tmp_path / "gpu"), "gpu": True}
    assert computed(counting.build("gpu", tagged, dask=cluster.address)) == [ITEMS, ITEMS]
    workers = [{mark.rpartition("-")[2] for mark in os.listdir(tmp_path / name)} for name in ("any", "gpu")]
    assert len(workers[0]) == 2 and len(workers[1]) == 1
    assert counting.contents("any") == counting.contents("gpu") == counting.contents("alone")


@pytest.mark.parametrize("way", ["processes", "cluster"])
def test_a_killed_worker_changes_nothing(counting, ways, tmp_path, way):
    """It is told, what it had is computed elsewhere, and keys and contents are those of one process."""
    events = {"fatal": "i07", "fuse": str(tmp_path / "fuse")}
    outcome = counting.build(f"killed-{way}", events, **ways[way])
    assert computed(outcome) == [ITEMS, ITEMS]
    assert (tmp_path / "fuse").is_dir()
    warnings = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and "computed again" in warnings[0], outcome.err
    assert counting.contents(f"killed-{way}") == counting.contents("alone")
    assert verify(Store(counting.root / f"killed-{way}"), deep=True).damaged == []


@pytest.mark.parametrize("way", ["processes", pytest.param("cluster", marks=pytest.mark.slow)])
def test_a_batch_that_kills_each_worker_ends_the_build(counting, ways, tmp_path, way):
    """One line says what to do, and what the others finished is kept."""
    events = {"fatal": "i13", "fuse": str(tmp_path / "fuse"), "again": True}
    outcome = counting.build(f"again-{way}", events, **ways[way])
    assert outcome.code == 1 and "Traceback" not in outcome.err
    error = outcome.err.splitlines()[-1]
    assert error.startswith("error: phase numbers") and "circuitstore plan" in error, outcome.err
    kept = counting.build(f"again-{way}")
    hits = json.loads(kept.out)["numbers"][2]
    assert kept.code == 0 and 0 < hits < ITEMS
    assert counting.contents(f"again-{way}") == counting.contents("alone")


def test_code_that_changed_on_a_running_cluster_is_refused(counting, cluster):
    """The workers have the old code in memory, and new ones compute by the new one."""
    source = counting.root / "code" / "counting" / "squares.py"
    before = source.read_text()
    assert computed(counting.build("stale", dask=cluster.address)) == [ITEMS, ITEMS]
    try:
        source.write_text(before.replace("** 2", "** 3"))
        outcome = counting.build("stale", dask=cluster.address)
        assert outcome.code == 1 and "module counting.squares" in outcome.err.splitlines()[-1]
        assert "restart" in outcome.err
        assert counting.contents("stale") == counting.contents("alone")  # of the code before
        assert computed(counting.build("stale")) == [0, ITEMS]
        assert counting.contents("stale")["squares"][1] == {"sum": sum(n**3 for n in range(ITEMS))}
    finally:
        source.write_text(before)


def told_to_end(counting: Counting, store: str, **options: object) -> tuple[int, list[int]]:
    """SIGTERM once some cells are committed: exit code, and the processes that stayed."""
    process = counting.start(store, {"pause": 0.3}, **options)
    while not list((counting.root / store).glob("actions/numbers/*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    below = children(process.pid)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, gone(below)


def gone(processes: list[int]) -> list[int]:
    """Those of some processes that are still there seconds later."""
    deadline = time.monotonic() + 10
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [each for each in processes if alive(each)]


@pytest.mark.slow
def test_a_cluster_that_was_started_here_ends_with_its_build(counting):
    """However the build ends, and what finished is kept."""
    code, stayed = told_to_end(counting, "ended", dask="local", jobs=2)
    assert (code, stayed) == (143, [])
    again = counting.build("ended")
    assert sum(computed(again)) < 2 * ITEMS
    assert counting.contents("ended") == counting.contents("alone")


def test_a_cancelled_build_leaves_its_cluster_free(counting, cluster):
    """Workers commit the cells that are finished, begin no other, and take the next build."""
    code, _ = told_to_end(counting, "cancelled", dask=cluster.address)
    assert code == 143
    time.sleep(1)
    before = journals(counting.root / "cancelled")
    time.sleep(1.5)  # five cells of each of two workers
    assert journals(counting.root / "cancelled") == before
    assert sum(computed(counting.build("cancelled", dask=cluster.address))) < 2 * ITEMS
    assert counting.contents("cancelled") == counting.contents("alone")


def journals(store: Path) -> set[str]:
    return {path.name for path in store.glob("actions/*/*.json")}


def test_a_worker_that_sees_another_store_refuses(monkeypatch, tmp_path):
    """Else it would file results where nobody looks."""
    from circuitstore.engine import cluster_worker
    from circuitstore.errors import StaleCodeError, StoreError

    monkeypatch.setattr(cluster_worker, "APPEARS_SECONDS", 0.1)
    with pytest.raises(StoreError, match="same path"):
        cluster_worker.compute(cluster_worker.CARRYING, str(tmp_path), str(tmp_path / "none"), b"")
    with pytest.raises(StaleCodeError, match="same code"):
        cluster_worker.compute("0" * 64, str(tmp_path), str(tmp_path), b"")


WRONG = {"no scheduler": "tcp://127.0.0.1:9", "no address": "here and there"}


@pytest.mark.parametrize("name", WRONG)
def test_a_scheduler_that_does_not_answer_is_one_line(new_workspace, monkeypatch, name):
    """Before anything is computed."""
    monkeypatch.setattr("circuitstore.engine.cluster.CONNECT_SECONDS", 1.0)
    error = one_line_error(new_workspace.build("--dask", WRONG[name], phase="prompts"), code=2)
    assert "--dask" in error and WRONG[name] in error and "dask scheduler" in error


def test_without_distributed_the_command_says_what_to_install(new_workspace, monkeypatch):
    """The extra is not installed for those who need no cluster."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    error = one_line_error(new_workspace.build("--dask", "local", phase="prompts"), code=2)
    assert "pip install 'circuitstore[dask]'" in error
