"""Models and tokenizers load from real files, and every damaged folder is refused in one clear line."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from damaged import edit_json, edit_tensors, refused
from random_model import CAPPED, write_model
from safetensors.torch import load_file, save_file
from spaced import write_sentencepiece
from transformers import AutoModelForCausalLM

from circuitstore.errors import LimitError, UsageError
from circuitstore.models import bits
from circuitstore.models.capture import capture
from circuitstore.models.hooks import Hooks
from circuitstore.models.load import answer_ids, load_model, load_tokenizer, tokenize
from circuitstore.models.token_text import token_text

TOKENS = [208, 17, 3, 99, 3, 150, 42]


@pytest.fixture
def model_folder(tmp_path):
    return write_model(tmp_path / "model", 1)


def test_logits_equal_transformers_own(model_folder):
    """Logits are equal bit for bit, and the captured pieces add up to the residual stream."""
    model = load_model(model_folder)
    run = capture(model, TOKENS, patterns=True)
    plain = AutoModelForCausalLM.from_pretrained(model_folder, attn_implementation="eager").eval()
    with torch.no_grad():
        output = plain(torch.tensor([TOKENS]), output_hidden_states=True)
    assert torch.equal(run.logits, output.logits[0])
    assert torch.equal(run.residual, torch.cat(output.hidden_states[:-1]))
    layer = model.parts.layers[1]
    assert torch.allclose(run.mlp_output[1], layer.mlp(run.mlp_input[1]), atol=1e-6)
    middle = run.mlp_input[1] / layer.mlp_norm.weight / run.mlp_scale[1][:, None]
    assert torch.allclose(middle + run.mlp_output[1], run.residual[2], atol=1e-5)
    normed = layer.attention_norm(run.residual[1])
    assert torch.allclose(
        run.residual[1] * run.attention_scale[1][:, None] * layer.attention_norm.weight, normed, atol=1e-6
    )
    assert torch.allclose(run.patterns.sum(-1), torch.ones(()), atol=1e-6)
    assert run.patterns.shape == (3, 4, 7, 7) and not run.patterns.triu(1).any()


@pytest.mark.parametrize("kind", ["gemma2", "gemma3_text", "mistral", "qwen2"])
def test_other_families(tmp_path, kind):
    """Logits and streams are those of transformers, caps and factors included; norms are as taken."""
    folder = write_model(tmp_path / "model", 1, kind=kind, **(CAPPED if kind == "gemma2" else {}))
    model = load_model(folder)
    run = capture(model, TOKENS, patterns=True)
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        output = plain(torch.tensor([TOKENS]), output_hidden_states=True)
    assert torch.equal(run.logits, output.logits[0])
    assert torch.equal(run.uncapped, run.logits) == (kind != "gemma2")
    assert torch.equal(run.residual, torch.cat(output.hidden_states[:-1]))
    layer, parts = model.parts.layers[1], model.parts
    middle = run.residual[2] - capture(model, TOKENS, hooks=Hooks(writes="hook_mlp_out")).mlp_output[1]
    normed = middle * run.mlp_scale[1][:, None] * parts.gain(layer.mlp_norm)
    assert torch.allclose(normed, run.mlp_input[1], atol=2e-5)
    added = run.mlp_output[1]
    if run.post_mlp_scale is not None:
        added = added * run.post_mlp_scale[1][:, None] * parts.gain(layer.post_mlp_norm)
    assert torch.allclose(middle + added, run.residual[2], atol=2e-5)
    assert (run.post_attention_scale is not None) == kind.startswith("gemma")
    # Local attention: layer 0 of Gemma sees no further back than four positions.
    assert (run.patterns[0].tril(-4) > 0).any() != kind.startswith("gemma")
    assert (run.patterns[1].tril(-4) > 0).any()


def test_half_precision_logits_are_float32(model_folder):
    """A bfloat16 model's logits are not rounded to bfloat16."""
    run = capture(load_model(model_folder, dtype="bfloat16"), TOKENS)
    assert run.residual.dtype == torch.bfloat16 and run.logits.dtype == torch.float32
    assert not torch.equal(run.logits, run.logits.bfloat16().float())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logits_of_the_last_position(model_folder, monkeypatch, dtype):
    """The logits of the last position alone are those of all positions, to rounding.

    The unembedding may be raised a few rows at a time. Its mean row is computed in the same way.
    """
    monkeypatch.setitem(bits.RAISED_BYTES, "cpu", 4 * 48 * 17)  # twelve pieces of 17 rows and a rest of 6
    model = load_model(model_folder, dtype=dtype)
    every, last = capture(model, TOKENS), capture(model, TOKENS, last_only=True)
    assert last.logits.shape == (1, 210) and torch.equal(last.residual, every.residual)
    torch.testing.assert_close(last.logits[0], every.logits[-1])
    unembedding = model.parts.unembedding.float()
    final = model.parts.final_norm(every.final_residual).float()
    torch.testing.assert_close(every.logits, final @ unembedding.T)
    torch.testing.assert_close(model.parts.mean_unembedding, unembedding.mean(0))


def test_wrong_tokens_are_refused(model_folder):
    """There must be tokens, the model must have them, and it must have positions for them."""
    model = load_model(model_folder)
    with pytest.raises(UsageError, match="at least one"):
        capture(model, [])
    with pytest.raises(UsageError, match="got 210"):
        capture(model, [1, 210])
    with pytest.raises(LimitError, match="at most 64 tokens, got 65"):
        capture(model, [1] * 65)


def test_missing_pieces_of_a_model(model_folder, tmp_path):
    """The error names what is missing: folder, config, weights or tokenizer; or the unknown architecture."""
    refused(lambda: load_model(tmp_path / "none"), "no such folder", "config.json")
    for name, words in (
        ("model.safetensors", "no model.safetensors"),
        ("tokenizer.json", "tokenizer.json"),
        ("config.json", "no such file"),
    ):
        folder = shutil.copytree(model_folder, tmp_path / name)
        (folder / name).unlink()
        refused(lambda folder=folder: load_model(folder), words, str(folder))
    edit_json(model_folder / "config.json", model_type="mamba")
    refused(lambda: load_model(model_folder), "mamba", "qwen3")


def test_pickled_weights_are_never_loaded(model_folder):
    """A folder with only pytorch_model.bin has no weights."""
    (model_folder / "model.safetensors").rename(model_folder / "pytorch_model.bin")
    refused(lambda: load_model(model_folder), "model.safetensors")


def test_missing_shard(model_folder):
    """Every file of an index must be there, unless one file holds all weights, as for transformers."""
    (model_folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-1.safetensors"}})
    )
    load_model(model_folder)
    (model_folder / "model.safetensors").unlink()
    refused(lambda: load_model(model_folder), "no model-1.safetensors")


def test_truncated_weights(model_folder):
    """Half a file is an error, not a traceback."""
    path = model_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    refused(lambda: load_model(model_folder), "safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("model.layers.1.self_attn.q_norm.weight"),
        lambda tensors: tensors.update({"model.layers.1.self_attn.extra": torch.zeros(3)}),
        lambda tensors: tensors.update({"model.norm.weight": torch.zeros(5)}),
    ],
    ids=["missing", "unexpected", "misshaped"],
)
def test_weights_that_do_not_match_the_config(model_folder, change):
    """transformers would fill in random numbers, or drop what it does not know."""
    edit_tensors(model_folder / "model.safetensors", change)
    refused(lambda: load_model(model_folder), "model weights in")


def test_tokenizer_larger_than_the_vocabulary(tmp_path):
    """A tokenizer's last tokens would have no embedding."""
    folder = write_model(tmp_path / "model", 1)
    tensors = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors[name][:200].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    edit_json(folder / "config.json", vocab_size=200)
    refused(lambda: load_model(folder), "200", "token id 209")


def test_unknown_dtype_and_device(model_folder):
    """The error names what is possible."""
    with pytest.raises(UsageError, match="float32 or bfloat16"):
        load_model(model_folder, dtype="int8")
    with pytest.raises(UsageError, match="device"):
        load_model(model_folder, device="quantum")


def test_prepended_token(model_folder):
    """The token is the one asked for; it is never put twice; a missing one is an error."""
    tokenizer = load_tokenizer(model_folder)
    assert tokenize(tokenizer, "the keys", prepend="eos") == [208, 0, 1]
    assert tokenize(tokenizer, "the keys", prepend="pad") == [206, 0, 1]
    assert tokenize(tokenizer, "the keys", prepend="unk") == [tokenizer.unk_token_id, 0, 1]
    assert tokenize(tokenizer, "the keys", prepend="none") == [0, 1]
    assert tokenize(tokenizer, "<|im_end|> the keys", prepend="eos") == [208, 0, 1]
    assert tokenize(tokenizer, "<|im_end|> the keys", prepend="pad") == [206, 208, 0, 1]
    with pytest.raises(UsageError, match="expected pad or eos or unk or none, got bos"):
        tokenize(tokenizer, "the keys", prepend="bos")
    with pytest.raises(UsageError, match="expected auto or bos"):
        tokenize(tokenizer, "the keys", prepend="cls")


def test_the_prepended_token_follows_the_field(model_folder):
    """ "auto" is bos, else pad, else eos, and nothing before a text that begins with a special token."""
    tokenizer = load_tokenizer(model_folder)
    assert tokenize(tokenizer, "the keys") == [206, 0, 1]  # <|endoftext|>: there is no bos
    assert tokenize(tokenizer, "<|im_end|> the keys") == [208, 0, 1]
    assert tokenize(tokenizer, "") == [206]
    tokenizer.bos_token = "<|im_start|>"
    assert tokenize(tokenizer, "the keys")[0] == tokenizer.bos_token_id != 206
    tokenizer.bos_token = tokenizer.pad_token = None
    assert tokenize(tokenizer, "the keys") == [208, 0, 1]
    tokenizer.eos_token = None
    with pytest.raises(UsageError, match="expected unk or none, got auto"):
        tokenize(tokenizer, "the keys")


@pytest.fixture
def sentencepiece(tmp_path):
    write_sentencepiece(tmp_path)
    return load_tokenizer(tmp_path)


def test_answers_of_a_tokenizer_that_puts_a_space_in_front(sentencepiece):
    """The answer " are" is the one token that it adds to the text; alone it would be two."""
    token = sentencepiece.convert_tokens_to_ids("▁are")
    assert len(sentencepiece.encode(" are", add_special_tokens=False)) > 1
    assert answer_ids(sentencepiece, "The keys", " are") == [token]
    assert answer_ids(sentencepiece, "The key", "s") is None
    tokens = sentencepiece.encode("The keys are", add_special_tokens=False)
    assert [token_text(sentencepiece, token) for token in tokens] == [" The", " keys", " are"]
    assert tokenize(sentencepiece, "The keys")[0] == sentencepiece.bos_token_id


def test_answers_of_other_tokenizers_are_as_they_were(model_folder):
    """What an answer adds is what it is by itself, unless it changes the text's last token."""
    tokenizer = load_tokenizer(model_folder)
    for text, answer in (("the keys", " are"), ("the cat sat", " on")):
        alone = tokenizer.encode(answer, add_special_tokens=False)
        assert answer_ids(tokenizer, text, answer) == alone
    for token in range(0, 200, 7):
        assert token_text(tokenizer, token) == tokenizer.decode([token])
