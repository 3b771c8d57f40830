"""Every published layout loads, refuses a misnamed tensor, and gives the graph of the native layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import published
import pytest
import torch
import yaml
from damaged import edit_json, edit_tensors, refused
from graphs import TOKENS
from random_model import write_model, write_transcoders
from safetensors.torch import load_file

from circuitstore.circuits.graph import attribute
from circuitstore.errors import ModelError
from circuitstore.models.hooks import MIDDLE, Hooks
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

LAYOUTS = {  # name → (options of the native set, writer, hooks that it states)
    "gemma scope": ({"threshold": True}, published.gemma_scope, ("ln2.hook_normalized", "hook_mlp_out")),
    "gemma scope 2": ({"threshold": True}, published.gemma_scope_2, ("mlp.hook_in", "hook_mlp_out")),
    "gemma scope 2 affine": (
        {"threshold": True, "skip": True},
        published.gemma_scope_2,
        ("mlp.hook_in", "hook_mlp_out"),
    ),
    "sparsify": (
        {"top_k": 5, "skip": True},
        lambda native, folder: published.sparsify(native, folder, k=5),
        ("mlp.hook_in", "mlp.hook_out"),
    ),
    "saelens": ({}, published.saelens, ("mlp.hook_in", "mlp.hook_out")),
    "saelens jumprelu skip": (
        {"threshold": True, "skip": True},
        published.saelens,
        ("mlp.hook_in", "mlp.hook_out"),
    ),
}


@pytest.fixture(params=LAYOUTS)
def both(request, tmp_path):
    """The native set with the hooks of the layout, and the same weights in the layout."""
    options, write, hooks = LAYOUTS[request.param]
    native = write_transcoders(tmp_path / "native", 4, **options)
    said = {"feature_input_hook": hooks[0], "feature_output_hook": hooks[1]}
    more = {"top_k": options["top_k"]} if "top_k" in options else {}
    (native / "config.yaml").write_text(yaml.safe_dump(said | more))
    return native, write(native, tmp_path / "published")


def weights(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".safetensors", ".npz"))


def test_the_graph_is_that_of_the_native_layout(both, tmp_path):
    """Features are the same bit for bit, and edges to 1e-5; on a model whose blocks have four norms."""
    model = load_model(write_model(tmp_path / "model", 3, kind="gemma3_text"))
    native, other = (Transcoders.open(folder) for folder in both)
    assert other.hooks == native.hooks and other.n_layers == 3
    graphs = [attribute(model, transcoders, TOKENS) for transcoders in (native, other)]
    assert len(graphs[0].active_features) > 20
    assert np.array_equal(graphs[0].active_features, graphs[1].active_features)
    assert np.array_equal(graphs[0].activation_values, graphs[1].activation_values)
    scale = np.abs(graphs[0].adjacency_matrix).max()
    edges = np.abs(graphs[0].adjacency_matrix - graphs[1].adjacency_matrix).max()
    assert edges <= 1e-5 * scale
    assert np.abs(graphs[0].node_bias - graphs[1].node_bias).max() <= 1e-5 * scale


def test_names_of_files_do_not_matter(both, tmp_path):
    """Listed under other names, the same tensors are read the same way."""
    folder = both[1]
    moved = []
    for layer, path in enumerate(weights(folder)):
        name = f"{path.parent.relative_to(folder)}/params-{layer}{path.suffix}"
        path.rename(folder / name)
        moved.append(name)
    stated = Transcoders.open(both[0]).hooks
    said = {"feature_input_hook": stated.reads, "feature_output_hook": stated.writes}
    (folder / "config.yaml").write_text(yaml.safe_dump(said | {"transcoders": moved}))
    native, other = (Transcoders.open(each).layer(1) for each in both)
    x = torch.randn(9, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(native.encode(x), other.encode(x)) and (native.encode(x) != 0).any()
    ids = [7, 3, 59, 3]
    assert torch.equal(native.encoder_rows(ids), other.encoder_rows(ids))
    assert torch.equal(native.decoder_rows(ids), other.decoder_rows(ids))
    assert (native.skip is None) == (other.skip is None)
    assert native.skip is None or torch.equal(native.skip, other.skip)


def test_every_misnamed_tensor_is_refused(both):
    """By its name, whichever it is."""
    path = weights(both[1])[1]
    if path.suffix == ".npz":
        tensors = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    else:
        tensors = load_file(path)
    for name in tensors:
        wrong = {(f"{old}_2" if old == name else old): tensor for old, tensor in tensors.items()}
        if path.suffix == ".npz":
            np.savez(path, **{old: tensor.numpy() for old, tensor in wrong.items()})
        else:
            published._save(path, wrong)
        refused(lambda: Transcoders.open(both[1]).layer(1), name)


def test_a_compressed_archive(tmp_path):
    """Its members are read whole, and are the same."""
    native = write_transcoders(tmp_path / "native", 4, threshold=True)
    folder = published.gemma_scope(native, tmp_path / "archive")
    plain = Transcoders.open(folder).layer(2)
    before = plain.encoder_rows([1, 5]), plain.b_dec.clone()  # the file that it is mapped from is replaced
    path = weights(folder)[2]
    np.savez_compressed(path, **dict(np.load(path)))
    again = Transcoders.open(folder).layer(2)
    assert torch.equal(again.encoder_rows([1, 5]), before[0]) and torch.equal(again.b_dec, before[1])
    path.write_bytes(path.read_bytes()[:-200])
    refused(lambda: Transcoders.open(folder).layer(2), "readable .npz archive")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "sae"}, ("type in", "transcoder or clt", "sae")),
        ({"normalization": "rms"}, ("unknown normalization",)),
        ({"affine_connection": True}, ("a tensor affine_skip_connection",)),
        ({"hf_hook_point_in": "model.layers.1.self_attn.output"}, ("hooks in", "self_attn.output")),
    ],
)
def test_what_gemma_scope_2_says_and_is_not_understood(tmp_path, change, words):
    """A key, a value or a hook, and a skip connection that the tensors lack."""
    native = write_transcoders(tmp_path / "native", 4, threshold=True)
    folder = published.gemma_scope_2(native, tmp_path / "p")
    for layer in range(3):
        edit_json(folder / f"layer_{layer}_width_16k_l0_small_affine" / "config.json", **change)
    refused(lambda: Transcoders.open(folder).layer(1), *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"activation": "groupmax"}, ("activation in", "topk", "groupmax")),
        ({"transcode": False}, ("transcode in", "True", "False")),
        ({"signed": True}, ("signed in",)),
        ({"num_latents": 61}, ("61 features", "got 60")),
        ({"skip_connection": True}, ("a tensor W_skip",)),
        ({"k": 0}, ("top_k", "a positive integer")),
        ({"grouping": 3}, ("unknown grouping",)),
    ],
)
def test_what_sparsify_says_and_is_not_understood(tmp_path, change, words):
    """Another activation function, an autoencoder, and what the tensors contradict."""
    folder = published.sparsify(write_transcoders(tmp_path / "native", 4), tmp_path / "p", k=5)
    for layer in range(3):
        edit_json(folder / f"layers.{layer}.mlp" / "cfg.json", **change)
    refused(lambda: Transcoders.open(folder).layer(1), *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "topk_transcoder"}, ("architecture in", "topk_transcoder")),
        ({"architecture": "jumprelu_transcoder"}, ("a tensor threshold",)),
        ({"normalize_activations": "expected_average_only_in"}, ("normalize_activations in",)),
        ({"d_sae": 7}, ("7 features",)),
        ({"metadata": {"hook_name": "blocks.0.hook_resid_pre"}}, ("hooks in", "hook_resid_pre")),
        ({"metadata": {"scaled_by": 3}}, ("metadata in", "unknown scaled_by")),
        ({"temperature": 3}, ("unknown temperature",)),
    ],
)
def test_what_saelens_says_and_is_not_understood(tmp_path, change, words):
    """Another architecture, a normalisation, a hook of the residual stream, and an unknown key."""
    folder = published.saelens(write_transcoders(tmp_path / "native", 4), tmp_path / "p")
    for layer in range(3):
        edit_json(folder / f"blocks.{layer}.mlp.hook_in" / "cfg.json", **change)
    refused(lambda: Transcoders.open(folder).layer(1), *words)


def test_saelens_jumps_of_relu(tmp_path):
    """Nothing negative is active, whatever the threshold."""
    native = write_transcoders(tmp_path / "native", 4, threshold=True)
    for layer in range(3):
        path = native / f"layer_{layer}.safetensors"
        edit_tensors(path, lambda tensors: tensors[published.THRESHOLD].sub_(1))
    folder = published.saelens(native, tmp_path / "p")
    x = torch.randn(9, 48, generator=torch.Generator().manual_seed(0))
    ours, theirs = (Transcoders.open(each).layer(0).encode(x) for each in (native, folder))
    assert (ours < 0).any() and torch.equal(theirs, ours.clamp(min=0))


def test_hooks_that_contradict_each_other(tmp_path):
    """config.yaml, and the configuration beside a file; and two files."""
    native = write_transcoders(tmp_path / "native", 4, threshold=True)
    folder = published.gemma_scope_2(native, tmp_path / "p")
    (folder / "config.yaml").write_text(yaml.safe_dump({"feature_input_hook": "hook_resid_mid"}))
    refused(lambda: Transcoders.open(folder), "hook_resid_mid", "mlp.hook_in")
    (folder / "config.yaml").unlink()
    other = folder / "layer_1_width_16k_l0_small_affine" / "config.json"
    edit_json(other, hf_hook_point_out="model.layers.1.mlp.output")
    refused(lambda: Transcoders.open(folder).layer(1), "mlp.hook_out", "as the other layers")


def test_files_that_could_be_either(tmp_path):
    """Two files of one layer, or files of two layouts: config.yaml must list those that are meant."""
    native = write_transcoders(tmp_path / "native", 4, threshold=True)
    folder = published.gemma_scope(native, tmp_path / "p")
    first = weights(folder)[1]
    again = first.parents[1] / "average_l0_9" / "params.npz"
    again.parent.mkdir()
    again.write_bytes(first.read_bytes())
    refused(lambda: Transcoders.open(folder), "one file of layer 1", "average_l0_9", "list one file a layer")
    mixed = published.saelens(native, native)
    refused(lambda: Transcoders.open(mixed), "files of one kind", "layer_0.safetensors")


def test_published_llama_sets(tmp_path):
    """Llama 3.2 reads the residual stream; Llama 3.1 leaves k to a setting, and is refused without."""
    folder = write_transcoders(tmp_path / "t", 4, skip=True)
    said = {"model_kind": "transcoder_set", "feature_input_hook": MIDDLE}
    (folder / "config.yaml").write_text(yaml.safe_dump(said | {"feature_output_hook": "hook_mlp_out"}))
    assert Transcoders.open(folder).hooks == Hooks("hook_resid_mid", "hook_mlp_out")
    (folder / "config.yaml").write_text(yaml.safe_dump({"activation": "topk"}))
    refused(lambda: Transcoders.open(folder), "a positive integer", "transcoders.k")
    x = torch.randn(9, 48, generator=torch.Generator().manual_seed(0))
    given = Transcoders.open(folder, k=5).layer(0).encode(x)
    (folder / "config.yaml").write_text(yaml.safe_dump({"activation": "topk", "k": 5}))
    assert torch.equal(Transcoders.open(folder).layer(0).encode(x), given)
    assert ((given != 0).sum(1) == 5).all()
    assert Transcoders.open(folder, k=5).activation == Transcoders.open(folder).activation
    refused(lambda: Transcoders.open(folder, k=6), "transcoders.k = 6", "k: 5")
    (folder / "config.yaml").write_text(yaml.safe_dump({"activation": "relu"}))
    refused(lambda: Transcoders.open(folder, k=6), "transcoders.k = 6", "relu")


def test_the_configuration_beside_a_file_is_json(tmp_path):
    """A damaged one is named."""
    folder = published.saelens(write_transcoders(tmp_path / "native", 4), tmp_path / "p")
    (folder / "blocks.0.mlp.hook_in" / "cfg.json").write_text("{")
    with pytest.raises(ModelError, match=r"cfg\.json: expected readable JSON"):
        Transcoders.open(folder)
    (folder / "blocks.0.mlp.hook_in" / "cfg.json").write_text(json.dumps({"width": 3}))
    refused(lambda: Transcoders.open(folder), "a configuration with", "keys width")
