"""Several builds in one store: each cell is computed about once, whoever is killed; `gc` takes nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from bench.crowd import crowd
from bench.plain_phases import Items, build_plain
from circuitstore.engine import sharing
from circuitstore.storage import lease
from circuitstore.storage.actions import journals
from circuitstore.storage.gc import collect
from circuitstore.storage.layout import Store
from circuitstore.storage.lease import Holder, Lease, boot
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.refs import Name, named, names
from circuitstore.storage.verify import verify

COUNT, BATCH, BUILDERS = 300, 10, 8
WHOLE = Items(COUNT)
VARIANTS = [Items(60), Items(60, tuple(range(0, 60, 7))), Items(60, (1, 2))]
NAMES = [Name("plain", "plain", phase) for phase in ("first", "second")]
CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory) -> dict[str, str]:
    """Phase → content hash of a build that nobody disturbs."""
    root = tmp_path_factory.mktemp("quiet")
    build_plain(root / "source", root / "store", Items(COUNT), BATCH)
    return contents(root)


def contents(root: Path) -> dict[str, str]:
    return {name.phase: named(Store(root / "store"), name).content for name in NAMES}


def build(root: Path, items: Items = WHOLE, pause: float = 0.0, repeat: int = 1) -> None:
    """Build, in a child: it ends with an error if a build does."""
    from circuitstore.engine import work

    original = work.write_object

    def slowly(*words):
        time.sleep(pause)
        return original(*words)

    work.write_object = slowly
    for _ in range(repeat):
        build_plain(root / "source", root / "store", items, BATCH)


def start(root: Path, *words) -> multiprocessing.Process:
    process = CONTEXT.Process(target=build, args=(root, *words))
    process.start()
    return process


def prepared(root: Path) -> Path:
    """The sources of the phases are there, so that children need not write them."""
    build_plain(root / "source", root / "other", Items(1), BATCH)
    return root


def committed(root: Path) -> int:
    """How many cells were committed, each as often as it was."""
    found = [journal for phase in ("first", "second") for journal in journals(Store(root / "store"), phase)]
    return sum(len(journal.cells) for journal in found)


def test_eight_builds_compute_each_cell_about_once(tmp_path, quiet):
    """At most one in twenty twice, and the contents are those of one build alone. Nothing is left behind."""
    prepared(tmp_path)
    builders = [start(tmp_path, Items(COUNT), 0.02) for _ in range(BUILDERS)]
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0] * BUILDERS
    assert committed(tmp_path) <= 1.05 * 2 * COUNT
    assert contents(tmp_path) == quiet
    assert os.listdir(tmp_path / "store" / "leases") == []


def test_when_a_builder_is_killed_others_go_on(tmp_path, quiet):
    """It holds claims at that moment. Its process is gone, which is seen at once on its machine."""
    prepared(tmp_path)
    first = start(tmp_path, Items(COUNT), 0.3)
    folder = tmp_path / "store" / "leases"
    while not any(b'"first"' in path.read_bytes() for path in folder.glob("*.claims")):
        time.sleep(0.01)
    second = start(tmp_path)
    time.sleep(0.5)
    first.kill()
    first.join()
    second.join(120)
    assert (first.exitcode, second.exitcode) == (-9, 0)
    assert contents(tmp_path) == quiet and committed(tmp_path) <= 2 * COUNT + 2 * BATCH
    assert verify(Store(tmp_path / "store"), deep=True).damaged == []


class Stranger:
    """A lease as another machine would have it: process numbers there mean nothing here."""

    def __init__(self, store: Store, keys: list[str], phase: str = "first"):
        self.path = Path(store.path("leases", f"elsewhere-{os.getpid()}-abc.claims"))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        holder = {"host": "elsewhere", "process": os.getpid(), "boot": "another", "claims": {phase: keys}}
        self.path.write_text(json.dumps(holder))

    def age(self, seconds: float) -> None:
        os.utime(self.path, (time.time() - seconds,) * 2)


def keys_of(root: Path) -> list[str]:
    """The keys of all cells of the first phase, from a build elsewhere."""
    build_plain(root / "source", root / "other", Items(COUNT), BATCH)
    return [cell.key for journal in journals(Store(root / "other"), "first") for cell in journal.cells]


def test_a_claim_of_a_builder_elsewhere_is_waited_for_until_it_is_silent(tmp_path, monkeypatch, quiet):
    """It says whom it waits for. The other machine is gone: after a while nobody touches its lease."""
    monkeypatch.setattr(lease, "STALE_SECONDS", 2.0)
    keys = keys_of(tmp_path)
    stranger = Stranger(Store(tmp_path / "store"), keys[:50])
    told = []
    monkeypatch.setattr("bench.plain_phases.Quiet.note", lambda self, text: told.append(text), raising=False)
    started = time.monotonic()
    build(tmp_path)
    assert time.monotonic() - started >= 1
    assert told[0] == (
        f"waiting for process {os.getpid()} on elsewhere, computing 50 cells of first of plain"
    )
    assert contents(tmp_path) == quiet and stranger.path.exists()


@pytest.mark.parametrize("seconds", [61, 10**6, -61, -(10**6)], ids=["old", "older", "future", "far future"])
def test_a_lease_that_nobody_touched_lately_counts_for_nothing(tmp_path, seconds):
    """By the clock of the file system, whichever way somebody's was set."""
    keys = keys_of(tmp_path)
    stranger = Stranger(Store(tmp_path / "store"), keys)
    stranger.age(seconds)
    with Lease(Store(tmp_path / "store")) as own:
        assert own.claimed("first") == {}
        stranger.age(0)
        assert set(own.claimed("first")) == set(keys) and own.claimed("second") == {}


def test_who_waits_too_long_computes_it_alone(tmp_path, monkeypatch, quiet):
    """A builder that is alive and does not move on holds nobody up for ever."""
    monkeypatch.setattr(sharing, "MOST_WAIT", 1.0)
    stranger = Stranger(Store(tmp_path / "store"), keys_of(tmp_path))
    build(tmp_path)
    assert contents(tmp_path) == quiet and stranger.path.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", "\xff", '{"host": 1}', '{"host":"a","process":1e9}'])
def test_what_is_no_lease_is_passed_over(tmp_path, text):
    store = Store(tmp_path / "store").create()
    with Lease(store) as own:
        Path(store.path("leases", "odd-1-a.claims")).write_bytes(text.encode("latin-1"))
        os.mkdir(store.path("leases", "folder.claims"))
        os.symlink("/dev/zero", store.path("leases", "link.claims"))
        assert own.claimed("first") == {}


def test_a_turn_that_was_left_behind_is_taken(tmp_path, monkeypatch):
    """By a build that is no more, at once; by whoever does not give it back, after some seconds."""
    monkeypatch.setattr(lease, "TURN_SECONDS", 0.5)
    store = Store(tmp_path / "store").create()
    with Lease(store) as own, Lease(store) as other:
        path = Path(store.path("leases", "first.turn"))
        path.write_text("nobody-1-a")
        with own.turn("first"):
            assert path.read_text() == own.name
        assert not path.exists()
        started = time.monotonic()
        with own.turn("first"), other.turn("first"):
            assert time.monotonic() - started >= 0.5


def test_a_turn_that_cannot_be_taken_is_done_without(tmp_path, monkeypatch):
    """After some seconds, where what stands in the way cannot be removed."""
    monkeypatch.setattr(lease, "TURN_SECONDS", 0.2)
    store = Store(tmp_path / "store").create()
    with Lease(store) as own:
        os.mkdir(store.path("leases", "first.turn"))
        with own.turn("first"):
            assert os.path.isdir(store.path("leases", "first.turn"))


def test_a_process_is_known_by_its_boot(tmp_path):
    """One with the number of a process that is gone is gone, unless it is of another machine."""
    dead = CONTEXT.Process(target=os.getpid)
    dead.start()
    dead.join()
    store = Store(tmp_path / "store").create()
    with Lease(store) as own:
        for name, where in (("here", boot()), ("there", "another boot")):
            holder = {"host": "same", "process": dead.pid, "boot": where, "claims": {"first": [name]}}
            Path(store.path("leases", f"{name}.claims")).write_text(json.dumps(holder))
        assert own.claimed("first") == {
            "there": Holder("same", dead.pid, "another boot", {"first": ["there"]})
        }


def rounds(root: Path, which: int, seconds: float) -> None:
    """Build one variant after the other, each builder in an order of its own. Each must be as it should."""
    at, ends = which, time.monotonic() + seconds
    while time.monotonic() < ends:
        at += 1 + which % 2
        build(root, VARIANTS[at % len(VARIANTS)])


@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_collecting_all_that_has_no_name_beside_builds(tmp_path, seconds):
    """Builds of three variants move names to and fro, so what one found is garbage for the others.

    With a grace period of none, over and over: every build ends well, and nothing that has a name is lost.
    """
    prepared(tmp_path)
    store, freed = Store(tmp_path / "store"), 0
    builders = [CONTEXT.Process(target=rounds, args=(tmp_path, which, seconds)) for which in range(3)]
    for builder in builders:
        builder.start()
    collections = 0
    while any(builder.is_alive() for builder in builders):
        if store.exists():
            freed += collect(store, grace=0).files
            collections += 1
            for name in names(store):
                assert named(store, name).cells
    assert [builder.exitcode for builder in builders] == [0, 0, 0]
    assert verify(store, deep=True).damaged == []
    for phase in ("first", "second"):
        for cell in named(store, Name("plain", "plain", phase)).cells:
            assert ObjectReader(store, cell.object).cell(cell.row)
    freed += collect(store, grace=0).files
    assert collections > 3 and freed > 20
    assert verify(store, deep=True).damaged == []


@pytest.mark.slow
def test_a_crowd_with_kills(tmp_path):
    """Builders that are killed, readers, collections and verifications at once: nothing goes wrong."""
    seen = crowd(tmp_path, 40, 20, 4, 10)
    assert seen.wrong == []
    assert all(seen.seen[what] for what in ("builds", "reads", "files deleted", "verifications"))
    assert seen.seen["kills"] >= 19


def test_a_lease_that_could_not_be_removed_holds_up_no_later_build(tmp_path, monkeypatch):
    """As on a full disk: the files stay and their process lives, and yet nobody has to wait."""
    store = Store(tmp_path / "store")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", lambda *_: None)
        with Lease(store) as left:
            left.claim("first", {"key"})
            with Lease(store) as other:
                assert set(other.claimed("first")) == {"key"}
    assert any((tmp_path / "store" / "leases").iterdir())
    with Lease(store) as later:
        assert later.claimed("first") == {}
