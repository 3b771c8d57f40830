"""Random bytes and JSON in the place of every kind of record and metadata: a result, or one line of ours.

The variable CIRCUITSTORE_FUZZ says how many inputs each test tries, 100 without it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workspace import BEHAVIOUR, PHASES, PROFILE, Workspace

from circuitstore.errors import CircuitstoreError
from circuitstore.storage.answers import keep_answer
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.catalog import KINDS, Kind
from circuitstore.storage.layout import Store
from circuitstore.storage.listed import ListedFiles, checked_array, checked_attributes
from circuitstore.storage.manifest import Manifest, intact_cells, read_manifest
from circuitstore.storage.pins import Pin, write_pin
from circuitstore.storage.records import HEAD, MIDDLE, TAIL
from circuitstore.storage.refs import Name, named
from circuitstore.storage.reviews import Review, Reviewed, write_review
from circuitstore.storage.tags import write_tag

MANY = settings(
    max_examples=int(os.environ.get("CIRCUITSTORE_FUZZ", "100")),
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([-1, 0, 2**31, 2**63, 2**64, 10**30])
TEXTS = st.text(max_size=8) | st.sampled_from(["", ".", "..", "../x", "/abs", "a\0b", "\x1b[2J", "0" * 64])
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def mutated(draw: st.DrawFn, value: object) -> object:
    """Plain data with one part of it exchanged for anything, taken away, or doubled."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 4)) == 0:
            return {key: inner for key, inner in value.items() if key != name}
        return {**value, name: mutated(draw, value[name])}
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        changed = draw(st.sampled_from(["inside", "away", "twice"]))
        middle = {"inside": [mutated(draw, value[at])], "away": [], "twice": [value[at]] * 2}[changed]
        return [*value[:at], *middle, *value[at + 1 :]]
    return draw(VALUES)


@pytest.fixture(scope="module")
def records(built_once, tmp_path_factory) -> tuple[Workspace, dict[str, Path]]:
    """A store, and the path of one record of every kind."""
    workspace = built_once.copy(tmp_path_factory.mktemp("fuzz") / "work")
    store = Store(workspace.store)
    review = Review(PROFILE, BEHAVIOUR, "A", 1, {}, [Reviewed(0, 1, "keys")])
    write_review(store, review)
    keep_answer(store, {"model": "m", "messages": [{"role": "user", "content": "x"}]}, "y")
    write_pin(store, Pin("model", "owner/name", "main", "", "a" * 40, {}))
    write_tag(store, "paper", Name(PROFILE, BEHAVIOUR, "baseline"), workspace.artifact("baseline"))
    found = {}
    for kind in KINDS:
        depth = "/".join(["*"] * kind.depth + ["*.json"])
        found[kind.name] = sorted(Path(store.path(*kind.folder)).glob(depth))[0]
    return workspace, found


def ends(kind: Kind, store: Store, path: Path) -> None:
    """To read a record ends with it, or with an error of ours in one line."""
    try:
        kind.read(store, str(path))
    except CircuitstoreError as error:
        assert len(str(error).splitlines()) == 1
    except FileNotFoundError as error:
        raise AssertionError(path) from error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@MANY
@given(st.data())
def test_records(records, kind, data):
    """Random bytes; honestly sealed random JSON; honestly sealed records of which a part is another."""
    workspace, paths = records
    store, path = Store(workspace.store), paths[kind.name]
    before = path.read_bytes()
    record = json.loads(before)["record"]
    forged = data.draw(
        st.binary(max_size=300)
        | VALUES.map(seal_any)
        | st.composite(lambda draw: seal_any(mutated(draw, record)))()
    )
    hashed = kind.name in ("journal", "review")
    other = path.with_name(hashlib.sha256(forged).hexdigest() + ".json") if hashed else path
    other.write_bytes(forged)
    try:
        ends(kind, store, other)
    finally:
        if hashed:
            other.unlink()
        path.write_bytes(before)


def seal_any(value: object) -> bytes:
    """Any plain data sealed, as a forger would, with numbers that JSON has not."""
    body = json.dumps(value).encode()
    digest = hashlib.sha256(body).hexdigest().encode()
    return HEAD + digest + MIDDLE + body + TAIL


@pytest.mark.parametrize("phase", PHASES)
@MANY
@given(st.data())
def test_manifests_and_metadata(records, phase, data):
    """Of an object of every phase: the manifest, the group's metadata, and that of one array."""
    workspace, _ = records
    store = Store(workspace.store)
    artifact: Artifact = named(store, Name(PROFILE, BEHAVIOUR, phase))
    name = artifact.objects[0]
    manifest: Manifest = read_manifest(store, name)
    files = [file for file in manifest.files if file.endswith("zarr.json")]
    file = data.draw(st.sampled_from(["MANIFEST.json", *files]))
    path = Path(store.object(name)) / file
    before = path.read_bytes()
    content = json.loads(before)
    if file == "MANIFEST.json":
        make = st.composite(lambda draw: seal_any(mutated(draw, content["record"])))()
    else:
        make = st.composite(lambda draw: json.dumps(mutated(draw, content)).encode())()
    forged = data.draw(st.binary(max_size=300) | make)
    path.write_bytes(forged)
    try:
        assert intact_cells(store, name) is None or file == "MANIFEST.json" or len(forged) == len(before)
        listed = ListedFiles(store.root, store.object(name), manifest.files | {file: (len(forged), "")})
        for check in (
            lambda: read_manifest(store, name),
            lambda: checked_attributes(listed, len(manifest.cells)),
            *[lambda at=at: checked_array(listed, at.partition("/")[0]) for at in files if "/" in at],
        ):
            try:
                check()
            except CircuitstoreError as error:
                assert len(str(error).splitlines()) == 1
    finally:
        path.write_bytes(before)
