"""Gemma-3-270m, the first real model of its family: as its file says, and as transformers reads it (slow)."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from random_model import write_transcoders

from circuitstore.circuits.graph import attribute
from circuitstore.circuits.qk import score
from circuitstore.models.capture import capture
from circuitstore.models.load import LanguageModel, answer_ids, load_model, tokenize
from circuitstore.transcoders.per_layer import Transcoders
from recipes.from_gguf import READERS, SOURCE, convert, join, packaged
from recipes.gemma3.convert import RECIPE

pytestmark = pytest.mark.slow
TEXTS = [
    "The keys near the cabinet",
    'The opposite of "hot" is "',
    "calc: 36+59=9",
    "Ünïcode 漢字 🙂,  a\n\nb",
]
LOCAL, GLOBAL = 4, 5  # layers: every sixth attends to everything
NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}
WHOLE = {"token_embd": "embed_tokens", "output_norm": "norm"}


@pytest.fixture(scope="module")
def gguf(tmp_path_factory) -> Path:
    """The file whose parts come in the packages; the tests need these and what reads it."""
    needed = (*RECIPE.packages, *READERS)
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return join(packaged(RECIPE), tmp_path_factory.mktemp("gguf") / "whole.gguf")


@pytest.fixture(scope="module")
def folder(gguf, tmp_path_factory) -> Path:
    """The converted model: the profile's, if it is there."""
    there = (RECIPE.out / SOURCE).is_file()
    out = RECIPE.out if there else tmp_path_factory.mktemp("gemma3") / "model"
    assert convert(RECIPE, packaged(RECIPE), out) != there
    return out


@pytest.fixture(scope="module")
def model(folder) -> LanguageModel:
    return load_model(folder)


def test_weights_are_those_of_the_file(gguf, folder):
    """Every matrix is what the reference reader dequantizes, to the bit; every gain is its weight plus 1."""
    from gguf import GGUFReader, dequantize
    from safetensors import safe_open

    tensors = GGUFReader(gguf).tensors
    with safe_open(folder / "model.safetensors", "np") as written:
        assert len(tensors) == len(written.keys()) == 236
        for tensor in tensors:
            source = dequantize(tensor.data, tensor.tensor_type)
            block, layer, part = tensor.name.split(".")[:3] if tensor.name.startswith("blk") else ("", "", "")
            name = f"layers.{layer}.{NAMES[part]}" if block else WHOLE[tensor.name.split(".")[0]]
            target = written.get_tensor(f"model.{name}.weight")
            assert np.array_equal(source, target + 1 if "norm" in name else target), name


def test_logits_are_those_of_the_file(gguf, model):
    """The folder gives the logits that transformers gives when it reads the file itself, within 1e-3."""
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    for text in TEXTS:
        tokens = tokenize(model.tokenizer, text)
        with torch.no_grad():
            expected = theirs(torch.tensor([tokens])).logits[0]
        difference = (capture(model, tokens).logits - expected).abs().max()
        assert difference < 1e-3, (text, difference)


def test_tokenizer_is_sentencepiece_s(gguf, model):
    """Pieces are those of the file, and texts are cut as SentencePiece's BPE does by the pieces' scores."""
    from gguf import GGUFReader

    fields = GGUFReader(gguf).fields
    # The file has blanks in the pieces of runs of blanks, where SentencePiece has its mark.
    pieces = [piece.replace(" ", "▁") for piece in fields["tokenizer.ggml.tokens"].contents()]
    scores = dict(zip(pieces, fields["tokenizer.ggml.scores"].contents(), strict=True))
    tokenizer = model.tokenizer
    assert tokenizer.convert_ids_to_tokens(range(len(pieces))) == pieces
    # Runs of blanks are pieces of the user, which SentencePiece cuts out before it merges: not compared here.
    for text in TEXTS[:3]:
        cut = list(text.replace(" ", "▁"))
        while pairs := [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(cut)) if a + b in scores]:
            best = min(pairs)[1]
            cut[best : best + 2] = [cut[best] + cut[best + 1]]
        assert tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False)) == cut
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert tokenize(tokenizer, "The keys") == [2, 818, 13272]
    assert answer_ids(tokenizer, "The keys", " are") == [659]


def test_what_random_models_do_not_show(model):
    """The factor of embeddings, bases of rotations, the reach of local layers, and gains of hundreds."""
    config = model.hf.config
    assert {model.hf.model.layers[i].self_attn.scaling for i in range(18)} == {256**-0.5}
    bases = {kind: turn["rope_theta"] for kind, turn in config.rope_parameters.items()}
    assert bases == {"sliding_attention": 1e4, "full_attention": 1e6}
    assert [i for i, kind in enumerate(config.layer_types) if kind == "full_attention"] == [5, 11, 17]
    assert max(model.parts.gain(layer.post_mlp_norm).max() for layer in model.parts.layers) > 500
    tokens = [2, *(1000 + i for i in range(519))]
    run = capture(model, tokens, patterns=True, last_only=True)
    embedded = model.parts.embeddings[tokens] * 640**0.5
    assert torch.allclose(run.residual[0], embedded, rtol=1e-6)
    assert not run.patterns[LOCAL].tril(-512).any() and run.patterns[GLOBAL].tril(-512).any()
    rows = torch.ones(len(tokens))
    assert torch.allclose(run.patterns.sum(-1), rows.expand(18, 4, -1), atol=1e-5)


def test_graphs_and_scores_are_exact(model, tmp_path):
    """Edges and bias sum to pre-activations, and parts of scores to scores, in local and global layers."""
    coders = Transcoders.open(write_transcoders(tmp_path / "t", layers=18, d_model=640, threshold=True))
    tokens = tokenize(model.tokenizer, TEXTS[0])
    graph = attribute(model, coders, tokens, max_feature_nodes=300)
    into, pre = graph.target_nodes, graph.node_preactivation
    sums = graph.edge_rows.sum(1, dtype=np.float64) + graph.node_bias[into] + graph.node_omitted[into]
    largest = np.abs(graph.edge_rows).max(1)
    assert len(graph.selected_features) == 300
    assert (np.abs(sums - pre[into]) <= 1e-4 * largest).all()
    for layer in (LOCAL, GLOBAL):
        parts = score(model, coders, tokens, layer=layer, head=1, query=4, key=2)
        total = float(parts.query.sum(0) @ parts.key.sum(0))
        assert total == pytest.approx(parts.score, rel=1e-3, abs=1e-3)
