"""Builds with a model and transcoders of the Hugging Face hub, against a hub on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub, Repository
from safetensors.numpy import load_file, save_file
from workspace import MODEL, ROOT, TRANSCODERS, Outcome, Workspace, files, one_line_error, run

import circuitstore as cs
from circuitstore.storage.layout import Store
from circuitstore.storage.pins import pins
from circuitstore.storage.refs import Name, named, names

REPO, CODERS = "someone/qwen3-mini", "someone/qwen3-mini-coders"
PROFILE = """
[model]
repo = "someone/qwen3-mini"
threads = 1
[transcoders]
repo = "someone/qwen3-mini-coders"
[baseline]
gate = 0.0
[activations]
positions = 0
"""
WARM = """
import sys
from circuitstore.command import main
code = main(sys.argv[1:])
heavy = {"torch", "huggingface_hub", "transformers", "yaml", "numpy", "httpx2"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else code)
"""


class HubProject:
    """A hub, a workspace whose profile names repositories of it, and the cache of a client."""

    def __init__(self, hub: Hub, root: Path):
        self.hub, self.home, self.work = hub, root / "home", Workspace.create(root / "work")
        self.work.profile.write_text(PROFILE)

    def process(self, *arguments: object, python: tuple[str, ...] = ("cli.py",), **variables: str) -> Outcome:
        """One command in a process of its own, which knows of the hub by its environment alone."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.hub.environment(self.home), **variables}
        command = [sys.executable, *python, *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)


def relu() -> dict[str, bytes]:
    """The files of the transcoders of `conformance/`, without the reference results beside them."""
    return {
        path.name: path.read_bytes()
        for path in TRANSCODERS.iterdir()
        if path.name.startswith(("layer_", "config"))
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> HubProject:
    """`attribution` built in a process of its own, while one download broke off. Read only."""
    with Hub() as hub:
        hub.add(REPO, MODEL, {"pytorch_model.bin": b"pickle"})
        hub.repositories[CODERS] = Repository()
        hub.repositories[CODERS].commit(relu())
        project = HubProject(hub, tmp_path_factory.mktemp("hub"))
        hub.cut.add("layer_1.safetensors")
        project.first = project.process("build", "attribution", *project.work.selection, "--json")
        project.asked = list(hub.requests)
        yield project


@pytest.fixture
def project(built: HubProject, tmp_path, hub_client) -> HubProject:
    """A copy of it, with a hub of its own; `run` in this process asks that hub."""
    with Hub() as hub:
        for name, held in built.hub.repositories.items():
            hub.repositories[name] = Repository(dict(held.commits), dict(held.refs))
        shutil.copytree(built.home, tmp_path / "home", symlinks=True)
        built.work.copy(tmp_path / "work")
        made = HubProject(hub, tmp_path)
        hub_client(hub, made.home)
        yield made


def test_a_build_downloads_what_it_needs(built, built_once):
    """The same contents as from local folders; nothing was asked for that is not read, and the terms of the
    keys are recorded.
    """
    assert built.first.code == 0, built.first.err
    assert built.first.computed == {
        "prompts": 1,
        "baseline": 3,
        "activations": 12,
        "features": 12,
        "attribution": 3,
    }
    contents = [Workspace.contents(work) for work in (built.work, built_once)]
    assert contents[0] == contents[1]
    assert not any(name in line for line in built.asked for name in ("pytorch_model", "expected"))
    recorded = built.work.artifact("attribution").components.resources
    for kind, repo in (("model", REPO), ("transcoders", CODERS)):
        assert (recorded[kind]["repo"], recorded[kind]["commit"]) == (
            repo,
            built.hub.repositories[repo].refs["main"],
        )
        assert all(len(digest) in (40, 64) for digest in recorded[kind]["files"].values())


def test_progress_bars_are_for_terminals(built):
    """What a log file gets: warnings and a line a phase."""
    assert "%|" not in built.first.err and "Fetching" not in built.first.err


def test_a_warm_build_asks_nobody_and_imports_little(built):
    """Neither the hub nor the cache is needed any more, here or at a collaborator's: the store knows."""
    built.hub.requests.clear()
    for variables in (
        {},
        {
            "HF_HOME": str(built.home / "none"),
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "CIRCUITSTORE_CACHE": str(built.home / "no"),
        },
    ):
        before = files(built.work.root)
        again = built.process(
            "build", "attribution", *built.work.selection, "--json", python=("-c", WARM), **variables
        )
        assert again.code == 0, again.err
        assert again.computed == {} and built.hub.requests == []
        assert files(built.work.root) == before


WATCHED = """
import sys
from circuitstore import pipeline
from circuitstore.engine import loading
from circuitstore.engine.planner import Planner
from circuitstore.storage.layout import Store
loaded = pipeline.load()
(selection,) = loaded.serves.settings.select(sys.argv[1], ("plural",), None, (), ())
planner = Planner(loaded, Store(sys.argv[2]))
(*_, step) = planner.steps(selection, loaded.closure(("features",)))
assert "circuitstore.hub.repository" in sys.modules
assert "circuitstore.transcoders.formats" in sys.modules
loading.check_loaded(step.components.code)
"""


def test_planning_loads_code_of_keys_from_source(built, tmp_path):
    """What decides which file is which layer is known by its source also when it runs before a build does."""
    done = built.process(built.work.profile, tmp_path / "store", python=("-c", WATCHED))
    assert done.code == 0, done.err


def test_readers_pin_nothing(project):
    """`status` of another store resolves what it must, and writes nothing there."""
    shutil.rmtree(project.work.store)
    outcome = run("status", *project.work.selection)
    assert outcome.code == 0, outcome.err
    assert not project.work.store.exists()


def test_a_branch_that_moved_is_said_and_not_followed(project):
    """Neither by a newer commit on the hub, nor when another tool took it; `update` follows, and what it
    changes is explained.
    """
    old, coders = project.hub.repositories[CODERS].refs["main"], project.hub.repositories[CODERS]
    new = coders.commit({**relu(), "layer_3.safetensors": relu()["layer_2.safetensors"]})
    cache = project.home / "hub" / f"models--{CODERS.replace('/', '--')}"
    (cache / "refs" / "main").write_text(new)
    (cache / "snapshots" / old / "layer_3.safetensors").unlink()
    for blob in (cache / "blobs").iterdir():
        if blob.read_bytes() == relu()["layer_3.safetensors"]:
            blob.unlink()
    assert project.work.build().computed == {}
    more = project.work.build("--set", "attribution.max_logits=2")
    assert more.code == 0 and more.computed == {"attribution": 3}, more.err
    said = f"{CODERS}: main is {new[:12]} on the hub now, {old[:12]} is used as before"
    assert f"{said}; `circuitstore update` follows it" in more.err
    assert project.work.artifact("attribution").components.resources["transcoders"]["commit"] == old

    updated = run("update", "--profile", project.work.profile, "--store", project.work.store, "--json")
    assert [(row["repo"], row["before"], row["after"]) for row in updated.json] == [
        (REPO, project.hub.repositories[REPO].refs["main"], project.hub.repositories[REPO].refs["main"]),
        (CODERS, old, new),
    ]
    why = project.work.explain().phases["features"]["why"]
    assert [
        line for line in why if "transcoders.commit" in line or "layer_3.safetensors" in line
    ] == why and len(why) == 2
    rebuilt = project.work.build()
    assert rebuilt.computed == {"features": 12, "attribution": 3}, rebuilt.err
    assert {pin.commit for pin in pins(Store(project.work.store)) if pin.repo == CODERS} == {new}
    again = run("update", "--profile", project.work.profile, "--store", project.work.store)
    assert again.code == 0 and f"{CODERS} main: {new[:12]}, as before" in again.out
    project.hub.stop()
    assert "an answer" in one_line_error(
        run("update", "--profile", project.work.profile, "--store", project.work.store), code=1
    )


def test_transcoders_of_another_model_are_warned_of(project):
    """By config.yaml's model_name, or trained_on if the profile says; not when it is the model that is
    analysed.
    """
    warned = (
        "were trained on random-qwen3-4l, not on someone/qwen3-mini; how well they do is not known for mine"
    )
    assert warned in project.work.build("--set", "attribution.max_logits=2").err
    same = project.work.build("--set", "attribution.max_logits=3", "--set", f"transcoders.trained_on={REPO}")
    assert same.code == 0 and "were trained on" not in same.err


def test_the_warning_tells_the_error_on_both_models(project):
    """Once `features` is built on the model that they were trained on too, whatever the profile is called."""
    project.hub.add("someone/first-model", scaled_model(project.home.parent / "first"))
    other = project.work.root / "other.toml"
    other.write_text(PROFILE.replace(REPO, "someone/first-model", 1))
    built = run("build", "features", "--profile", other, *project.work.selection[2:])
    assert built.code == 0, built.err
    said = project.work.build(
        "--set", "attribution.max_logits=2", "--set", "transcoders.trained_on=someone/first-model"
    ).err
    stores = [
        named(Store(project.work.store), Name(name, "mine", "features")).summary["layers"]
        for name in ("other", "small")
    ]
    first, own = (sum(layer["explained_variance"] for layer in layers.values()) / 4 for layers in stores)
    assert round(first, 3) != round(own, 3)
    assert f"mean of 4 layers: {first:.3f} on someone/first-model, {own:.3f} on {REPO}" in said


def scaled_model(folder: Path) -> Path:
    """The model of `conformance/` with its first MLP halved."""
    shutil.copytree(MODEL, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.mlp.down_proj.weight"] = tensors["model.layers.0.mlp.down_proj.weight"] / 2
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_nothing_is_written_when_something_cannot_be_had(project):
    """A gated repository, or one that does not exist, is known before a build starts: one line, no store."""
    shutil.rmtree(project.work.store)
    shutil.rmtree(project.home / "hub" / f"models--{CODERS.replace('/', '--')}" / "blobs")
    project.hub.repositories[CODERS].gated = True
    assert "accept its terms" in one_line_error(run("build", "attribution", *project.work.selection), code=1)
    missing = run("build", *project.work.selection, "--set", "model.repo=someone/nothing")
    assert "someone/nothing" in one_line_error(missing, code=1)
    assert not project.work.store.exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.repo=a/b/c", ("model.repo", "OWNER/NAME", "'a/b/c'")),
        ("model.repo=../b", ("model.repo", "OWNER/NAME")),
        ("model.revision=a b", ("model.revision", "branch, tag or commit")),
        ("transcoders.subfolder=../x", ("transcoders.subfolder", "a folder inside")),
        ("model.path=", ("model", "either path or repo", "neither")),
    ],
)
def test_places_that_cannot_be(new_workspace, setting, words):
    """One folder or one repository, and no way out of it."""
    new_workspace.profile.write_text(PROFILE)
    error = one_line_error(run("build", *new_workspace.selection, "--set", setting), code=2)
    assert [word for word in words if word not in error] == [], error


def test_a_profile_names_one_place(new_workspace):
    """Both, or a revision of a folder, is a mistake; but --set has the last word on the place."""
    both = PROFILE.replace("[transcoders]", f'path = "{MODEL}"\n[transcoders]')
    new_workspace.profile.write_text(both)
    assert "got both" in one_line_error(run("status", *new_workspace.selection), code=2)
    new_workspace.profile.write_text(both.replace('repo = "someone/qwen3-mini"\n', 'revision = "v1"\n', 1))
    assert "revision only beside repo" in one_line_error(run("status", *new_workspace.selection), code=2)
    new_workspace.profile.write_text(PROFILE)
    local = ["--set", f"model.path={MODEL}", "--set", f"transcoders.path={TRANSCODERS}"]
    assert run("status", *new_workspace.selection, *local).code == 0


def test_one_graph_with_transcoders_of_a_repository(project, built_once, tmp_path):
    """`attribute` takes a repository where no folder of that name exists, with a model's folder or with a
    profile.
    """
    asked = {"max_logits": 3, "store": tmp_path / "graphs"}
    local = cs.attribute("the cat sat", model=MODEL, transcoders=TRANSCODERS, **asked)
    remote = cs.attribute("the cat sat", model=MODEL, transcoders=f"{CODERS}@main", **asked)
    profile = cs.attribute("the cat sat", model=built_once.profile, transcoders=CODERS, **asked)
    for graph in (remote, profile):
        assert graph.edge_weight.equals(local.edge_weight)


def test_local_transcoders_may_list_files_of_the_hub(project, tmp_path):
    """A folder that holds only config.yaml: its files are fetched, and are in keys by digest and commit."""
    commit = project.hub.repositories[CODERS].refs["main"]
    listed = [f"hf://{CODERS}/layer_{i}.safetensors" for i in range(3)] + ["layer_3.safetensors"]
    folder = tmp_path / "listed"
    folder.mkdir()
    shutil.copy(TRANSCODERS / "layer_3.safetensors", folder)
    (folder / "config.yaml").write_text(json.dumps({"transcoders": listed}))
    asked = {"max_logits": 3, "store": tmp_path / "graphs"}
    local = cs.attribute("the cat sat", model=MODEL, transcoders=TRANSCODERS, **asked)
    listed = cs.attribute("the cat sat", model=MODEL, transcoders=folder, **asked)
    assert listed.edge_weight.equals(local.edge_weight)
    assert [(pin.kind, pin.repo, pin.commit) for pin in pins(Store(tmp_path / "graphs"))] == [
        ("linked", CODERS, commit)
    ]
    opened = Store(tmp_path / "graphs")
    (behaviour,) = {name.behaviour for name in names(opened)}
    read = named(opened, Name(MODEL.name, behaviour, "attribute")).components.resources
    addresses = {f"hf://{CODERS}/layer_{i}.safetensors?revision={commit}" for i in range(3)}
    assert set(read["transcoders"]["files"]) == {"config.yaml", "layer_3.safetensors"} | addresses


def test_only_layers_in_use_are_downloaded(project, built_once):
    """Others are fetched when more are kept, or for one text. Results are those of local folders."""
    shutil.rmtree(project.work.store)
    shutil.rmtree(project.home)
    kept = ("build", "attribution", *project.work.selection, "--set", "activations.layers=1-2")
    assert run(*kept).code == 0
    assert weights(project) == {"layer_1.safetensors", "layer_2.safetensors"}
    assert run(*kept[:-1], "activations.layers=1-3").code == 0
    assert weights(project) == {"layer_1.safetensors", "layer_2.safetensors", "layer_3.safetensors"}
    cs.attribute("the cat sat", model=project.work.profile, max_logits=3, store=project.work.store)
    assert weights(project) == {f"layer_{i}.safetensors" for i in range(4)}
    assert run("build", "attribution", *project.work.selection).code == 0
    assert project.work.contents() == built_once.contents()


def weights(project: HubProject) -> set[str]:
    """Names of the transcoders that are here."""
    return {path.name for path in project.home.rglob("layer_*.safetensors")}


def test_there_is_nothing_to_follow_in_folders(tmp_path):
    """`update` of a profile of local folders asks nobody and makes no store."""
    outcome = run("update", "--store", tmp_path / "store")
    assert outcome.code == 0 and "local folders" in outcome.err
    assert not (tmp_path / "store").exists()


def test_a_damaged_pin_is_named(project):
    """It is not passed over, which would follow the branch; `verify` sets it aside."""
    path = next((project.work.store / "inputs" / "hub").iterdir())
    path.write_bytes(path.read_bytes().replace(b"main", b"mean", 1))
    assert path.name in one_line_error(run("status", *project.work.selection), code=1)
    assert path.name in project.work.verify().out
    assert run("status", *project.work.selection).code == 0


def test_shipped_profiles_pin_commits():
    """Every profile of a real model loads, and names repositories at commits, or says why at a branch."""
    from tasks import SETTINGS
    from tasks.settings.profile import load_profile, profile_names

    real = [name for name in profile_names() if name.startswith("qwen3")]
    assert len(real) == 6
    for name in real:
        profile = load_profile(SETTINGS, name)[1]
        source = (ROOT / "tasks" / "profiles" / f"{name}.toml").read_text()
        for table in (profile.model, profile.transcoders):
            assert table.repo.split("/")[0] in ("Qwen", "mwhanna") and not table.path
            assert len(table.revision) == 40 or (table.revision == "main" and "no commit of it" in source)
        assert profile.model.dtype == "bfloat16" and profile.transcoders.trained_on.startswith("Qwen/Qwen3-")
