"""`export arrays`: any phase's output as ordinary files, equal to the bit, and nothing of others is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
from exported import ARE_FILES, FORMATS, assert_same, here, opened
from faults import changes
from workspace import BEHAVIOUR, MODEL, PROFILE, files, one_line_error, run

BUILT = (
    *("prompts", "baseline", "activations", "features", "interpretation", "pairs"),
    *("attribution", "circuit", "interventions", "figures"),
)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("phase", BUILT)
def test_every_phase_comes_back_to_the_bit(export, built, tmp_path, phase, kind):
    """In all formats, with labels, units and attributes. A sparse variable comes as its entries."""
    outcome = export(phase, "-b", BEHAVIOUR, "--format", kind)
    assert outcome.code == 0 and outcome.out == f"{tmp_path / 'out'}\n", outcome.err
    assert (tmp_path / "out").is_file() == (kind in ARE_FILES)
    got, wanted = opened(tmp_path / "out"), here(built, phase)
    if phase == "features":
        rest = wanted.drop_vars("activation")
        wanted = xr.DataTree.from_dict({"/": here(built, phase, sparse=True), "dense": rest})
    tree = wanted if isinstance(wanted, xr.DataTree) else xr.DataTree(wanted)
    assert {node.path for node in got.subtree} == {node.path for node in tree.subtree}
    for node in tree.subtree:
        assert_same(got[node.path].to_dataset(), node.to_dataset())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_xarray_alone_opens_it(export, built, tmp_path):
    """In a process that never imports circuitstore. Text has a data type that Zarr v3 specifies."""
    assert export("prompts").code == 0
    code = "import sys, xarray; d = xarray.open_zarr(sys.argv[1]); print(d.text.values.tolist()); "
    code += "assert 'circuitstore' not in sys.modules"
    words = [sys.executable, "-W", "error::RuntimeWarning", "-c", code, str(tmp_path / "out")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(here(built, "prompts").text.values.tolist()), done.stderr
    assert json.loads((tmp_path / "out" / "text" / "zarr.json").read_text())["data_type"] == "string"


def test_attributes_lead_to_code_settings_and_weights(export, built, tmp_path):
    """They name the artifact and, as JSON, all above it, with the hash of each file of weights."""
    import hashlib

    assert export("attribution").code == 0
    attributes = opened(tmp_path / "out").attrs
    artifact = built.artifact("attribution")
    assert (attributes["key"], attributes["content"]) == (artifact.key, artifact.content)
    above = json.loads(attributes["artifacts"])
    found = above["activations"]["components"]["resources"]["model"]["files"]["model.safetensors"]
    assert found == hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest()


def test_a_key_is_exported_under_the_profile_it_was_built_for(export, built, tmp_path):
    """Where the command is given none. Another one is refused, as it is by every reader."""
    key = ("--key", built.artifact("features").key)
    assert f"--profile {PROFILE}, or none" in export("activations", *key, profile="tiny").err
    outcome = export("baseline", *key)
    assert outcome.code == 2  # features were not made from baseline
    where = ("export", "arrays", tmp_path / "out", "--phase", "activations", "--store", built.store)
    assert run(*where, *key).code == 0
    assert opened(tmp_path / "out").attrs["profile"] == PROFILE


def test_without_a_destination_it_is_named_after_what_it_is(built, tmp_path, monkeypatch):
    """WHAT/PROFILE/BEHAVIOUR/PHASE, with the ending of its format."""
    monkeypatch.chdir(tmp_path)
    where = ("--phase", "baseline", "--profile", built.profile, "--store", built.store, "--json")
    for kind, ending in zip(FORMATS, (".zarr", ".zarr.zip", ".nc", ""), strict=True):
        outcome = run("export", "arrays", *where, "--format", kind)
        path = os.path.join("arrays", PROFILE, BEHAVIOUR, f"baseline{ending}")
        assert outcome.json == {BEHAVIOUR: [path]} and opened(Path(path)), outcome.err


@pytest.mark.parametrize("kind", FORMATS)
def test_an_earlier_export_is_replaced_when_told_to(export, tmp_path, kind):
    """Not without --force, and then by the new one alone."""
    assert export("prompts", "--format", kind).code == 0
    before = files(tmp_path)
    assert "--force" in one_line_error(export("baseline", "--format", kind), code=1)
    assert files(tmp_path) == before
    assert export("baseline", "--format", kind, "--force").code == 0
    assert opened(tmp_path / "out").attrs["phase"] == "baseline" and "text" not in opened(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def own_file(place: Path) -> None:
    place.write_text("mine")


def own_folder(place: Path) -> None:
    place.mkdir()
    (place / "notes.txt").write_text("mine")


def own_zarr(place: Path) -> None:
    xr.Dataset({"mine": ("x", [1.0])}).to_zarr(place, zarr_format=3, consolidated=False)


def own_netcdf(place: Path) -> None:
    xr.Dataset({"mine": ("x", [1.0])}).to_netcdf(place, engine="netcdf4")


def own_tables(place: Path) -> None:
    place.mkdir()
    pd.DataFrame({"mine": [1.0]}).to_parquet(place / "mine.parquet")


def own_zip(place: Path) -> None:
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("zarr.json", "[]")


@pytest.mark.parametrize("make", [own_file, own_folder, own_zarr, own_zip, own_netcdf, own_tables])
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_what_is_no_export_is_never_touched(export, tmp_path, make, force):
    """With --force, too."""
    make(tmp_path / "out")
    before = files(tmp_path)
    one_line_error(export("prompts", *force), code=1)
    assert files(tmp_path) == before


def test_an_export_with_files_of_ones_own_and_a_link_stay(export, built, tmp_path):
    """Neither a note among arrays is deleted, nor what a link leads to, nor an object of a store."""
    assert export("prompts", place=tmp_path / "real").code == 0
    (tmp_path / "out").symlink_to(tmp_path / "real")
    shutil.copytree(tmp_path / "real", tmp_path / "noted")
    (tmp_path / "noted" / "text" / "notes.txt").write_text("mine")
    assert export("prompts", "--format", "parquet", place=tmp_path / "tables").code == 0
    (tmp_path / "tables" / "notes.txt").write_text("mine")
    thing = next((built.store / "objects").glob("*/*/zarr.json")).parent
    before = files(tmp_path), files(thing)
    for place in (tmp_path / "out", tmp_path / "noted", tmp_path / "tables", thing):
        one_line_error(export("prompts", "--force", place=place), code=1)
    assert (files(tmp_path), files(thing)) == before


@pytest.mark.parametrize("kind", ["zarr", "zip"])
def test_a_full_disk_leaves_nothing_half_written(export, tmp_path, kind):
    """Wherever it fills up: one line, and nothing under the name that was asked for."""
    folder = tmp_path / "exports"
    words = ("prompts", "--format", kind)
    with changes(folder) as counted:
        assert export(*words, place=folder / "out").code == 0
    for at in (1, 2, 3, counted.seen // 2, counted.seen - 3):
        shutil.rmtree(folder, ignore_errors=True)
        with changes(folder, fail_from=at, errno=errno.ENOSPC):
            assert "No space left" in one_line_error(export(*words, place=folder / "out"), code=1)
        assert not (folder / "out").exists(), at


def test_a_full_disk_loses_no_earlier_export(export, tmp_path):
    """Whichever of the last steps fails, with all after it: it is there, or where the error says."""
    place = tmp_path / "exports" / "out"
    assert export("prompts", place=place).code == 0
    kept, ended = shutil.copytree(place, tmp_path / "kept"), set()
    with changes(place.parent) as counted:
        assert export("prompts", "--force", place=place).code == 0
    for at in range(counted.seen - 8, counted.seen + 1):
        shutil.rmtree(place.parent)
        shutil.copytree(kept, place)
        with changes(place.parent, fail_from=at, errno=errno.ENOSPC):
            outcome = export("prompts", "--force", place=place)
        moved = not place.exists()
        left = Path(one_line_error(outcome, code=1).partition("is now ")[2].strip()) if moved else place
        assert opened(left).equals(opened(kept))
        ended.add("moved" if moved else outcome.code)
    assert ended == {1, "moved", 0}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--phase", "nope"), "unknown phase"),
        ((), "--phase"),
        (("--phase", "prompts", "--format", "nc"), "netcdf"),
        (("--phase", "prompts", "--format", "zarr", "--format", "zip"), "one for arrays"),
        (("--phase", "prompts", "-p", "p0a"), "--prompt"),
        (("--phase", "prompts", "--scan", "x"), "--scan"),
    ],
)
def test_wrong_usage_says_what_is_right(built, tmp_path, words, told):
    """Nothing is written."""
    where = ("--profile", built.profile, "--store", built.store)
    outcome = run("export", "arrays", tmp_path / "out", *words, *where)
    assert told in one_line_error(outcome, code=2)
    assert list(tmp_path.iterdir()) == []


def test_other_exports_have_their_own_phase(built, tmp_path):
    """`--phase` with figures is refused, and an unknown kind is answered with arrays among the others."""
    where = ("--profile", built.profile, "--store", built.store)
    wrong = run("export", "figures", tmp_path / "out", "--phase", "prompts", *where)
    assert "export arrays" in one_line_error(wrong, code=2)
    assert "arrays" in one_line_error(run("export", "array", tmp_path / "out", *where), code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_leads_elsewhere_is_refused(export, tmp_path, monkeypatch):
    """A store of strangers may name a prompt so. Nothing is written."""
    from circuitstore.results import arrays_file

    hostile = xr.DataTree.from_dict({"/": xr.Dataset(), "..": xr.Dataset({"x": 1})})
    monkeypatch.setattr(arrays_file, "opened_from", lambda *arguments: hostile)
    assert "a name in prompts" in one_line_error(export("prompts"), code=1)
    assert list(tmp_path.iterdir()) == []
