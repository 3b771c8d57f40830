"""Whatever lies in the place of a file or folder of a store, every reader ends: with a result, or one line.

Nothing outside the store is read or changed.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspace import BEHAVIOUR, PROFILE, Outcome, Workspace, files, one_line_error, run

import circuitstore as cs
from circuitstore.errors import CircuitstoreError
from circuitstore.storage.catalog import records
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import read_manifest
from circuitstore.storage.records import seal

DEEP = b"[" * 100_000 + b"]" * 100_000
MEMORY = 12 << 30  # bytes of addresses


def link_out(path: Path, outside: Path) -> None:
    """A link to a faithful copy outside of the store."""
    target = outside / path.name
    (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)
    _remove(path)
    path.symlink_to(target)


def link_to_itself(path: Path, outside: Path) -> None:
    _remove(path)
    path.symlink_to(path)


def link_to_zeros(path: Path, outside: Path) -> None:
    _remove(path)
    path.symlink_to("/dev/zero")


def pipe(path: Path, outside: Path) -> None:
    _remove(path)
    os.mkfifo(path)


def folder(path: Path, outside: Path) -> None:
    _remove(path)
    path.mkdir()


def empty(path: Path, outside: Path) -> None:
    _remove(path)
    path.write_bytes(b"")


def other_bytes(path: Path, outside: Path) -> None:
    _remove(path)
    path.write_bytes(b"\xff\xfe\x00" * 100)


def deep(path: Path, outside: Path) -> None:
    _remove(path)
    path.write_bytes(DEEP)


def sealed_deep(path: Path, outside: Path) -> None:
    """Honestly sealed JSON of great depth, where any JSON may stand."""
    raw = seal({"phase": "x"}).replace(b'"x"', DEEP)
    body = raw[len(b'{"sha256":"') + 64 + len(b'","record":') : -2]
    _remove(path)
    path.write_bytes(
        b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","record":' + body + b"}\n"
    )


def sparse_giant(path: Path, outside: Path) -> None:
    """A file of terabytes that takes no space."""
    _remove(path)
    path.touch()
    os.truncate(path, 1 << 42)


def nothing(path: Path, outside: Path) -> None:
    _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


DAMAGES = (
    link_out,
    link_to_itself,
    link_to_zeros,
    pipe,
    folder,
    empty,
    other_bytes,
    deep,
    sealed_deep,
    sparse_giant,
    nothing,
)


def targets(workspace: Workspace) -> dict[str, Path]:
    """One file or folder of every kind that there is in a store."""
    store = Store(workspace.store)
    found = {kind.name: Path(path) for kind, path in records(store, [])}
    name = workspace.artifact("baseline").objects[0]
    top = Path(store.object(name))
    data = next(file for file in read_manifest(store, name).files if "/c/" in file)
    found |= {
        "format": store_path(workspace, "format.json"),
        "manifest": top / "MANIFEST.json",
        "group": top / "zarr.json",
        "array": top / data.partition("/")[0] / "zarr.json",
        "chunk": top / data,
        "folder of chunks": (top / data).parent,
        "folder of an array": top / data.partition("/")[0],
        "object": top,
        "folder of objects": top.parent,
        "folder of journals": store_path(workspace, "actions", "baseline"),
        "folder of a behaviour": store_path(workspace, "refs", PROFILE, BEHAVIOUR),
        "folder of a profile": store_path(workspace, "refs", PROFILE),
    }
    return found | {name: store_path(workspace, name) for name in WHOLE}


# Folders without whose refs nothing tells that a profile or a behaviour was there.
REFS = ("refs", "folder of a profile", "folder of a behaviour")
LOST = (folder, nothing)


def store_path(workspace: Workspace, *parts: str) -> Path:
    return workspace.store.joinpath(*parts)


WHOLE = ("objects", "actions", "pieces", "artifacts", "refs")
FILES = ["journal", "piece", "artifact", "ref", "format", "manifest", "group", "array", "chunk"]
FOLDERS = [*WHOLE, "object"]
BETWEEN = [
    f"folder of {what}" for what in ("chunks", "an array", "objects", "journals", "a behaviour", "a profile")
]
SELECT = ("-b", BEHAVIOUR, "--profile")


def readers(workspace: Workspace) -> Iterator[Outcome]:
    """The outcome of each command that reads, `verify` last."""
    where = [*SELECT, workspace.profile, "--store", workspace.store]
    yield run("show", "baseline", *where)
    yield run("show", "baseline", *where, "--json")
    yield run("show", "prompts", *where, "--json")
    yield run("log", "--store", workspace.store)
    yield run("status", *workspace.selection)
    yield workspace.explain(phase="baseline")
    yield run("export", "graphs", workspace.root / "out", *where, "--force")
    yield run("diff", f"{BEHAVIOUR}/a", f"{BEHAVIOUR}/b", *where[2:])
    yield workspace.verify("--deep")


@pytest.fixture(scope="module")
def limited() -> Iterator[None]:
    """More memory than any reader needs, and less than a device of zeros takes."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def cases() -> Iterator[object]:
    """Every damage to every target; a diagonal of the table is quick, the others are marked slow."""
    for row, name in enumerate([*FILES, *FOLDERS, *BETWEEN]):
        for column, damage in enumerate(DAMAGES):
            marks = [] if (row - column) % len(DAMAGES) == 0 else [pytest.mark.slow]
            yield pytest.param(name, damage, id=f"{name}-{damage.__name__}", marks=marks)


@pytest.mark.parametrize(("name", "damage"), list(cases()))
def test_every_reader_ends_with_a_result_or_one_line(built_once, tmp_path, limited, name, damage):
    """And a store that `verify` has tidied is built whole again, or the build says in one line what to do."""
    workspace, outside = built_once.copy(tmp_path / "work"), tmp_path / "outside"
    outside.mkdir()
    path = targets(workspace)[name]
    damage(path, outside)
    before = files(outside)
    for outcome in readers(workspace):
        unknown = "unknown behaviour" in outcome.err or "unknown profile" in outcome.err
        lost = unknown and name in REFS and damage in LOST
        failed = 2 if lost else 1  # a name that nothing tells of is a wrong name
        assert outcome.code in (0, failed), outcome.err
        assert "Traceback" not in outcome.err
        if outcome.code and not outcome.out:
            one_line_error(outcome, code=failed)
    for phase in ("prompts", "baseline", "attribution"):
        try:
            cs.open(phase, behaviour=BEHAVIOUR, store=workspace.store, profile=PROFILE).load()
        except CircuitstoreError as error:
            assert "\n" not in str(error)
    outcome = workspace.build(phase="baseline")
    if outcome.code:
        one_line_error(outcome, code=1)
    else:
        assert workspace.contents(("prompts", "baseline")) == built_once.contents(("prompts", "baseline"))
    assert files(outside) == before
