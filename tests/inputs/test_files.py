"""The identity of an input is exactly the list of files that loading it opens, each by content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from damaged import edit_json, edit_tensors
from huggingface_hub import save_torch_state_dict
from opened import opened_below
from random_model import write_model, write_transcoders
from safetensors.torch import load_file
from transformers import tokenization_utils_base

from circuitstore.errors import ModelError
from circuitstore.storage.layout import Store
from tasks.inputs import model, tokenizer, transcoders
from tasks.inputs.places import Folder

TOKENIZER = ["config.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"]
TEMPLATE = "chat_template.jinja"
MODEL = ["config.json", "model.safetensors", *TOKENIZER[1:]]


RUST = {"tokenizer.json"}  # read by a reader that raises no event and maps nothing
# Hashed all the same: transformers opens it where tokenizer_config.json has no added_tokens_decoder.
LEGACY = {"special_tokens_map.json"}


@pytest.fixture(autouse=True)
def hashed_once(monkeypatch):
    """Young files are remembered too, so that what is read in loading is not read to be hashed."""
    monkeypatch.setattr("circuitstore.memo.SETTLED", -1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model with three layers."""
    return write_model(tmp_path / "model", 1)


@pytest.fixture
def coders(tmp_path: Path) -> Path:
    """Transcoders for it."""
    return write_transcoders(tmp_path / "coders", 2)


def at(path: Path) -> Folder:
    return Folder(str(path), Store(path.parent / "store"))


def model_of(path: Path) -> dict[str, object]:
    return model.identity(at(path), "float32")


def names(identity: dict) -> list[str]:
    return list(identity["files"])


def load_model(path: Path):
    return model.load(at(path), "float32", "cpu", 0)


def load_transcoders(path: Path, of: Path):
    return transcoders.load(at(path), at(of), "all", "cpu", 0)


def shard(folder: Path) -> list[str]:
    """Cut a model's weights into files with an index; returns the names of the files."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_torch_state_dict(tensors, folder, max_shard_size=120_000, metadata={"format": "pt"})
    shards = sorted(path.name for path in folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    return shards


# ---- what is hashed is what is opened


@pytest.mark.parametrize("sharded", [False, True])
def test_loading_a_model_opens_what_is_hashed(folder, sharded):
    """Among junk that nothing opens: another checkpoint, other weights, files of the Finder."""
    shards = shard(folder) if sharded else ["model.safetensors"]
    shutil.copytree(folder, folder / "checkpoint-10")
    for junk in ("._model.safetensors", "other.safetensors", "pytorch_model.bin", "adapter_config.json"):
        (folder / junk).write_bytes(b"{}")
    (folder / "generation_config.json").write_text('{"eos_token_id": 3}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "vocab.json").write_text("{}")
    hashed = set(names(model_of(folder)))
    index = {"model.safetensors.index.json"} if sharded else set()
    assert hashed == {*TOKENIZER, TEMPLATE, *shards, *index}
    with opened_below(folder) as seen:
        loaded = load_model(folder)
    assert loaded.n_layers == 3
    assert seen.linked == hashed and hashed - RUST - LEGACY <= seen.read <= hashed - LEGACY


@pytest.mark.parametrize("legacy", [False, True])
def test_loading_a_tokenizer_opens_what_is_hashed(folder, legacy):
    """And not the vocabulary beside a fast tokenizer's file."""
    if legacy:
        config = json.loads((folder / "tokenizer_config.json").read_text())
        del config["added_tokens_decoder"]
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "vocab.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert names(tokenizer.identity(at(folder))) == [*TOKENIZER[:3], TEMPLATE, TOKENIZER[3]]
    with opened_below(folder) as seen:
        tokenizer.load(at(folder))
    opened = {*TOKENIZER, TEMPLATE} - (set() if legacy else LEGACY)
    assert seen.linked == {*TOKENIZER, TEMPLATE} and opened - RUST <= seen.read <= opened


@pytest.mark.parametrize("sharded", [False, True])
def test_loading_transcoders_opens_what_is_hashed(folder, coders, sharded):
    """Of the layers in use; the identity is that of all layers, so that it does not depend on them."""
    if sharded:
        tensors = load_file(coders / "layer_1.safetensors")
        (coders / "layer_1.safetensors").unlink()
        pattern = "layer_1{suffix}.safetensors"
        save_torch_state_dict(tensors, coders, filename_pattern=pattern, max_shard_size=12_000)
    (coders / "._layer_0.safetensors").write_bytes(b"junk")
    (coders / "layer_0.bin").write_bytes(b"dashboard")
    hashed = set(names(transcoders.identity(at(coders))))
    assert {"config.yaml", "layer_0.safetensors", "layer_2.safetensors"} < hashed
    assert len(hashed) > 4 if sharded else len(hashed) == 4
    with opened_below(coders) as seen:
        loaded = load_transcoders(coders, folder)
        mapped = [loaded.layer(layer).b_enc for layer in range(3)]
    assert seen.read <= hashed
    assert seen.read == hashed if not sharded else "layer_1.safetensors.index.json" in seen.read
    del loaded, mapped
    with opened_below(coders) as seen:
        transcoders.load(at(coders), at(folder), "1", "cpu", 0)
    assert {"layer_0.safetensors", "layer_2.safetensors"}.isdisjoint(seen.read)


# ---- each file counts, and nothing else


@pytest.mark.parametrize("name", MODEL)
def test_every_file_of_a_model_counts(folder, name):
    """Its tokenizer too, for phases decode tokens with it."""
    before = model_of(folder)
    path = folder / name
    if name.endswith(".json"):
        edit_json(path, changed=True)
    else:
        edit_tensors(path, lambda tensors: tensors["model.norm.weight"].add_(1))
    after = model_of(folder)
    assert {file for file in MODEL if after["files"][file] != before["files"][file]} == {name}


def test_words_that_no_prompt_holds_count(folder):
    """Two words swapped in the tokenizer give other texts to the same tokens."""
    before = model_of(folder), tokenizer.identity(at(folder))
    content = json.loads((folder / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    first, second = list(words)[:2]
    words[first], words[second] = words[second], words[first]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    after = model_of(folder), tokenizer.identity(at(folder))
    assert before[0] != after[0] and before[1] != after[1]


def test_an_index_that_points_at_one_of_two_shards(folder):
    """The other one is not opened and does not count; pointing at it instead does."""
    whole = folder / "model.safetensors"
    one, two = folder / "one.safetensors", folder / "two.safetensors"
    shutil.copyfile(whole, one)
    edit_tensors(whole, lambda tensors: tensors["model.norm.weight"].add_(1))
    whole.rename(two)

    def point_at(name: str) -> None:
        index = {"metadata": {}, "weight_map": dict.fromkeys(load_file(one), name)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    point_at("one.safetensors")
    first = model_of(folder)
    assert "one.safetensors" in names(first) and "two.safetensors" not in names(first)
    with opened_below(folder) as seen:
        load_model(folder)
    assert "two.safetensors" not in seen.read | seen.linked
    two.write_bytes(two.read_bytes() + b" ")
    assert model_of(folder) == first
    point_at("two.safetensors")
    assert model_of(folder) != first and "one.safetensors" not in names(model_of(folder))


def test_a_missing_shard_is_missed_before_anything_is_loaded(folder):
    """With its name, and what to do."""
    shards = shard(folder)
    (folder / shards[1]).unlink()
    for ask in (model_of, load_model, lambda path: model.check(at(path), "cpu")):
        with pytest.raises(ModelError, match=rf"no {shards[1]}.*download"):
            ask(folder)


# ---- a tokenizer's file by version


def test_a_tokenizer_may_name_its_file_by_version(folder):
    """The named file counts, is the one that is opened, and decides on the tokens."""
    content = json.loads((folder / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    first, second = list(words)[:2]
    words[first], words[second] = words[second], words[first]
    (folder / "tokenizer.4.0.0.json").write_text(json.dumps(content))
    usual = tokenizer.load(at(folder)).convert_ids_to_tokens(words[first])
    edit_json(
        folder / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json", "tokenizer.99.0.json"]
    )
    named = names(tokenizer.identity(at(folder)))
    assert "tokenizer.4.0.0.json" in named and "tokenizer.json" not in named
    with opened_below(folder) as seen:
        loaded = tokenizer.load(at(folder))
    assert seen.linked == set(named)
    assert usual != loaded.convert_ids_to_tokens(words[first]) == first
    assert names(model_of(folder))[-1] == "tokenizer.4.0.0.json"


@pytest.mark.parametrize(
    "listed",
    [
        [],
        ["tokenizer.json"],
        ["tokenizer.4.0.0.json"],
        ["tokenizer.99.0.0.json", "tokenizer.4.1.json", "tokenizer.5.0.0.json"],
        ["tokenizer.4.10.0.json", "tokenizer.4.9.0.json"],
        ["sub/tokenizer.5.0.json"],
    ],
    ids=str,
)
def test_the_file_by_version_is_the_one_that_transformers_takes(listed):
    """Whatever it does about the order of versions."""
    installed = tokenization_utils_base.__version__
    expected = tokenization_utils_base.get_fast_tokenizer_file(listed)
    assert tokenizer.fast_tokenizer_file(listed, installed) == expected


def test_a_file_by_version_cannot_lie_outside(folder):
    """The name comes from a stranger."""
    shutil.copyfile(folder / "tokenizer.json", folder.parent / "tokenizer.4.0.0.json")
    edit_json(folder / "tokenizer_config.json", fast_tokenizer_files=["../tokenizer.4.0.0.json"])
    with pytest.raises(ModelError, match="inside it"):
        tokenizer.identity(at(folder))


# ---- transcoders


def test_layers_in_a_folder_that_is_a_link(folder, coders):
    """They are found, and a retrained layer behind the link counts."""
    elsewhere = coders.parent / "elsewhere"
    elsewhere.mkdir()
    for layer in range(3):
        shutil.move(coders / f"layer_{layer}.safetensors", elsewhere)
    (coders / "layers").symlink_to(elsewhere)
    listed = [f"layers/layer_{layer}.safetensors" for layer in range(3)]
    (coders / "config.yaml").write_text(yaml.safe_dump({"transcoders": listed}))
    before = transcoders.identity(at(coders))
    assert names(before) == ["config.yaml", *listed]
    assert load_transcoders(coders, folder).layer(1).n_features == 60
    edit_tensors(elsewhere / "layer_1.safetensors", lambda tensors: tensors["b_dec"].add_(1))
    after = transcoders.identity(at(coders))
    changed = {name for name in listed if after["files"][name] != before["files"][name]}
    assert changed == {"layers/layer_1.safetensors"}


def test_files_beside_transcoders_do_not_count(coders):
    """What no layer's name or list names."""
    before = transcoders.identity(at(coders))
    (coders / "._layer_0.safetensors").write_bytes(b"junk")
    (coders / "step-100").mkdir()
    shutil.copyfile(coders / "layer_0.safetensors", coders / "step-100" / "layer_0.safetensors")
    assert transcoders.identity(at(coders)) == before


# ---- configurations count by content


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "config.yaml"])
def test_line_endings_and_blanks_of_configurations_do_not_count(folder, coders, name):
    """A checkout on Windows has the same keys; another value has other ones."""
    path = (coders if name.endswith("yaml") else folder) / name

    def told() -> list[object]:
        return [model_of(folder), tokenizer.identity(at(folder)), transcoders.identity(at(coders))]

    before = told()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\n", b"\r\n") + b"\r\n")
    assert path.read_bytes() != content and told() == before
    changed = content + b"\nscan: another\n" if name.endswith("yaml") else content
    path.write_bytes(changed.replace(b"{", b'{"another": 1,', 1))
    assert told() != before
