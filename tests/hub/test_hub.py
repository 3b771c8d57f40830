"""Files of the Hugging Face hub: the real client against a hub on loopback. What is known, downloaded,
verified, refused.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
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
from circuitstore.transcoders.per_layer import Transcoders

MODEL, CODERS = "someone/model", "someone/coders"
NOTHING: dict[str, object] = {}
MEMORY = SimpleNamespace(get=NOTHING.get, put=lambda key, value: None)


def never(repo: str, revision: str) -> str:
    """No store has taken any revision for a commit."""
    return ""


@pytest.fixture
def server(tmp_path, hub_client):
    """A hub with the model of `conformance/` beside files that nobody wants, and a client whose cache is
    empty.
    """
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


def wanted(repo: str, kind: str, revision: str = "main", subfolder: str = ""):
    return hub.files(hub.find(repo, revision, never), kind, subfolder, never)


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
    """Repository, commit, and the digest of each file, which is that of its content; known without any
    weights, and then for good.
    """
    snapshot = hub.find(repo, "main", never)
    before = hub.identity(snapshot, kind, "", never)
    assert not any(map(is_weight, server.downloads()))
    hub.fetch(wanted(repo, kind), MEMORY)
    server.requests.clear()
    after = hub.identity(hub.find(repo, "main", never), kind, "", never)
    assert after == before and server.requests == []
    assert (after["repo"], after["commit"]) == (repo, server.repositories[repo].refs["main"])
    for name, digest in after["files"].items():
        content = Path(snapshot.path(name)).read_bytes()
        assert digest == (hashlib.sha256(content).hexdigest() if is_weight(name) else blob_id(content))
    assert len(after["files"]) == {"model": 2, "tokenizer": 3, "transcoders": 4}[kind]
    assert after.get("layers") == (4 if kind == "model" else None)


def test_no_pickle_and_no_code_is_downloaded(server):
    """Of each repository only what is read; not even other safetensors."""
    for repo, kind in ((MODEL, "model"), (MODEL, "tokenizer"), (CODERS, "transcoders")):
        hub.fetch(wanted(repo, kind), MEMORY)
    layers = {f"layer_{i}.safetensors" for i in range(3)}
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert set(server.downloads()) == {"config.json", "model.safetensors", "config.yaml"} | tokenizer | layers


def test_sharded_weights_are_those_of_the_index(server):
    """`model.safetensors.index.json` says which files belong to the model; one that is not there is missed
    before any download.
    """
    index = b'{"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}'
    files = {
        "config.json": b"{}",
        "model.safetensors.index.json": index,
        "model-1.safetensors": b"1",
        "other.safetensors": b"",
    }
    server.repositories["a/b"] = Repository()
    server.repositories["a/b"].commit(files)
    refused(lambda: wanted("a/b", "model"), "a/b", "no model-2.safetensors")
    server.repositories["a/b"].commit(files | {"model-2.safetensors": b"2"}, "fixed")
    assert [name for _, name in wanted("a/b", "model", "fixed")] == [
        "config.json",
        "model-1.safetensors",
        "model-2.safetensors",
    ]
    assert hub.find("a/b", "fixed", never).files["model-1.safetensors"].size == 1
    server.repositories["a/b"].commit(files | {"model.safetensors": b"whole"}, "both")
    assert [name for _, name in wanted("a/b", "model", "both")] == ["config.json", "model.safetensors"]


def test_weights_without_safetensors_are_refused(server):
    """A repository of pickles."""
    server.repositories["a/pickles"] = Repository()
    server.repositories["a/pickles"].commit({"config.json": b"{}", "pytorch_model.bin": b""})
    refused(lambda: wanted("a/pickles", "model"), "a/pickles", "no model.safetensors", "never loaded")


def test_a_broken_connection_continues_where_it_broke(server):
    """The rest is asked for by range, and the whole is verified."""
    content = os.urandom(24 << 20)  # the client writes 10 MB at a time
    server.repositories["a/large"] = Repository()
    server.repositories["a/large"].commit({"layer_0.safetensors": content})
    server.cut.add("layer_0.safetensors")
    (path,) = hub.fetch(wanted("a/large", "transcoders"), MEMORY)
    assert Path(path).read_bytes() == content
    asked = [line for line in server.requests if line.startswith("GET") and "layer_0" in line]
    assert len(asked) == 2 and asked[1].endswith(f"bytes={10 << 20}-")


def test_a_branch_stays_the_commit_that_it_was(server):
    """The cache's commit is used though the hub has a newer one, and so is the pinned one though the cache's
    moved; asked, it is said.
    """
    first = hub.find(MODEL, "main", never).commit
    server.repositories[MODEL].commit({"config.json": b"{}"})
    second = server.repositories[MODEL].refs["main"]
    assert hub.find(MODEL, "main", never).commit == first
    (note,) = hub.check(wanted(MODEL, "model"))
    assert [
        word for word in (MODEL, "main", first[:12], second[:12], "circuitstore update") if word not in note
    ] == []
    assert hub.follow(MODEL, "main") == second
    assert hub.find(MODEL, "main", never).commit == second
    assert hub.find(MODEL, "main", lambda repo, revision: first).commit == first
    assert hub.find(MODEL, first, never).commit == first


def test_a_commit_or_tag_can_be_asked_for(server):
    """Of an old commit or a tag the files are those of then; a check of what is missing has nothing to say of
    a commit.
    """
    old = server.repositories[MODEL].refs["main"]
    server.repositories[MODEL].refs["v1"] = old
    server.repositories[MODEL].commit({"config.json": b"{}"})
    for revision in (old, "v1"):
        found = wanted(MODEL, "model", revision)
        assert {home.commit for home, _ in found} == {old} and hub.check(found) == []


def test_offline_the_cache_is_enough(server, hub_client, tmp_path):
    """With the hub gone and HF_HUB_OFFLINE set, what was downloaded loads; also when only the links of an
    older tool are there.
    """
    online = hub.identity(hub.find(CODERS, "main", never), "transcoders", "", never)
    hub.fetch(wanted(CODERS, "transcoders"), MEMORY)
    server.stop()
    hub_client(server, tmp_path / "home", offline=True)
    for _ in range(2):
        snapshot = hub.find(CODERS, "main", never)
        assert hub.identity(snapshot, "transcoders", "", never) == online
        files = hub.files(snapshot, "transcoders", "", never)
        assert hub.check(files) == [] and len(hub.fetch(files, MEMORY)) == 4
        shutil.rmtree(Path(hub_cache.storage(CODERS)) / "trees", ignore_errors=True)
    refused(lambda: hub.find(MODEL, "main", never), MODEL, "HF_HUB_OFFLINE", "path")


def test_offline_with_weights_missing(server, hub_client, tmp_path):
    """Known by their list of files only: refused early."""
    found = wanted(MODEL, "model")
    hub_client(server, tmp_path / "home", offline=True)
    refused(lambda: hub.check(found), MODEL, "HF_HUB_OFFLINE")


def test_a_file_altered_on_its_way_is_refused(server):
    """By sha256; the remedy that the error names is the right one."""
    server.altered.add("layer_1.safetensors")
    content = server.repositories[CODERS].commits[server.repositories[CODERS].refs["main"]][
        "layer_1.safetensors"
    ]
    expected = hashlib.sha256(content).hexdigest()
    with pytest.raises(ModelError) as caught:
        hub.fetch(wanted(CODERS, "transcoders"), MEMORY)
    message = str(caught.value)
    assert [
        word
        for word in ("layer_1.safetensors", CODERS, f"expected sha256 {expected}", "got ", "delete ")
        if word not in message
    ] == []
    server.altered.clear()
    Path(message.split("delete ")[1].split(" and build again")[0]).unlink()
    paths = hub.fetch(wanted(CODERS, "transcoders"), MEMORY)
    assert Path(paths[2]).read_bytes() == content


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_damaged_in_the_cache_is_refused(server, name):
    """Large ones by sha256, small ones by git's blob id."""
    hub.fetch(wanted(MODEL, "model"), MEMORY)
    path = Path(hub.find(MODEL, "main", never).path(name))
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    refused(lambda: hub.fetch(wanted(MODEL, "model"), MEMORY), name, "expected", "got", "delete")


def test_a_large_file_is_hashed_once(server, monkeypatch):
    """Then it is remembered by size and time."""
    memory: dict[str, object] = {}
    remembers = SimpleNamespace(get=memory.get, put=memory.__setitem__)
    (weights,) = (path for path in hub.fetch(wanted(MODEL, "model"), remembers) if is_weight(path))
    os.utime(weights, (1e9, 1e9))
    monkeypatch.setattr("circuitstore.models.identity.SETTLED", -1)
    hub.fetch(wanted(MODEL, "model"), remembers)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    hub.fetch(wanted(MODEL, "model"), remembers)


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
    refused(lambda: hub.find(repo, revision, never), *words)


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
    found = wanted(CODERS, "transcoders")
    assert len(hub.fetch(found, MEMORY)) == 4


def test_gated_weights_are_noticed_before_a_build(server):
    """Also when the small files were downloaded while it was open."""
    found = wanted(MODEL, "model")
    server.repositories[MODEL].gated = True
    refused(lambda: hub.check(found), MODEL, "gated", "HF_TOKEN")


def test_nobody_answers(server, monkeypatch):
    """Without a connection: one line at once, whatever is asked; the client's own patience is for downloads."""
    found = wanted(CODERS, "transcoders")
    server.stop()
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waits to try again"))
    refused(lambda: hub.find("someone/other", "0" * 40, never), "someone/other", "an answer", "connection")
    refused(lambda: hub.check(found), CODERS, "an answer", "connection")
    refused(lambda: hub.find("someone/other", "main", never), "someone/other", "an answer", "connection")


def test_too_little_space(server, monkeypatch):
    """Known before anything is downloaded."""
    found = wanted(CODERS, "transcoders")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    refused(lambda: hub.check(found), "free space", "HF_HOME")
    refused(lambda: hub.fetch(found, MEMORY), "free space")
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
    snapshot = hub.find("a/set", "main", never)
    found = hub.identity(snapshot, "transcoders", "sets/relu", never)["files"]
    names = [
        "sets/relu/config.yaml",
        f"hf://{CODERS}/layer_0.safetensors?revision={tagged}",
        "top.safetensors",
    ]
    assert list(found) == [
        *names,
        "sets/relu/layer_2.safetensors",
        f"hf://a/last/deep/er.safetensors?revision={last}",
    ]
    paths = hub.fetch(hub.files(snapshot, "transcoders", "sets/relu", never), MEMORY)[1:]
    opened = Transcoders.open(Path(snapshot.folder) / "sets" / "relu", files=paths)
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
    snapshot = hub.find("a/set", "main", never)
    parts = [f"sets/layer_1-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index, *others = [
        f"sets/{name}"
        for name in ("layer_1.safetensors.index.json", "layer_0.safetensors", "layer_2.safetensors")
    ]
    everything = ["sets/config.yaml", others[0], index, *parts, others[1]]
    assert list(hub.identity(snapshot, "transcoders", "sets", never)["files"]) == everything
    hub.fetch(hub.files(snapshot, "transcoders", "sets", never, [1]), MEMORY)
    assert sorted(filter(is_weight, server.downloads())) == parts
    files = [home.path(name) for home, name in hub.transcoder_list(snapshot, "sets", never)]
    opened = Transcoders.open(Path(snapshot.folder) / "sets", files=files, layers=[1])
    assert torch.equal(
        opened.layer(1).encoder_rows([3, 7]), Transcoders.open(folder).layer(1).encoder_rows([3, 7])
    )
    broken = {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name != parts[1].removeprefix("sets/")
    }
    commits = [
        server.repositories["a/set"].commit(files)
        for files in (broken, broken | {"layer_1.safetensors.index.json": b"{}"})
    ]
    refused(lambda: wanted("a/set", "transcoders", commits[0]), "no layer_1-00002-of-00002.safetensors")
    refused(
        lambda: wanted("a/set", "transcoders", commits[1]),
        "layer_1.safetensors.index.json of a/set",
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


CACHE = """
import os
from huggingface_hub import constants
from circuitstore.models import hub_cache
print(hub_cache.cache_folder(), os.path.realpath(constants.HF_HUB_CACHE))
"""


@pytest.mark.parametrize(
    "variables", [{}, {"HF_HOME": "~/h"}, {"HF_HUB_CACHE": "/x/cache"}, {"XDG_CACHE_HOME": "/x/xdg"}]
)
def test_the_cache_is_the_one_that_other_tools_use(variables):
    """Found by the same variables as huggingface_hub, without importing it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGINGFACE", "XDG"))
    }
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CACHE],
        env=kept | variables,
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    ours, theirs = done.stdout.split()
    assert ours == theirs
