"""Files of the Hugging Face hub: what is known, downloaded, verified and refused.

The real client asks a hub on loopback.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from hub_server import Hub, Repository, blob_id
from huggingface_hub import save_torch_state_dict
from random_model import CONFORMANCE, write_transcoders
from safetensors.torch import load_file

from circuitstore.errors import ModelError
from circuitstore.hub import cache as hub_cache
from circuitstore.hub import repository as hub
from circuitstore.storage.layout import Store
from circuitstore.transcoders.per_layer import Transcoders
from tasks.inputs import model, tokenizer, transcoder_files, transcoders
from tasks.inputs.files import CONFIGS, Files
from tasks.inputs.places import Repository as Place

MODEL, CODERS = "someone/model", "someone/coders"
INPUTS = {"model": model, "tokenizer": tokenizer, "transcoders": transcoders}
NO_STORE = Store("no store is here")


@pytest.fixture
def server(tmp_path, hub_client):
    """A hub with the model of `conformance/` beside files that nobody wants, and an empty cache."""
    with Hub() as started:
        unwanted = {
            "pytorch_model.bin": b"pickle",
            "modeling.py": b"raise SystemExit",
            "onnx/model.safetensors": b"other",
        }
        started.add(MODEL, CONFORMANCE / "model", unwanted)
        started.add(CODERS, write_transcoders(tmp_path / "coders", 1), {"features/layer_0.bin": b"dashboard"})
        hub_client(started, tmp_path / "home")
        yield started


def place(repo: str, revision: str = "main", subfolder: str = "") -> Place:
    return Place(repo, revision, subfolder, NO_STORE)


def wanted(repo: str, kind: str, revision: str = "main", subfolder: str = "") -> Files:
    return INPUTS[kind].files(place(repo, revision, subfolder))


def fetched(repo: str, kind: str) -> list[Path]:
    """The files of an input, after they are fetched."""
    files = wanted(repo, kind)
    files.fetch()
    return [Path(home.path(name)) for home, name in files.files]


def refused(action, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message


def is_weight(name: str) -> bool:
    return name.endswith(".safetensors")


@pytest.mark.parametrize(("repo", "kind"), [(MODEL, "model"), (MODEL, "tokenizer"), (CODERS, "transcoders")])
def test_identity_is_the_same_before_and_after_the_download(server, repo, kind):
    """Repository, commit, and the digest of each file; known without any weights, and then for good."""
    before = wanted(repo, kind).identity()
    assert not any(map(is_weight, server.downloads()))
    paths = fetched(repo, kind)
    server.requests.clear()
    after = wanted(repo, kind).identity()
    assert after == before and server.requests == []
    assert (after["repo"], after["commit"]) == (repo, server.repositories[repo].refs["main"])
    for path, (name, digest) in zip(paths, after["files"].items(), strict=True):
        content = path.read_bytes()
        if name not in CONFIGS:  # these count by what they say, in whatever layout
            assert digest == (hashlib.sha256(content).hexdigest() if is_weight(name) else blob_id(content))
    assert len(after["files"]) == {"model": 5, "tokenizer": 4, "transcoders": 4}[kind]


def test_a_folder_and_a_repository_of_the_same_transcoders(server, tmp_path):
    """Their files have the same digests."""
    from tasks.inputs.places import Folder

    here = transcoders.identity(Folder(str(tmp_path / "coders"), NO_STORE))
    assert transcoders.identity(place(CODERS))["files"] == here["files"]


def test_no_pickle_and_no_code_is_downloaded(server):
    """Of each repository only what is read; not even other safetensors."""
    for repo, kind in ((MODEL, "model"), (MODEL, "tokenizer"), (CODERS, "transcoders")):
        fetched(repo, kind)
    layers = {f"layer_{i}.safetensors" for i in range(3)}
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert set(server.downloads()) == {"config.json", "model.safetensors", "config.yaml"} | tokenizer | layers


def test_sharded_weights_are_those_of_the_index(server):
    """`model.safetensors.index.json` says which files belong to the model, before any download."""
    parts = {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}
    index = json.dumps({"weight_map": parts}).encode()
    files = {
        "config.json": b"{}",
        "model.safetensors.index.json": index,
        "model-1.safetensors": b"1",
        "other.safetensors": b"",
        "tokenizer.json": b"{}",
    }
    server.repositories["a/b"] = Repository()
    server.repositories["a/b"].commit(files)
    refused(lambda: wanted("a/b", "model"), "a/b", "no model-2.safetensors")
    server.repositories["a/b"].commit(files | {"model-2.safetensors": b"2"}, "fixed")
    shards = ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"]
    names = [name for _, name in wanted("a/b", "model", "fixed").files]
    assert names == ["config.json", *shards, "tokenizer.json"]
    assert hub.find("a/b", "fixed").files["model-1.safetensors"].size == 1
    server.repositories["a/b"].commit(files | {"model.safetensors": b"whole"}, "both")
    names = [name for _, name in wanted("a/b", "model", "both").files]
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]


def test_weights_without_safetensors_are_refused(server):
    """A repository of pickles."""
    server.repositories["a/pickles"] = Repository()
    server.repositories["a/pickles"].commit({"config.json": b"{}", "pytorch_model.bin": b""})
    refused(
        lambda: wanted("a/pickles", "model"), "a/pickles", "model.safetensors", "no such file", "never loaded"
    )


def test_a_broken_connection_continues_where_it_broke(server):
    """The rest is asked for by range, and the whole is verified."""
    content = os.urandom(24 << 20)  # the client writes 10 MB at a time
    server.repositories["a/large"] = Repository()
    server.repositories["a/large"].commit({"layer_0.safetensors": content})
    server.cut.add("layer_0.safetensors")
    (path,) = fetched("a/large", "transcoders")
    assert path.read_bytes() == content
    asked = [line for line in server.requests if line.startswith("GET") and "layer_0" in line]
    assert len(asked) == 2 and asked[1].endswith(f"bytes={10 << 20}-")


def test_a_branch_stays_the_commit_that_it_was(server):
    """The cache's commit is used though the hub has a newer one, and so is the pinned one though the cache's
    moved; asked, it is said.
    """
    first = hub.find(MODEL, "main").commit
    server.repositories[MODEL].commit({"config.json": b"{}"})
    second = server.repositories[MODEL].refs["main"]
    assert hub.find(MODEL, "main").commit == first
    (note,) = wanted(MODEL, "model").check()
    words = (MODEL, "main", first[:12], second[:12], "circuitstore update")
    assert [word for word in words if word not in note] == []
    assert hub.follow(MODEL, "main") == second
    assert hub.find(MODEL, "main").commit == second
    assert hub.find(MODEL, "main", first).commit == first
    assert hub.find(MODEL, first).commit == first


def test_a_commit_or_tag_can_be_asked_for(server):
    """Of an old commit or a tag the files are those of then; a check of what is missing has nothing to say of
    a commit.
    """
    old = server.repositories[MODEL].refs["main"]
    server.repositories[MODEL].refs["v1"] = old
    server.repositories[MODEL].commit({"config.json": b"{}"})
    for revision in (old, "v1"):
        files = wanted(MODEL, "model", revision)
        assert files.identity()["commit"] == old and files.check() == []


def test_offline_the_cache_is_enough(server, hub_client, tmp_path):
    """With the hub gone and HF_HUB_OFFLINE set, what was downloaded loads; also when only the links of an
    older tool are there.
    """
    online = transcoders.identity(place(CODERS))
    fetched(CODERS, "transcoders")
    server.stop()
    hub_client(server, tmp_path / "home", offline=True)
    for _ in range(2):
        files = wanted(CODERS, "transcoders")
        assert files.identity() == online and files.check() == []
        assert len(fetched(CODERS, "transcoders")) == 4
        shutil.rmtree(Path(hub_cache.storage(CODERS)) / "trees", ignore_errors=True)
    refused(lambda: hub.find(MODEL, "main"), MODEL, "HF_HUB_OFFLINE", "path")


@pytest.mark.parametrize("told", [True, False], ids=["HF_HUB_OFFLINE", "no connection"])
@pytest.mark.parametrize(("repo", "kind"), [(MODEL, "model"), (CODERS, "transcoders")])
def test_a_cache_copied_without_links_is_enough(server, hub_client, tmp_path, told, repo, kind):
    """Files in place of links, no blobs and no list: the same identity offline, and what is needed loads."""
    online = wanted(repo, kind).identity()
    fetched(repo, kind)
    top = Path(hub_cache.storage(repo))
    copy = tmp_path / "copy" / "hub" / top.name
    shutil.copytree(top, copy, ignore=shutil.ignore_patterns("blobs", "trees"))
    assert not any(path.is_symlink() for path in copy.rglob("*"))
    server.stop()
    hub_client(server, tmp_path / "copy", offline=told)
    files = wanted(repo, kind)
    assert files.identity() == online and files.check() == []
    assert all(path.is_file() for path in fetched(repo, kind))


def test_offline_with_weights_missing(server, hub_client, tmp_path):
    """Known by their list of files only: refused early."""
    files = wanted(MODEL, "model")
    hub_client(server, tmp_path / "home", offline=True)
    refused(files.check, MODEL, "HF_HUB_OFFLINE")


def test_a_file_altered_on_its_way_is_refused(server):
    """By sha256; the remedy that the error names is the right one."""
    server.altered.add("layer_1.safetensors")
    content = server.repositories[CODERS].commits[server.repositories[CODERS].refs["main"]][
        "layer_1.safetensors"
    ]
    expected = hashlib.sha256(content).hexdigest()
    with pytest.raises(ModelError) as caught:
        fetched(CODERS, "transcoders")
    message = str(caught.value)
    assert [
        word
        for word in ("layer_1.safetensors", CODERS, f"expected sha256 {expected}", "got ", "delete ")
        if word not in message
    ] == []
    server.altered.clear()
    Path(message.split("delete ")[1].split(" and build again")[0]).unlink()
    assert fetched(CODERS, "transcoders")[2].read_bytes() == content


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_damaged_in_the_cache_is_refused(server, name):
    """Large ones by sha256, small ones by git's blob id."""
    fetched(MODEL, "model")
    path = Path(place(MODEL).path(name))
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    refused(lambda: fetched(MODEL, "model"), name, "expected", "got", "delete")


def test_a_large_file_is_hashed_once(server, monkeypatch):
    """Then it is remembered by size and time."""
    monkeypatch.setattr("circuitstore.memo.SETTLED", -1)
    fetched(MODEL, "model")
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    fetched(MODEL, "model")


@pytest.mark.parametrize(
    ("repo", "revision", "words"),
    [
        ("someone/nothing", "main", ("someone/nothing", "a repository", "spelling")),
        (MODEL, "v9", (MODEL, "v9", "no such revision", "tree/main")),
        (MODEL, "0" * 40, (MODEL, "000000000000", "no such revision")),
    ],
)
def test_what_the_hub_does_not_have(server, repo, revision, words):
    """Named in one line, with what to do."""
    refused(lambda: hub.find(repo, revision), *words)


def test_gated_repository(server, monkeypatch):
    """Refused before anything is downloaded, with where to ask; a token opens it."""
    server.repositories[CODERS].gated = True
    server.full = "secret"
    refused(
        lambda: wanted(CODERS, "transcoders"),
        CODERS,
        "gated",
        "accept its terms",
        "hf auth login",
        "HF_TOKEN",
    )
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert len(fetched(CODERS, "transcoders")) == 4


def test_gated_weights_are_noticed_before_a_build(server):
    """Also when the small files were downloaded while it was open."""
    files = wanted(MODEL, "model")
    server.repositories[MODEL].gated = True
    refused(files.check, MODEL, "gated", "HF_TOKEN")


def test_nobody_answers(server, monkeypatch):
    """Without a connection: one line at once, whatever is asked. The client's patience is for downloads."""
    files = wanted(CODERS, "transcoders")
    server.stop()
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waits to try again"))
    refused(lambda: hub.find("someone/other", "0" * 40), "someone/other", "an answer", "connection")
    refused(files.check, CODERS, "an answer", "connection")
    refused(lambda: hub.find("someone/other", "main"), "someone/other", "an answer", "connection")


def test_too_little_space(server, monkeypatch):
    """Known before anything is downloaded."""
    files = wanted(CODERS, "transcoders")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    refused(files.check, "free space", "HF_HOME")
    refused(files.fetch, "free space")
    assert not any(map(is_weight, server.downloads()))


def test_listed_files_of_other_repositories(server, tmp_path):
    """config.yaml in a subfolder: relative paths are relative to it, addresses name any repository, each at
    one commit of its own.
    """
    folder = write_transcoders(tmp_path / "set", 7, layers=4)
    addresses = [
        f"hf://{CODERS}/layer_0.safetensors?revision=v1",
        "hf://a/set/top.safetensors",
        "layer_2.safetensors",
    ]
    addresses += ["hf://a/last/deep/er.safetensors"]
    (folder / "config.yaml").write_text(yaml.safe_dump({"transcoders": addresses, "model_name": MODEL}))
    tagged = server.repositories[CODERS].refs["v1"] = server.repositories[CODERS].refs["main"]
    server.repositories[CODERS].commit({})
    files = {f"sets/relu/{path.name}": path.read_bytes() for path in folder.iterdir()}
    server.repositories["a/set"] = Repository()
    server.repositories["a/set"].commit(files | {"top.safetensors": files["sets/relu/layer_1.safetensors"]})
    server.repositories["a/last"] = Repository()
    last = server.repositories["a/last"].commit(
        {"deep/er.safetensors": files["sets/relu/layer_3.safetensors"]}
    )
    home = place("a/set", subfolder="sets/relu")
    own = server.repositories["a/set"].refs["main"]
    assert list(transcoders.identity(home)["files"]) == [
        "config.yaml",
        f"hf://{CODERS}/layer_0.safetensors?revision={tagged}",
        f"hf://a/set/top.safetensors?revision={own}",
        "layer_2.safetensors",
        f"hf://a/last/deep/er.safetensors?revision={last}",
    ]
    files = transcoder_files.files(home)
    files.fetch()
    paths = [where.path(name) for where, name in files.files[1:]]
    opened = Transcoders.open(home.path(""), files=paths)
    expected = [
        tmp_path / "coders" / "layer_0.safetensors",
        *(folder / f"layer_{i}.safetensors" for i in (1, 2, 3)),
    ]
    assert [path.read_bytes() for path in opened.files] == [path.read_bytes() for path in expected]


def test_a_layer_in_several_files(server, tmp_path):
    """Its index and the files that this names are its identity, and are downloaded for that layer alone."""
    folder = write_transcoders(tmp_path / "set", 7, layers=3)
    sharded = {"filename_pattern": "layer_1{suffix}.safetensors", "max_shard_size": 12_000}
    save_torch_state_dict(load_file(folder / "layer_1.safetensors"), folder, **sharded)
    server.repositories["a/set"] = Repository()
    server.repositories["a/set"].commit({f"sets/{path.name}": path.read_bytes() for path in folder.iterdir()})
    home = place("a/set", subfolder="sets")
    parts = [f"layer_1-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index, *others = ("layer_1.safetensors.index.json", "layer_0.safetensors", "layer_2.safetensors")
    everything = ["config.yaml", others[0], index, *parts, others[1]]
    assert list(transcoders.identity(home)["files"]) == everything
    transcoder_files.files(home, [1]).fetch()
    assert sorted(filter(is_weight, server.downloads())) == [f"sets/{part}" for part in parts]
    files = [where.path(name) for where, name in transcoder_files.layer_files(home)]
    opened = Transcoders.open(home.path(""), files=files, layers=[1])
    assert torch.equal(
        opened.layer(1).encoder_rows([3, 7]), Transcoders.open(folder).layer(1).encoder_rows([3, 7])
    )
    broken = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != parts[1]}
    commits = [
        server.repositories["a/set"].commit(files)
        for files in (broken, broken | {"layer_1.safetensors.index.json": b"{}"})
    ]
    refused(lambda: wanted("a/set", "transcoders", commits[0]), "no layer_1-00002-of-00002.safetensors")
    refused(
        lambda: wanted("a/set", "transcoders", commits[1]),
        "layer_1.safetensors.index.json in a/set",
        "weight_map",
    )


@pytest.mark.parametrize(
    "entry", ["hf://a/set/model.bin", "hf://only", "../x.safetensors", "https://x/y.safetensors"]
)
def test_listed_files_that_are_never_fetched(server, entry):
    """Pickles, addresses elsewhere, paths out of the repository."""
    server.repositories["a/set"] = Repository()
    server.repositories["a/set"].commit({"config.yaml": yaml.safe_dump({"transcoders": [entry]}).encode()})
    refused(lambda: wanted("a/set", "transcoders"), "a/set", "expected", entry)
