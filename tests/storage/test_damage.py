"""Damage to any file of a store is noticed and named, never read as zeros, and a build computes again exactly
what was lost.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import xarray as xr
from damaged import exchange, flip
from workspace import (
    BEHAVIOUR,
    PHASES,
    PROFILE,
    TEXTS,
    Outcome,
    Workspace,
    one_line_error,
    run,
    small_batches,
)

import circuitstore as cs
from circuitstore.errors import DamageError, MissingError, StoreError, UsageError
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import read_manifest
from circuitstore.storage.records import read_record, seal

FILES = ("manifest", "group", "array", "data")


def damaged_file(store: Store, name: str, kind: str) -> Path:
    """A file of an object: its manifest, its group's or an array's metadata, or a shard of data."""
    folder = Path(store.object(name))
    files = [file for file in read_manifest(store, name).files if file != "zarr.json"]
    if kind == "manifest":
        return folder / "MANIFEST.json"
    if kind == "group":
        return folder / "zarr.json"
    if kind == "array":
        return folder / next(file for file in files if file.endswith("zarr.json"))
    return folder / next(file for file in files if not file.endswith("zarr.json"))


def twin(store: Store, path: Path, kind: str, other: str) -> Path:
    """Another file to swap with, where there is one then of the same size, which is the hardest to notice."""
    if kind == "manifest":
        return Path(store.object(other)) / path.name
    folder = next(parent for parent in path.parents if (parent / "MANIFEST.json").is_file())
    files = [
        file
        for file in folder.rglob("*")
        if file.is_file() and (file.name == "zarr.json") == (path.name == "zarr.json")
    ]
    files = [file for file in files if file.parent != folder and file.read_bytes() != path.read_bytes()]
    return min(files, key=lambda file: (abs(file.stat().st_size - path.stat().st_size), str(file)))


def delete(path: Path, _twin: Path) -> None:
    path.unlink()


def truncate(path: Path, _twin: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path, _twin: Path) -> None:
    os.truncate(path, 0)


def zero(path: Path, _twin: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


CASES = [(kind, damage) for kind in FILES for damage in (delete, truncate, zero, flip, exchange)] + [
    ("data", empty)
]


@pytest.fixture(scope="module")
def built_in_batches(tmp_path_factory) -> Workspace:
    """A store in which every phase with cell axes has its cells in several objects."""
    with pytest.MonkeyPatch.context() as patch:
        small_batches(patch)
        made = Workspace.create(tmp_path_factory.mktemp("batches"))
        assert made.build().code == 0
    assert all(len(made.artifact(phase).objects) > 1 for phase in PHASES[1:])
    return made


@pytest.fixture(scope="module")
def values(built_in_batches) -> dict:
    """Phase → everything in it, as it was built."""
    return {phase: load(built_in_batches, phase) for phase in PHASES}


@pytest.fixture
def workspace(built_in_batches: Workspace, tmp_path: Path) -> Workspace:
    return built_in_batches.copy(tmp_path / "work")


def load(workspace: Workspace, phase: str) -> xr.Dataset | xr.DataTree:
    """All values of a phase."""
    return cs.open(phase, behaviour=BEHAVIOUR, store=workspace.store, profile=PROFILE).load()


def objects(workspace: Workspace, phase: str) -> list[Path]:
    return [Path(Store(workspace.store).object(name)) for name in workspace.artifact(phase).objects]


def lost_cells(verified: Outcome) -> dict[str, int]:
    """Phase → how many of its cells `verify` says are lost, of those that lost any; `prompts` is one cell."""
    lost = [cell["phase"] for damage in verified.json["damaged"] for cell in damage["cells"]]
    return {phase: 1 if phase == "prompts" else lost.count(phase) for phase in PHASES if phase in lost}


def assert_mended(workspace: Workspace, original: Workspace, values: dict) -> None:
    """A store in which nothing is damaged and everything is as it was."""
    assert workspace.contents() == original.contents()
    assert workspace.verify("--deep").json["damaged"] == []
    assert all(load(workspace, phase).identical(values[phase]) for phase in PHASES)


def damage_one_object_a_phase(workspace: Workspace, kind: str, damage) -> list[str]:
    """The paths, below the store, of the objects that were damaged."""
    store = Store(workspace.store)
    names = {phase: workspace.artifact(phase).objects for phase in PHASES}
    for name, *_ in names.values():
        path = damaged_file(store, name, kind)
        damage(path, twin(store, path, kind, names["features"][-1]))
    return [os.path.relpath(store.object(name), store.root) for name, *_ in names.values()]


@pytest.mark.parametrize(
    ("kind", "damage"), CASES, ids=[f"{kind}-{damage.__name__}" for kind, damage in CASES]
)
def test_damage_to_an_object_is_noticed_and_named(workspace, kind, damage):
    """In every phase: reading raises and says what to do; `verify` names the path and exits with 1."""
    damaged = damage_one_object_a_phase(workspace, kind, damage)
    for phase in PHASES:
        with pytest.raises(DamageError, match="circuitstore verify"):
            load(workspace, phase)
    found = workspace.verify()
    assert found.code == 1
    assert set(damaged) <= {row["path"] for row in found.json["damaged"]}
    assert set(lost_cells(found)) == (set() if kind == "manifest" else set(PHASES)), (
        "cells whose content is intact are kept"
    )


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("manifest", delete),
        ("manifest", exchange),
        ("group", delete),
        ("array", flip),
        ("data", delete),
        ("data", exchange),
    ],
)
def test_a_build_mends_what_was_lost(built_in_batches, values, workspace, kind, damage):
    """In every phase: exactly the lost cells are computed, and then everything is as it was."""
    damage_one_object_a_phase(workspace, kind, damage)
    found = workspace.verify()
    repaired = workspace.build()
    assert repaired.code == 0, repaired.err
    assert repaired.computed == lost_cells(found)
    assert_mended(workspace, built_in_batches, values)


@pytest.mark.parametrize("damage", [delete, truncate, flip], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(
    ("kind", "computed"),
    [("actions", {}), ("artifacts", {"prompts": 1}), ("pieces", {"prompts": 1}), ("refs", {})],
)
def test_damage_to_records_is_noticed_named_and_mended(
    built_in_batches, values, workspace, kind, computed, damage
):
    """Journals, artifacts, their pieces and refs of all phases: no cell is computed again but `prompts`,
    which is found by its artifact alone.
    """
    paths = sorted((workspace.store / kind).rglob("*.json"))
    for path in paths:
        damage(path, path)
    if kind != "actions":
        for phase in PHASES:
            # Without a ref nothing tells that there was such a profile.
            lost = UsageError if (kind, damage) == ("refs", delete) else (DamageError, MissingError)
            with pytest.raises(lost):
                load(workspace, phase)

    found = workspace.verify()
    named = {row["path"] for row in found.json["damaged"]}
    missed = damage is not delete or kind == "pieces"
    every = {os.path.relpath(path, workspace.store) for path in paths}
    assert named <= every and bool(named) == missed and (damage is delete or named == every)
    assert found.code == (1 if missed else 0)
    repaired = workspace.build()
    assert repaired.code == 0, repaired.err
    assert repaired.computed == computed
    assert_mended(workspace, built_in_batches, values)


def test_lost_journals_and_artifacts_of_a_phase_cost_that_phase(built_in_batches, values, workspace):
    """Without either, its cells cannot be found: they are computed again, and nothing else."""
    shutil.rmtree(workspace.store / "actions" / "attribution")
    (workspace.store / "artifacts" / f"{workspace.artifact('attribution').key}.json").unlink()
    assert workspace.build().computed == {"attribution": len(TEXTS)}
    assert_mended(workspace, built_in_batches, values)


@pytest.mark.parametrize("damage", [delete, empty, zero], ids=lambda damage: damage.__name__)
def test_an_open_dataset_never_turns_into_zeros(workspace, damage):
    """Opened before its data was lost, a dataset raises when it is read, as one opened afterwards does."""
    opened = cs.open("activations", behaviour=BEHAVIOUR, store=workspace.store, profile=PROFILE)
    for folder in objects(workspace, "activations"):
        for path in (folder / "mlp_input" / "c").rglob("*"):
            if path.is_file():
                damage(path, path)
    with pytest.raises(DamageError, match="mlp_input"):
        opened.mlp_input.load()
    with pytest.raises(DamageError, match="mlp_input"):
        cs.open("activations", behaviour=BEHAVIOUR, store=workspace.store, profile=PROFILE).mlp_input.load()
    assert opened.mlp_output.notnull().any()


@pytest.mark.parametrize(
    ("damage", "phase", "names", "reader", "lost"),
    [
        (flip, "activations", ("mlp_input", "mlp_output"), "features", {"activations": 8}),
        (exchange, "prompts", ("correct_id", "incorrect_id"), "baseline", {"prompts": 1}),
    ],
    ids=["flip", "exchange"],
)
def test_a_build_checks_what_it_reads(
    built_in_batches, values, workspace, damage, phase, names, reader, lost
):
    """A build that reads damaged cells of the phase above stops and names them; after `verify` it computes
    what was lost.
    """
    folder = objects(workspace, phase)[0]
    shards = [next(path for path in (folder / name / "c").rglob("*") if path.is_file()) for name in names]
    damage(*shards)
    shutil.rmtree(workspace.store / "actions" / reader)
    (workspace.store / "artifacts" / f"{workspace.artifact(reader).key}.json").unlink()
    error = one_line_error(workspace.build(), code=1)
    assert (
        f"phase {reader}, behaviour {BEHAVIOUR}" in error
        and folder.name in error
        and "circuitstore verify" in error
    )
    assert lost_cells(workspace.verify()) == lost
    assert lost.items() <= workspace.build().computed.items()
    assert_mended(workspace, built_in_batches, values)


@pytest.mark.parametrize("linked", ["file", "array", "object"])
def test_links_in_an_object_are_refused(workspace, tmp_path, linked):
    """A link is not followed, even to a faithful copy: reading raises, and `verify` names it."""
    folder = objects(workspace, "baseline")[0]
    name = next(path for path in (folder / "logit_correct" / "c").rglob("*") if path.is_file())
    path = {"file": name, "array": folder / "logit_correct", "object": folder}[linked]
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(DamageError, match="got a link"):
        load(workspace, "baseline")
    found = workspace.verify()
    assert [row["path"] for row in found.json["damaged"]] == [os.path.relpath(folder, workspace.store)]
    assert workspace.build().computed == lost_cells(found) == {"baseline": 2}
    assert (tmp_path / "outside").exists()


@pytest.mark.parametrize("path", ["../../../secret", "/etc/hostname", "logit_correct/../../x", "..\\secret"])
def test_manifest_with_a_path_out_of_its_object_is_refused(workspace, path):
    """Whatever hash it carries: nothing is read, and `verify` names it."""
    folder = objects(workspace, "baseline")[0]
    manifest = read_manifest(Store(workspace.store), folder.name)
    forged = type(manifest)(
        manifest.object, manifest.cells, manifest.coords, {**manifest.files, path: (0, "0" * 64)}
    )
    (folder / "MANIFEST.json").write_bytes(seal(forged))
    with pytest.raises(DamageError, match="paths inside the object"):
        load(workspace, "baseline")
    assert workspace.verify().code == 1


def test_what_a_manifest_does_not_list_is_not_read(workspace, values):
    """Files that appeared in an object, an array for one, are no part of any result."""
    folder = objects(workspace, "baseline")[0]
    shutil.copytree(folder / "logit_correct", folder / "stranger")
    assert load(workspace, "baseline").identical(values["baseline"])


@pytest.mark.parametrize("name", ["../../../etc", "x" * 64, ""])
def test_record_with_a_path_for_a_hash_is_refused(workspace, name):
    """A ref or artifact whose ids are no hashes is an error in one line, not a path that is opened."""
    path = workspace.store / "refs" / PROFILE / BEHAVIOUR / "baseline.json"
    path.write_bytes(seal({**read_record(Store(workspace.store), str(path), dict), "artifact": name}))
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        load(workspace, "baseline")
    one_line_error(
        run("show", "baseline", "-b", BEHAVIOUR, "--profile", PROFILE, "--store", workspace.store), code=1
    )
