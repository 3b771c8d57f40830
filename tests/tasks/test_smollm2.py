"""A real language model of a second family: converted, compared with its source, and analysed (slow)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from workspace import Outcome, one_line_error, run

from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named
from recipes.from_gguf import READERS, convert, packaged
from recipes.smollm2.convert import RECIPE

PROMPTS = ["The keys near the cabinet", 'The opposite of "hot" is "', "calc: 36+59=9"]
SMALL = {
    "prompts": {"prepend": "unk", "misfits": "skip"},
    "activations": {"positions": 0},
    "attribution": {"max_feature_nodes": 100},
    "corpus": {"context": 16, "shard": 512},
    "training": {"features": 32, "steps": 20, "batch": 64, "l0_start": 8.0, "l0": 4.0},
    "replacement": {"tokens": 60},
    "interventions": {
        "features": 2,
        "sizes": [3],
        "swap_sizes": [10],
        "circuit_sizes": [3],
        "controls": 2,
        "strengths": [1.0],
        "bootstrap": 20,
    },
}


@pytest.fixture(scope="module")
def gguf() -> Path:
    """The weights as they come in the package; the tests below need it and what reads it."""
    needed = (*RECIPE.packages, *READERS)
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return packaged(RECIPE)[0]


@pytest.fixture(scope="module")
def model(gguf, tmp_path_factory) -> Path:
    """The converted model."""
    folder = tmp_path_factory.mktemp("smollm2") / "model"
    assert convert(RECIPE, [gguf], folder)
    return folder


@pytest.mark.slow
def test_weights_are_those_of_the_package(gguf, model):
    """Every matrix is what the reference reader dequantizes, to the bit.

    The rows of queries and keys stand in another order.
    """
    import numpy as np
    from gguf import GGUFReader, dequantize
    from safetensors.numpy import load_file

    names = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    names |= {
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
    }
    names |= {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    whole = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    written = load_file(model / "model.safetensors")
    tensors = GGUFReader(gguf).tensors
    assert len(tensors) == len(written) == 272
    for tensor in tensors:
        source = dequantize(tensor.data, tensor.tensor_type)
        block, layer, part = tensor.name.split(".")[:3] if tensor.name.startswith("blk") else ("", "", "")
        name = f"model.layers.{layer}.{names[part]}.weight" if block else whole[tensor.name]
        target = written[name]
        if part in ("attn_q", "attn_k"):
            source, target = (x[np.lexsort(x.T)] for x in (source, target))
        assert np.array_equal(source, target), name
    assert not convert(RECIPE, [gguf], model), "there already"


@pytest.mark.slow
def test_logits_are_those_of_the_package(gguf, model):
    """The folder gives the logits that transformers gives when it reads the file of the package itself."""
    import torch
    from transformers import AutoModelForCausalLM

    from circuitstore.models.capture import capture
    from circuitstore.models.load import load_model, tokenize

    ours = load_model(model)
    theirs = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    ).eval()
    for text in PROMPTS:
        tokens = tokenize(ours.tokenizer, text, prepend="unk")
        with torch.no_grad():
            expected = theirs(torch.tensor([tokens])).logits[0]
        assert (capture(ours, tokens).logits - expected).abs().max() < 1e-3


@pytest.mark.slow
def test_tokenizer_is_the_true_one(gguf, model):
    """The vocabulary and special tokens of the package, and the published rule: digits stand alone."""
    from gguf import GGUFReader

    from circuitstore.models.load import load_tokenizer, tokenize

    tokenizer = load_tokenizer(model)
    vocabulary = GGUFReader(gguf).fields["tokenizer.ggml.tokens"].contents()
    assert tokenizer.convert_ids_to_tokens(range(49_152)) == vocabulary
    assert (tokenizer.unk_token, tokenizer.bos_token, tokenizer.eos_token) == (
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
    )
    assert (tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    split = {
        "The keys": ["The", "Ġkeys"],
        "36+59": ["3", "6", "+", "5", "9"],
        "is  67": ["is", "ĠĠ", "6", "7"],
        ' "hot"': ['Ġ"', "hot", '"'],
    }
    for text, tokens in split.items():
        assert tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False)) == tokens
    for text in (*PROMPTS, " α β\n\t12,345  won't", "<|im_start|>user\nHi<|im_end|>"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert tokenize(tokenizer, "The", prepend="unk") == [0, 504]


@pytest.fixture(scope="module")
def profile(model) -> Path:
    """A profile of small transcoders, beside the model."""
    tables: dict[str, dict] = {
        "model": {"path": "model", "threads": 1},
        "transcoders": {"path": "trained"},
        "texts": {"path": "corpus.txt"},
    }
    tables |= SMALL
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(table[key])}\n" for key in table)
        for name, table in tables.items()
    ]
    (model.parent / "small.toml").write_text("\n".join(lines))
    return model.parent / "small.toml"


def build(profile: Path, *words: object) -> Outcome:
    return run("build", *words, "--profile", profile, "--store", profile.parent / "store")


def artifact(profile: Path, behaviour: str, phase: str) -> Artifact:
    return named(Store(profile.parent / "store"), Name("small", behaviour, phase))


@pytest.mark.slow
def test_the_model_shows_two_behaviours_and_not_the_third(profile):
    """Agreement and antonyms pass the gate, addition does not, and the build says so."""
    for behaviour, least in (("plural", 0.95), ("antonym", 0.8)):
        outcome = build(profile, "baseline", "-b", behaviour)
        assert outcome.code == 0 and "below the gate" not in outcome.err, outcome.err
        assert artifact(profile, behaviour, "baseline").summary["accuracy"] >= least
    assert "is below the gate of 0.800" in build(profile, "baseline", "-b", "addition").err


@pytest.mark.slow
def test_the_whole_pipeline(profile):
    """Transcoders are trained for all 30 layers, measured, written and used: graphs are exact."""
    from tasks.inputs.behaviour import declaration
    from tasks.inputs.draw import generate

    texts = [
        prompt.text + prompt.correct
        for name in ("plural", "antonym")
        for prompt in generate(declaration(name))
    ]
    (profile.parent / "corpus.txt").write_text("\n".join(texts))
    assert build(profile, "replacement").code == 0
    measured = artifact(profile, "corpus", "replacement").summary
    assert len(measured["layers"]) == 30 and 0 <= measured["all"]["agreement"] <= 1
    assert all(
        0 < layer["l0"] < 32 and layer["explained_variance"] < 1 for layer in measured["layers"].values()
    )
    written = run(
        "export",
        "transcoders",
        profile.parent / "trained",
        "--profile",
        "small",
        "--store",
        profile.parent / "store",
    )
    assert written.code == 0 and len(list((profile.parent / "trained").glob("layer_*.safetensors"))) == 30
    small = ("--set", "prompts.train=6", "--set", "prompts.test=2")
    outcome = build(profile, "interventions", "-b", "plural", *small)
    assert outcome.code == 0, outcome.err
    graphs = artifact(profile, "plural", "attribution").summary
    assert graphs["graphs"] == 8 and graphs["identity_error"] < 1e-4
    assert artifact(profile, "plural", "interventions").summary
    assert "is below the gate of 0.800" in one_line_error(
        build(profile, "attribution", "-b", "addition"), code=1
    )
