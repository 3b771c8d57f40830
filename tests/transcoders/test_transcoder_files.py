"""Transcoders load from real files and follow their formulas; damaged folders are refused clearly."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from damaged import edit_tensors, refused
from huggingface_hub import save_torch_state_dict
from random_model import write_model, write_transcoders
from safetensors.torch import load_file

from circuitstore.circuits.graph import attribute
from circuitstore.errors import ModelError, UsageError
from circuitstore.models import bits
from circuitstore.models.load import load_model
from circuitstore.transcoders.feature_rows import FeatureRows
from circuitstore.transcoders.per_layer import Transcoders

TOKENS = [208, 17, 3, 99, 3, 150, 42]


@pytest.fixture
def model_folder(tmp_path):
    return write_model(tmp_path / "model", 1)


@pytest.fixture
def transcoder_folder(tmp_path):
    return write_transcoders(tmp_path / "transcoders", 2)


def shard(folder, layer):
    """Cut a layer's file into several and an index, by huggingface_hub's own rule."""
    path = folder / f"layer_{layer}.safetensors"
    save_torch_state_dict(
        load_file(path),
        folder,
        filename_pattern=f"layer_{layer}{{suffix}}.safetensors",
        max_shard_size=12_000,
    )


@pytest.mark.parametrize(
    "options", [{}, {"threshold": True}, {"top_k": 3}, {"threshold": True, "top_k": 3, "skip": True}]
)
def test_activations_by_the_formula(tmp_path, options):
    """Dense, sparse and single activations, and the reconstruction, against the formulas written out."""
    folder = write_transcoders(tmp_path / "t", 3, n_features=200, **options)
    tensors = load_file(folder / "layer_1.safetensors")
    x = torch.randn(9, 48, generator=torch.Generator().manual_seed(0)) * 1.5
    pre = x @ tensors["W_enc"].T + tensors["b_enc"]
    act = torch.where(pre > tensors.get("activation_function.threshold", torch.zeros(200)), pre, 0)
    if "top_k" in options:
        act = torch.where(act >= act.topk(3, dim=1).values[:, -1:], act, 0)
    assert 3 <= (act != 0).sum(1).float().mean() < 100
    coder = Transcoders.open(folder).layer(1)
    torch.testing.assert_close(coder.encode(x), act)
    torch.testing.assert_close(coder.preactivation(x), pre)
    rows = coder.active([x])[0]
    position, feature = act.nonzero(as_tuple=True)
    assert np.array_equal(rows.position, position) and np.array_equal(rows.feature, feature)
    assert (rows.pointer.dtype, rows.feature.dtype, rows.value.dtype) == (np.int64, np.int32, np.float32)
    some, which = FeatureRows(coder, [2, 150, 7]), torch.tensor([2, 0])
    torch.testing.assert_close(some.activations(x, which), act[:, [7, 2]])
    skip = x @ tensors["W_skip"].T if "skip" in options else 0
    torch.testing.assert_close(coder.reconstruct(rows, x), act @ tensors["W_dec"] + tensors["b_dec"] + skip)


@pytest.mark.parametrize("rows", [8_192, 7])
def test_published_top_k_keeps_the_largest_of_any_sign(tmp_path, monkeypatch, rows):
    """`activation: topk` with `k`: no ReLU before it, whatever parts the encoder is read in."""
    monkeypatch.setitem(bits.RAISED_BYTES, "cpu", rows * 4 * 48)
    folder = write_transcoders(tmp_path / "t", 3)
    edit_tensors(folder / "layer_0.safetensors", lambda tensors: tensors["b_enc"].sub_(2))
    (folder / "config.yaml").write_text(yaml.safe_dump({"activation": "topk", "k": 5}))
    x = torch.randn(9, 48, generator=torch.Generator().manual_seed(0))
    coder = Transcoders.open(folder).layer(0)
    pre = coder.preactivation(x)
    expected = torch.where(pre >= pre.topk(5, dim=1).values[:, -1:], pre, 0)
    assert (expected < 0).any() and (expected > 0).any()
    torch.testing.assert_close(coder.encode(x), expected)
    some, which = FeatureRows(coder, [2, 50, 7]), torch.tensor([2, 0])
    torch.testing.assert_close(some.activations(x, which), expected[:, [7, 2]])


def test_activation_function_that_config_yaml_names(tmp_path):
    """The activation function of config.yaml must be the one that the files hold."""
    for name, threshold in (("relu", False), ("jumprelu", True)):
        folder = write_transcoders(tmp_path / name, 3, threshold=threshold)
        x = torch.randn(9, 48, generator=torch.Generator().manual_seed(0))
        unnamed = Transcoders.open(folder).layer(0).encode(x)
        (folder / "config.yaml").write_text(yaml.safe_dump({"activation": name}))
        assert torch.equal(Transcoders.open(folder).layer(0).encode(x), unnamed)
        (folder / "config.yaml").write_text(
            yaml.safe_dump({"activation": "jumprelu" if name == "relu" else "relu"})
        )
        refused(
            lambda folder=folder: Transcoders.open(folder).layer(0),
            "config.yaml says",
            "activation_function.threshold",
        )


def test_a_prompt_is_encoded_the_same_in_any_company(transcoder_folder, monkeypatch):
    """A prompt has the same activations alone and among others, to the bit, in several chunks."""
    monkeypatch.setitem(bits.RAISED_BYTES, "cpu", 16 * 4 * 48)
    coder = Transcoders.open(transcoder_folder).layer(0)
    prompts = [torch.randn(n, 48, generator=torch.Generator().manual_seed(n)) for n in (5, 1, 12)]
    for prompt, together in zip(prompts, coder.active(prompts), strict=True):
        alone = coder.active([prompt])[0]
        assert np.array_equal(alone.feature, coder.preactivation(prompt).clamp(min=0).nonzero()[:, 1])
        for name in ("pointer", "feature", "value"):
            assert np.array_equal(getattr(alone, name), getattr(together, name))


def test_gathered_rows(transcoder_folder):
    """Rows come in any order, with repeats; unknown ids are refused."""
    coder = Transcoders.open(transcoder_folder).layer(2)
    tensors = load_file(transcoder_folder / "layer_2.safetensors")
    ids = [7, 3, 59, 3]
    assert torch.equal(coder.encoder_rows(ids), tensors["W_enc"][ids])
    assert torch.equal(coder.decoder_rows(ids), tensors["W_dec"][ids])
    with pytest.raises(UsageError, match="0 to 59"):
        coder.decoder_rows([60])


def test_nothing_is_read_before_it_is_asked_for(transcoder_folder):
    """A damaged layer does not disturb the others."""
    (transcoder_folder / "layer_1.safetensors").write_bytes(b"not safetensors")
    transcoders = Transcoders.open(transcoder_folder)
    transcoders.layer(0)
    refused(lambda: transcoders.layer(1), "layer_1.safetensors", "readable safetensors")


def test_listed_files_come_in_listed_order(transcoder_folder):
    """A file is listed by relative path, or by the hub address of the repository that was downloaded here."""
    names = ["hf://someone/some-repo/layer_2.safetensors?revision=main", "layer_0.safetensors"]
    (transcoder_folder / "config.yaml").write_text(yaml.safe_dump({"transcoders": names}))
    assert [path.name for path in Transcoders.open(transcoder_folder).files] == [
        "layer_2.safetensors",
        "layer_0.safetensors",
    ]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"feature_input_hook": "hook_resid_pre"}, ("hook_resid_pre", "mlp.hook_in or ")),
        ({"feature_output_hook": "hook_resid_post"}, ("hook_resid_post", "mlp.hook_out")),
        ({"model_kind": "cross_layer_transcoder"}, ("cross_layer_transcoder", "transcoder_set")),
        ({"top_k": 0}, ("top_k",)),
        ({"activation": "topk"}, ("k in", "a positive integer")),
        ({"activation": "gelu"}, ("activation in", "relu or jumprelu or topk", "gelu")),
        ({"activation_fn": "topk", "k": 8}, ("unknown activation_fn", "activation, k")),
        ({"architecture": "topk"}, ("unknown architecture",)),
        ({"normalize_activations": "layer_norm"}, ("unknown normalize_activations",)),
        ({1: 2}, ("unknown 1",)),
        ({"model_name": 3}, ("model_name", "text")),
        ({"k": 8}, ("k in", "activation relu or jumprelu", "k: 8")),
        ({"activation": "topk", "k": 8, "top_k": 8}, ("top_k in", "activation topk")),
        ({"transcoders": ["layer_0.pt"]}, ("never loaded", "layer_0.pt")),
        (
            {"transcoders": ["layer_0.safetensors", "layer_9.safetensors"]},
            ("layer_9.safetensors", "no such file"),
        ),
        ({"transcoders": ["../layer_0.safetensors"]}, ("inside the folder",)),
        ({"transcoders": ["hf://someone/some-repo/gone.safetensors"]}, ("gone.safetensors", "download")),
        ({"transcoders": "layer_0.safetensors"}, ("a list",)),
    ],
)
def test_wrong_transcoder_config(transcoder_folder, config, words):
    """What is not supported is refused, not ignored."""
    (transcoder_folder / "config.yaml").write_text(yaml.safe_dump(config))
    refused(lambda: Transcoders.open(transcoder_folder).layer(0), *words)


def test_missing_layer(transcoder_folder):
    """A gap in the numbers is a missing file, not a smaller model."""
    (transcoder_folder / "layer_1.safetensors").unlink()
    refused(lambda: Transcoders.open(transcoder_folder), "a file of layer 1")


def test_a_layer_in_several_files(tmp_path):
    """A layer cut into files by huggingface_hub gives the same numbers."""
    whole, folder = (
        write_transcoders(tmp_path / name, 2, threshold=True, skip=True) for name in ("whole", "sharded")
    )
    shard(folder, 1)
    names = {path.name for path in folder.iterdir() if path.name.startswith("layer_1")}
    assert "layer_1.safetensors.index.json" in names and len(names) > 2
    one, other = Transcoders.open(whole).layer(1), Transcoders.open(folder).layer(1)
    x = torch.randn(9, 48, generator=torch.Generator().manual_seed(0))
    assert (one.encode(x) > 0).any()
    torch.testing.assert_close(one.encode(x), other.encode(x))
    torch.testing.assert_close(
        one.reconstruct(one.active([x])[0], x), other.reconstruct(other.active([x])[0], x)
    )
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"transcoders": ["layer_0.safetensors", "layer_1.safetensors.index.json"]})
    )
    torch.testing.assert_close(one.encode(x), Transcoders.open(folder).layer(1).encode(x))
    shutil.copy(whole / "layer_1.safetensors", folder)
    (folder / "config.yaml").unlink()
    assert Transcoders.open(folder).files[1].name == "layer_1.safetensors", "one file goes before an index"


def test_wrong_indices(transcoder_folder):
    """An index is refused that leaves the folder, or names a file or tensor that is not there."""
    index = transcoder_folder / "layer_1.safetensors.index.json"
    shard(transcoder_folder, 1)
    good = json.loads(index.read_text())["weight_map"]
    for content, words in (
        ("{", "weight_map of file names"),
        ("{}", "weight_map of file names"),
        ('{"weight_map": {}}', "an empty one"),
        (json.dumps({"weight_map": good | {"W_enc": "../layer_0.safetensors"}}), "files beside it"),
        (json.dumps({"weight_map": good | {"W_enc": "layer_1.bin"}}), "files beside it"),
        (json.dumps({"weight_map": good | {"W_enc": "gone.safetensors"}}), "gone.safetensors"),
        (json.dumps({"weight_map": good | {"W_skip": good["W_enc"]}}), "W_skip"),
        (
            json.dumps({"weight_map": {name: good[name] for name in ("W_enc", "b_enc", "W_dec")}}),
            "a tensor b_dec",
        ),
    ):
        index.write_text(content)
        refused(lambda: Transcoders.open(transcoder_folder).layer(1), words)


def test_layers_in_use(transcoder_folder):
    """Files of layers not in use need not be there; asking for such a layer is an error, not a zero."""
    files = [
        transcoder_folder / "gone.safetensors",
        transcoder_folder / "layer_1.safetensors",
        transcoder_folder / "gone.safetensors",
    ]
    transcoders = Transcoders.open(transcoder_folder, files=list(map(str, files)), layers=[1])
    transcoders.check_fits(3, 48)
    assert transcoders.layer(1).n_features == 60
    with pytest.raises(UsageError, match="one of those in use: 1, got 2"):
        transcoders.layer(2)
    with pytest.raises(ModelError, match="4 layers, as the model has, got 3"):
        transcoders.check_fits(4, 48)
    with pytest.raises(ModelError, match="d_model 50"):
        transcoders.check_fits(3, 50)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("b_dec"), ("b_dec",)),
        (lambda t: t.update(W_enc=t["W_enc"].T.contiguous()), ("W_enc", "(60, 48)", "(48, 60)", "transpose")),
        (lambda t: t.update(W_dec=t["W_dec"][:50].clone()), ("W_dec", "(50, 48)")),
        (lambda t: t.update(W_enc=t["W_enc"].double()), ("W_enc", "F64")),
        (lambda t: t.update({"activation_function.threshold": torch.zeros(3)}), ("threshold", "(3,)")),
        (lambda t: t.update(W_skip=torch.zeros(48, 40)), ("W_skip", "(48, 40)")),
        (lambda t: t.update(threshold=torch.zeros(60)), ("also threshold", "activation_function.threshold")),
        (lambda t: t.update(log_threshold=torch.zeros(60)), ("also log_threshold",)),
        (
            lambda t: t.update(affine_skip_connection=torch.zeros(48, 48)),
            ("affine_skip_connection", "W_skip"),
        ),
        (lambda t: t.update(k=torch.tensor(8)), ("activation: topk and k: 8 in config.yaml",)),
        (lambda t: t.update(k=torch.tensor([8])), ("k in", "(1,)")),
    ],
)
def test_wrong_tensors(transcoder_folder, change, words):
    """Name, shape, orientation and dtype of every tensor are checked before use; unknown ones are refused."""
    edit_tensors(transcoder_folder / "layer_1.safetensors", change)
    refused(lambda: Transcoders.open(transcoder_folder).layer(1), *words)


def test_tensor_that_an_index_leaves_out(transcoder_folder):
    """A skip connection that lies in a layer's files, but not in its index, is refused, not ignored."""
    edit_tensors(transcoder_folder / "layer_1.safetensors", lambda t: t.update(W_skip=torch.zeros(48, 48)))
    shard(transcoder_folder, 1)
    index = transcoder_folder / "layer_1.safetensors.index.json"
    named = json.loads(index.read_text())["weight_map"]
    holder = named.pop("W_skip")
    edit_tensors(
        transcoder_folder / named["W_enc"],
        lambda t: t.update(load_file(transcoder_folder / holder)),
    )
    index.write_text(json.dumps({"weight_map": named}))
    refused(lambda: Transcoders.open(transcoder_folder).layer(1), "also W_skip")


def test_k_that_a_file_and_config_yaml_agree_on(transcoder_folder):
    """Top-k transcoders may carry their k as a tensor, if config.yaml says the same."""
    for layer in range(3):
        path = transcoder_folder / f"layer_{layer}.safetensors"
        edit_tensors(path, lambda tensors: tensors.update(k=torch.tensor(5)))
    config = transcoder_folder / "config.yaml"
    config.write_text(yaml.safe_dump({"activation": "topk", "k": 5, "scan": "someone/some-set"}))
    x = torch.randn(9, 48, generator=torch.Generator().manual_seed(0))
    assert ((Transcoders.open(transcoder_folder).layer(1).encode(x) != 0).sum(1) == 5).all()
    config.write_text(yaml.safe_dump({"activation": "topk", "k": 4}))
    refused(lambda: Transcoders.open(transcoder_folder).layer(1), "k: 5", "k: 4")


def test_transcoders_of_another_model(model_folder, tmp_path):
    """Transcoders of another width or another number of layers are refused."""
    model = load_model(model_folder)
    for options, words in (({"d_model": 40}, "d_model 48"), ({"layers": 2}, "3 layers")):
        folder = write_transcoders(tmp_path / words, 3, **options)
        refused(lambda folder=folder: attribute(model, Transcoders.open(folder), TOKENS), words)
