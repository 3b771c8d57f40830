"""`plan` and `profile`: numbers that can be checked against what is really there, from shapes alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file
from workspace import ROOT, Workspace, one_line_error, run

from circuitstore.storage.actions import journals
from circuitstore.storage.layout import Store
from tasks import SETTINGS
from tasks.costs import shapes
from tasks.settings.model import Model, Shape
from tasks.settings.profile import load_profile, profile_names

PHASES = ("prompts", "baseline", "activations", "features", "attribution")
FEW = ("--behaviour", "plural", "--set", "prompts.train=16", "--set", "prompts.test=4")
ENCODER = 163_840 * 2560 * 2  # bytes of one of Qwen3-4B's
TRANSCODERS = 36 * (2 * 163_840 * 2560 + 163_840 + 2560) * 2


def planned(*arguments: object) -> dict:
    outcome = run("plan", *arguments, "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json


def by_phase(plan: dict) -> dict[str, dict]:
    return {row["phase"]: row for row in plan["phases"]}


@pytest.fixture
def absent(tmp_path) -> Path:
    """Where a profile lies whose model and transcoders are not on this machine."""
    (tmp_path / "qwen3-4b.toml").write_text(
        '[model]\npath = "nowhere"\ndtype = "bfloat16"\n\n[transcoders]\npath = "nowhere"\n'
    )
    return tmp_path


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> dict[str, int]:
    """Phase → bytes that building 20 prompts of `tiny` really put in a store: objects and journals."""
    store = Store(str(tmp_path_factory.mktemp("plan") / "store"))
    assert run("build", "attribution", *FEW, "--store", store.root).code == 0
    found = {}
    for phase in PHASES:
        objects = {journal.object for journal in journals(store, phase)}
        files = [file for name in objects for file in Path(store.object(name)).rglob("*")]
        files += (Path(store.root) / "actions" / phase).rglob("*.json")
        found[phase] = sum(file.stat().st_size for file in files if file.is_file())
    return found


@pytest.mark.parametrize("phase", PHASES[1:])
def test_bytes_in_the_store_are_those_that_a_build_puts_there(stored, phase):
    """Within a factor of 1.5, on the trained model that comes with it: how well arrays compress is not known
    beforehand.
    """
    row = by_phase(planned("attribution", *FEW))[phase]
    assert 1 / 1.5 < row["store_bytes"] / stored[phase] < 1.5


def test_cells_are_those_of_a_build():
    """Prompts, and layers, as a dry run counts them."""
    assert {name: row["cells"] for name, row in by_phase(planned("attribution", *FEW)).items()} == {
        "prompts": 1,
        "baseline": 20,
        "activations": 120,
        "features": 120,
        "attribution": 20,
    }


def test_parameters_are_those_of_the_file():
    """The formula counts what the weights of `tiny` really are, and what is known of the others."""
    name, profile = load_profile(SETTINGS, "tiny")
    header = shapes.header(str(Path(profile.model.path) / "model.safetensors"))
    assert shapes.parameters(shapes.sizes(name, profile).shape) * 4 == sum(
        tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in header.values()
    )
    known = {
        name: shapes.parameters(msgspec.convert(table, Shape)) for name, table in shapes.tables().items()
    }
    assert known["qwen3-4b"] == known["qwen3-4b-instruct-2507"] == 4_022_468_096
    assert known["qwen3-8b"] == 8_190_735_360


def test_what_is_here_need_not_be_downloaded(absent):
    """Sizes are those of the files when they are here, else by the table, under the profile's name."""
    here = planned("--behaviour", "plural")
    assert here["model_here"] and here["transcoders_here"] and here["download_bytes"] == 0
    assert here["model_bytes"] == (ROOT / "tasks/profiles/tiny/model/model.safetensors").stat().st_size
    away = planned("--profile", absent / "qwen3-4b.toml", "--behaviour", "plural", "attribution")
    assert not away["model_here"] and not away["transcoders_here"]
    assert (away["model_bytes"], away["transcoder_bytes"]) == (8_044_936_192, TRANSCODERS)
    assert away["download_bytes"] == 8_044_936_192 + TRANSCODERS


def test_half_a_download_is_counted(absent):
    """Shards and layers that are here are not downloaded again; what is missing is the rest."""
    model, transcoders = absent / "model", absent / "transcoders"
    for folder in (model, transcoders):
        folder.mkdir()
    shape = shapes.tables()["qwen3-4b"]
    (model / "config.json").write_text(
        json.dumps({theirs: shape[ours] for ours, theirs in shapes.IN_CONFIG.items()})
    )
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})
    )
    tensors = {"a": torch.zeros(1000, dtype=torch.bfloat16)}
    save_file(tensors, model / "one.safetensors")
    save_file({"W_enc": torch.zeros(163_840, 1, dtype=torch.bfloat16)}, transcoders / "layer_0.safetensors")
    profile = absent / "qwen3-4b.toml"
    profile.write_text(profile.read_text().replace("nowhere", "model", 1).replace("nowhere", "transcoders"))
    plan = planned("attribution", "--profile", profile, "--behaviour", "plural")
    present = sum(
        file.stat().st_size for folder in (model, transcoders) for file in folder.glob("*.safetensors")
    )
    assert not plan["model_here"] and not plan["transcoders_here"]
    assert plan["download_bytes"] == 8_044_936_192 + TRANSCODERS - present
    used = planned(
        "attribution", "--profile", profile, "--behaviour", "plural", "--set", "activations.layers=10-24"
    )
    assert used["transcoder_bytes"] == TRANSCODERS * 15 // 36, "of layers in use, of which none is here"
    assert (
        used["download_bytes"]
        == 8_044_936_192 + used["transcoder_bytes"] - (model / "one.safetensors").stat().st_size
    )


def test_the_cache_of_the_hub_is_looked_at(tmp_path, monkeypatch):
    """A repository lies at its commit, or at the commit that its branch was when it was downloaded."""
    commit = "1cfa9a7208912126459214e8b04321603b3df60c"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--Qwen--Qwen3-4B" / "refs").mkdir(parents=True)
    (tmp_path / "models--Qwen--Qwen3-4B" / "refs" / "main").write_text(commit)
    found = {
        revision: shapes.local_folder(Model(repo="Qwen/Qwen3-4B", revision=revision))
        for revision in ("main", "abcdef01")
    }
    snapshots = tmp_path / "models--Qwen--Qwen3-4B" / "snapshots"
    assert {name: Path(folder) for name, folder in found.items()} == {
        "main": snapshots / commit,
        "abcdef01": snapshots / "abcdef01",
    }


def test_a_shape_in_the_profile_goes_before_the_table(absent):
    """`[shape]`, and --set, replace single numbers; a model of other depth needs no more memory for its
    features.
    """
    whole, shallow = (
        planned(
            "features",
            "--profile",
            absent / "qwen3-4b.toml",
            "--behaviour",
            "plural",
            "--set",
            f"shape.layers={n}",
        )
        for n in (36, 9)
    )
    assert shallow["transcoder_bytes"] * 4 == whole["transcoder_bytes"]
    assert (
        by_phase(shallow)["features"]["mapped_bytes"]
        == by_phase(whole)["features"]["mapped_bytes"]
        == ENCODER
    )
    assert by_phase(shallow)["features"]["host_bytes"] == by_phase(whole)["features"]["host_bytes"]


def test_a_gpu_holds_the_model_and_a_cpu_maps_it(absent):
    """Weights in the dtype of their file are mapped on a CPU, copied in another dtype, and on a GPU they are
    device memory.
    """
    options = ("baseline", "--profile", absent / "qwen3-4b.toml", "--behaviour", "plural", "--device")
    cpu, gpu = (by_phase(planned(*options, device))["baseline"] for device in ("cpu", "a100"))
    copied = by_phase(planned(*options, "cpu", "--set", "model.dtype=float32"))["baseline"]
    assert cpu["device_bytes"] == 0 and cpu["mapped_bytes"] == 8_044_936_192
    assert gpu["mapped_bytes"] == 0 and 8_044_936_192 < gpu["device_bytes"] < 8.2e9
    assert (
        copied["mapped_bytes"] == 0 and 0 < copied["host_bytes"] - cpu["host_bytes"] - 2 * 8_044_936_192 < 1e8
    )
    assert gpu["seconds"] < cpu["seconds"]


def test_what_is_not_known_is_not_invented(absent):
    """A missing size is named, and nothing is reckoned with it."""
    profile = (absent / "qwen3-4b.toml").rename(absent / "qwen3-1.7b.toml")
    plan = planned("attribution", "--profile", profile, "--behaviour", "plural")
    assert plan["unknown"] == ["features"] and plan["download_bytes"] is None and plan["host_bytes"] is None
    assert plan["model_bytes"] == 2 * 1_720_574_976
    shown = run("plan", "attribution", "--profile", profile, "--behaviour", "plural")
    assert shown.code == 0 and "unknown: features" in shown.err and "unknown" in shown.out


@pytest.mark.parametrize("phase", ["transcoders", "attribute", "corpus"])
def test_a_phase_without_a_formula_costs_an_unknown_amount(phase):
    """It is listed, the others are reckoned all the same, and a sum with something unknown is unknown."""
    plan = planned(phase)
    assert by_phase(plan)[phase] == dict.fromkeys(by_phase(plan)[phase]) | {
        "phase": phase,
        "behaviour": by_phase(plan)[phase]["behaviour"],
    }
    assert plan["seconds"] is None and plan["store_bytes"] is None and plan["model_bytes"] > 0
    shown = run("plan", phase)
    assert shown.code == 0 and "unknown" in shown.out, shown.err


def test_a_new_phase_is_planned(monkeypatch):
    """From its declaration alone."""
    import tasks

    toy = msgspec.structs.replace(tasks.PIPELINE.task("pairs"), name="toy")
    longer = msgspec.structs.replace(tasks.PIPELINE, tasks=(*tasks.PIPELINE.tasks, toy))
    monkeypatch.setattr(tasks, "PIPELINE", longer)
    rows = by_phase(planned(*FEW))
    assert rows["toy"]["seconds"] is None and rows["pairs"]["seconds"] > 0


def test_keys_stay():
    """Programs read them."""
    plan = planned("baseline", "--behaviour", "plural")
    assert set(plan) == {
        *(
            "profile",
            "device",
            "device_memory",
            "model_bytes",
            "model_here",
            "transcoder_bytes",
            "transcoders_here",
            "download_bytes",
        ),
        *(
            "host_bytes",
            "mapped_bytes",
            "device_bytes",
            "store_bytes",
            "seconds",
            "active",
            "active_assumed",
            "unknown",
            "phases",
        ),
    }
    assert set(plan["phases"][0]) == {
        *(
            "phase",
            "behaviour",
            "cells",
            "host_bytes",
            "mapped_bytes",
            "device_bytes",
            "store_bytes",
            "seconds",
        ),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "--profile", "nobody"], ["unknown profile", "nobody"]),
        (["plan", "--device", "abacus"], ["unknown device", "a100"]),
        (["plan", "nophase"], ["unknown phase"]),
        (["profile", "show", "--profile", "nobody"], ["unknown profile", "nobody"]),
        (["profile", "show", "--set", "baseline.gait=1"], ["baseline", "gait"]),
    ],
    ids=" ".join,
)
def test_wrong_questions(arguments, words):
    """One line that says what would be right; exit code 2."""
    error = one_line_error(run(*arguments), code=2)
    assert all(word in error for word in words)


def test_a_file_that_is_no_weights_is_refused(new_workspace: Workspace, tmp_path):
    """Named, in one line."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "layer_0.safetensors").write_bytes(b"\xff" * 64)
    new_workspace.write_profile(transcoders=folder)
    assert "layer_0.safetensors" in one_line_error(
        run("plan", "--profile", new_workspace.profile, "--behaviour", "plural"), code=1
    )


def test_nothing_heavy_is_imported_or_written(tmp_path):
    """Neither torch nor transformers, and no store."""
    code = """
import sys
from circuitstore.command import main
main(sys.argv[1:])
print(*{'torch', 'transformers'} & set(sys.modules), '.')
"""
    for arguments in (["plan", "--behaviour", "plural", "--json"], ["profile", "show"]):
        command, environment = [sys.executable, "-c", code, *arguments], {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1].strip() == ".", done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_setting_is_shown_with_its_origin(tmp_path):
    """Default, profile or --set; the values are those that a build uses."""
    rows = run("profile", "show", "--set", "baseline.gate=0.3", "--json").json["settings"]
    found = {(row["section"], row["field"]): (row["value"], row["origin"]) for row in rows}
    assert found["baseline", "gate"] == (0.3, "--set")
    assert found["activations", "positions"] == (0, "profile")
    assert found["prompts", "seed"] == (42, "default")
    assert set(found) == {
        (section, field) for section, kind in SETTINGS.tables.items() for field in kind.__struct_fields__
    }
    assert "baseline.gate" in run("profile", "show").out
    assert (
        json.loads(run("profile", "list", "--json").out)["profiles"]
        == run("profile", "list").out.split()
        == profile_names()
    )
