"""A record is not only unaltered: it is the one that its name asks for, and what it says of others is so."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import msgspec
import pytest
from forged import FORGED
from workspace import BEHAVIOUR, PHASES, PROFILE, Workspace, run

import circuitstore as cs
from circuitstore.errors import CircuitstoreError, DamageError
from circuitstore.storage.actions import Journal
from circuitstore.storage.answers import keep_answer
from circuitstore.storage.catalog import KINDS, records
from circuitstore.storage.layout import Store
from circuitstore.storage.pins import Pin, write_pin
from circuitstore.storage.records import read_record, seal
from circuitstore.storage.refs import Name
from circuitstore.storage.reviews import Review, Reviewed, write_review
from circuitstore.storage.tags import write_tag

REVIEW = Review(PROFILE, BEHAVIOUR, "A", 1, {}, [Reviewed(0, 1, "keys")])
PIN = Pin("model", "owner/name", "main", "", "a" * 40, {})


@pytest.fixture
def full(workspace: Workspace) -> Workspace:
    """A store with several records of every kind."""
    store = Store(workspace.store)
    for time_ns in (1, 2):
        write_review(store, msgspec.structs.replace(REVIEW, time_ns=time_ns))
        write_pin(store, msgspec.structs.replace(PIN, revision=f"v{time_ns}"))
        keep_answer(store, {"model": f"m{time_ns}"}, "yes")
    for phase in ("baseline", "features"):
        write_tag(store, f"tag-{phase}", Name(PROFILE, BEHAVIOUR, phase), workspace.artifact(phase))
    return workspace


def paths_of(workspace: Workspace, kind: str) -> list[str]:
    return [path for each, path in records(Store(workspace.store), []) if each.name == kind]


def damaged_paths(workspace: Workspace) -> set[str]:
    """What `verify` names, as absolute paths."""
    return {os.path.join(workspace.store, row["path"]) for row in workspace.verify().json["damaged"]}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_records_that_were_exchanged_are_noticed(built_once, full, kind):
    """Every pair of every kind: to read either raises, `verify` names both, and a build mends what it can."""
    store = Store(full.store)
    paths = paths_of(full, kind.name)
    pairs = list(itertools.combinations(paths, 2))
    assert pairs
    for one, other in pairs:
        before = Path(one).read_bytes(), Path(other).read_bytes()
        Path(one).write_bytes(before[1]), Path(other).write_bytes(before[0])
        for path in (one, other):
            with pytest.raises(DamageError, match="circuitstore verify"):
                kind.read(store, path)
        Path(one).write_bytes(before[0]), Path(other).write_bytes(before[1])
    one, other = pairs[0]
    before = Path(one).read_bytes(), Path(other).read_bytes()
    Path(one).write_bytes(before[1]), Path(other).write_bytes(before[0])
    assert {one, other} == damaged_paths(full)
    assert full.build().code == 0 and damaged_paths(full) == set()
    assert full.contents() == built_once.contents()


@pytest.mark.parametrize("kind", ["artifact", "ref"])
def test_a_build_needs_no_verify_to_mend_exchanged_records(built_once, full, kind):
    """What a build can work out anew it does not stop for, and writes."""
    paths = paths_of(full, kind)
    contents = [Path(path).read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        Path(path).write_bytes(content)
    outcome = full.build()
    assert outcome.code == 0, outcome.err
    assert set(outcome.computed) <= {"prompts"}  # which is found by its artifact alone
    assert full.contents() == built_once.contents() and damaged_paths(full) == set()


@pytest.mark.parametrize("folder", ["behaviour", "profile"])
def test_a_review_counts_only_where_it_was_made(full, folder):
    """Copied to another behaviour, or profile, it is damage there and nothing else."""
    path = Path(paths_of(full, "review")[0])
    names = (PROFILE, "other") if folder == "behaviour" else ("other", BEHAVIOUR)
    copy = full.store.joinpath("inputs", "review", *names, path.name)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    assert damaged_paths(full) == {str(copy)}


@pytest.mark.parametrize(("forge", "change"), FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("phase", ["baseline", "features"])
def test_an_artifact_with_other_cells_is_refused(full, phase, forge, change):
    """Sealed by its forger: to open it raises, `verify` names it, and a build mends it."""
    named = forge(Store(full.store), full.artifact(phase), change)
    with pytest.raises(DamageError, match="circuitstore verify"):
        cs.open(phase, behaviour=BEHAVIOUR, store=full.store, profile=PROFILE).load()
    assert named & damaged_paths(full)
    assert full.build().code == 0 and damaged_paths(full) == set()
    cs.open(phase, behaviour=BEHAVIOUR, store=full.store, profile=PROFILE).load()


@pytest.mark.parametrize("part", ["code", "config", "resources", "upstream", "read", "axes"])
def test_an_artifact_that_was_made_from_something_else_is_refused(built_once, full, part):
    """Its key does not follow from what it says it was made from, under whichever seal."""
    path = Path(Store(full.store).artifact(full.artifact("features").key))
    record = read_record(Store(full.store), str(path), dict)
    if part == "read":
        record["upstream"]["baseline"] = full.artifact("baseline").key
    elif part == "axes":
        record["axes"].reverse()
    else:
        other = {} if part == "resources" else "0" * 64
        record["components"][part] = {**record["components"][part], "x": other}
    path.write_bytes(seal(record))
    with pytest.raises(DamageError, match="components that give its key"):
        cs.open("features", behaviour=BEHAVIOUR, store=full.store, profile=PROFILE)
    assert damaged_paths(full) == {str(path)}
    assert full.build().code == 0 and damaged_paths(full) == set()
    assert full.contents() == built_once.contents()


@pytest.mark.parametrize("names", [("other", BEHAVIOUR), (PROFILE, "other")], ids=["profile", "behaviour"])
def test_a_ref_counts_only_under_its_own_name(full, names):
    """Copied to another profile or behaviour it is damage there. One of version 1 does not state its name."""
    path = full.store / "refs" / PROFILE / BEHAVIOUR / "baseline.json"
    copy = full.store.joinpath("refs", *names, "baseline.json")
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    with pytest.raises(DamageError, match="name"):
        cs.open("baseline", behaviour=names[1], store=full.store, profile=names[0])
    assert damaged_paths(full) == {str(copy)}
    copy.parent.mkdir(exist_ok=True)
    record = read_record(Store(full.store), str(path), dict)
    copy.write_bytes(seal({name: record[name] for name in ("artifact", "content", "time_ns")}))
    assert damaged_paths(full) == set()


@pytest.mark.parametrize("row", [-1, 1, 2 * 10**8])
def test_a_journal_that_names_another_row_is_not_believed(built_once, full, row):
    """Neither by a build, which computes what it cannot find, nor by `verify`, which names it."""
    store, (path, *_) = Store(full.store), paths_of(full, "journal")
    journal = read_record(store, path, Journal)
    cells = [msgspec.structs.replace(journal.cells[0], row=row), *journal.cells[1:]]
    os.unlink(path)
    forged = seal(msgspec.structs.replace(journal, cells=cells))
    path = os.path.join(os.path.dirname(path), hashlib.sha256(forged).hexdigest() + ".json")
    Path(path).write_bytes(forged)
    for phase in PHASES:
        os.unlink(store.artifact(full.artifact(phase).key))
    assert full.build().code == 0
    assert full.contents() == built_once.contents()
    assert damaged_paths(full) == {path}


def test_a_pin_whose_commit_is_a_path_is_refused(full):
    """The commit of a pin becomes the name of a folder."""
    store = Store(full.store)
    for commit in ("../../../../etc", "/abs", "a" * 39, "A" * 40, "main", ""):
        with pytest.raises(CircuitstoreError):
            write_pin(store, msgspec.structs.replace(PIN, revision="w", commit=commit))
        forged = msgspec.structs.replace(PIN, revision="v1", commit=commit)
        path = next(path for path in paths_of(full, "pin") if b'"v1"' in Path(path).read_bytes())
        Path(path).write_bytes(seal(forged))
        with pytest.raises(DamageError, match="40 hexadecimal digits"):
            next(kind for kind in KINDS if kind.name == "pin").read(store, path)
    assert run("verify", "--store", full.store).code == 1
