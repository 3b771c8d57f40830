"""Models and transcoders that are missing, cut or misshapen: one line names the file; nothing is written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from refusals import build, refused
from safetensors.numpy import load_file, save_file
from workspace import MODEL, TRANSCODERS, Workspace


def no_weights(model: Path, _transcoders: Path) -> None:
    (model / "model.safetensors").unlink()


def cut_weights(model: Path, _transcoders: Path) -> None:
    os.truncate(model / "model.safetensors", 1000)


def no_config(model: Path, _transcoders: Path) -> None:
    (model / "config.json").unlink()


def broken_config(model: Path, _transcoders: Path) -> None:
    (model / "config.json").write_text("{")


def narrow_config(model: Path, _transcoders: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(
        json.dumps({name: value for name, value in config.items() if name != "hidden_size"})
    )


def no_tokenizer(model: Path, _transcoders: Path) -> None:
    for path in model.glob("*token*"):
        path.unlink()


def no_model(model: Path, _transcoders: Path) -> None:
    shutil.rmtree(model)


def other_architecture(model: Path, _transcoders: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": "abacus"}))


def no_transcoders(_model: Path, transcoders: Path) -> None:
    shutil.rmtree(transcoders)


def no_layer(_model: Path, transcoders: Path) -> None:
    (transcoders / "layer_2.safetensors").unlink()


def no_layer_and_no_list(_model: Path, transcoders: Path) -> None:
    (transcoders / "config.yaml").unlink()
    (transcoders / "layer_2.safetensors").unlink()


def too_few_layers(_model: Path, transcoders: Path) -> None:
    (transcoders / "config.yaml").unlink()
    (transcoders / "layer_3.safetensors").unlink()


def reshaped(change) -> object:
    def rewrite(_model: Path, transcoders: Path) -> None:
        path = transcoders / "layer_1.safetensors"
        save_file(change(load_file(path)), path)

    return rewrite


def cut_layer(_model: Path, transcoders: Path) -> None:
    os.truncate(transcoders / "layer_1.safetensors", 100)


def narrow(tensors: dict) -> dict:
    return {
        name: (tensor[..., :32] if tensor.shape[-1] == 64 else tensor).copy()
        for name, tensor in tensors.items()
    }


SPOILED = {
    "no weights": (no_weights, ["model weights", "model.safetensors", "no such file", "download"]),
    "cut weights": (cut_weights, ["model.safetensors", "a readable safetensors file"]),
    "no configuration": (no_config, ["config.json", "no such file"]),
    "broken configuration": (broken_config, ["config.json"]),
    "no width": (narrow_config, ["config.json", "hidden_size"]),
    "no tokenizer": (no_tokenizer, ["tokenizer.json", "no such file"]),
    "no model": (no_model, ["no such folder", "download"]),
    "other architecture": (other_architecture, ["abacus", "qwen3"]),
    "no transcoders": (no_transcoders, ["transcoders", "no such folder"]),
    "no layer": (no_layer, ["layer_2.safetensors", "no such file"]),
    "no layer and no list": (no_layer_and_no_list, ["layer_2.safetensors", "no such file"]),
    "too few layers": (too_few_layers, ["4 layers, as the model has", "got 3 layers"]),
    "cut layer": (cut_layer, ["layer_1.safetensors", "safetensors file"]),
    "other width": (reshaped(narrow), ["layer_1", "d_model 64", "32"]),
    "transposed": (
        reshaped(lambda t: {**t, "W_enc": t["W_enc"].T.copy()}),
        ["W_enc", "(256, 64)", "(64, 256)", "transpose"],
    ),
    "no tensor": (
        reshaped(lambda t: {name: v for name, v in t.items() if name != "b_dec"}),
        ["layer_1", "b_dec"],
    ),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILED.values(), ids=SPOILED)
def test_models_and_transcoders_that_do_not_fit(tmp_path, spoil, words):
    """Missing, cut or misshapen files are named before anything is computed; exit code 1."""
    model, transcoders = (
        Path(shutil.copytree(source, tmp_path / source.name)) for source in (MODEL, TRANSCODERS)
    )
    spoil(model, transcoders)
    workspace = Workspace.create(tmp_path / "work", model, transcoders)
    refused(workspace, *build(workspace), code=1, words=words)
