"""The tiny model as shipped: plain readers load it, and it is as good as its README says it must be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

from recipes.tiny import corpus, measure, recipe
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import generate

FOLDER = recipe.HERE
NAMES = ["addition", "antonym", "capital", "plural"]
EVEN = dict.fromkeys(NAMES, 1.0)
PROMPTS = {name: generate(declaration(name)) for name in NAMES}
TEST = {name: [prompt for prompt in some if prompt.split == "test"] for name, some in PROMPTS.items()}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are not worth splitting."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(FOLDER / "model", dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(FOLDER / "model")


@pytest.fixture(scope="module")
def transcoders(model: Any) -> list[dict[str, Any]]:
    layers = range(model.config.num_hidden_layers)
    return [load_file(FOLDER / "transcoders" / f"layer_{layer}.safetensors") for layer in layers]


# Format


def test_model_is_a_qwen3_with_grouped_key_value_heads(model: Any) -> None:
    assert type(model) is Qwen3ForCausalLM
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.head_dim) == (6, 128, 32)
    assert config.num_attention_heads == 2 * config.num_key_value_heads
    assert (FOLDER / "model" / "generation_config.json").is_file()


def test_special_tokens_are_those_of_qwen3(model: Any, tokenizer: Any) -> None:
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (
        model.config.eos_token_id,
        model.config.pad_token_id,
    )
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer("The keys").input_ids == tokenizer("The keys", add_special_tokens=False).input_ids


def test_tokenizer_keeps_any_text_and_splits_as_qwen3_does(tokenizer: Any) -> None:
    for text in "The keys near the cabinet", "calc: 36+59=95", ' "hot",\n\tα  β', "won't 1,234":
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.convert_ids_to_tokens(tokenizer(" 36+59").input_ids) == ["Ġ", "3", "6", "+", "5", "9"]
    assert tokenizer.convert_ids_to_tokens(tokenizer(' is "hot" are').input_ids) == [
        "Ġis",
        'Ġ"',
        "hot",
        '"',
        "Ġare",
    ]


def test_transcoders_have_the_published_names_and_shapes(
    model: Any, transcoders: list[dict[str, Any]]
) -> None:
    listed = [
        line[2:]
        for line in (FOLDER / "transcoders" / "config.yaml").read_text().splitlines()
        if line.startswith("- ")
    ]
    assert listed == [f"layer_{layer}.safetensors" for layer in range(model.config.num_hidden_layers)]
    for transcoder in transcoders:
        features, width = transcoder["W_enc"].shape
        assert width == model.config.hidden_size and features >= 1024
        shapes = {name: tuple(weight.shape) for name, weight in transcoder.items()}
        assert shapes == {
            "W_enc": (features, width),
            "b_enc": (features,),
            "W_dec": (features, width),
            "b_dec": (width,),
            "activation_function.threshold": (features,),
        }
        assert all(
            weight.dtype == torch.float32 and weight.isfinite().all() for weight in transcoder.values()
        )


def test_thresholds_are_positive_and_learned_feature_by_feature(transcoders: list[dict[str, Any]]) -> None:
    for transcoder in transcoders:
        threshold = transcoder["activation_function.threshold"]
        assert (threshold > 0).all()
        assert len(threshold.unique()) > len(threshold) // 2


def test_decoder_rows_have_norm_one(transcoders: list[dict[str, Any]]) -> None:
    for transcoder in transcoders:
        assert transcoder["W_dec"].norm(dim=1).sub(1).abs().max() < 1e-5


def test_shipped_files_stay_small() -> None:
    files = [file for part in ("model", "transcoders") for file in (FOLDER / part).iterdir()]
    assert sum(file.stat().st_size for file in files) <= 30e6


# Prompts under this tokenizer


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_single_tokens_also_behind_their_prompt(tokenizer: Any, name: str) -> None:
    for prompt in PROMPTS[name]:
        for answer in prompt.correct, prompt.incorrect:
            ids = tokenizer(answer).input_ids
            assert len(ids) == 1
            assert tokenizer(prompt.text + answer).input_ids == tokenizer(prompt.text).input_ids + ids


@pytest.mark.parametrize("name", NAMES)
def test_partners_have_the_same_number_of_tokens(tokenizer: Any, name: str) -> None:
    length = {prompt.id: len(tokenizer(prompt.text).input_ids) for prompt in PROMPTS[name]}
    assert all(length[prompt.id] == length[prompt.partner] for prompt in PROMPTS[name])


# Quality


@pytest.mark.parametrize("name", NAMES)
def test_model_answers_unseen_prompts(model: Any, tokenizer: Any, name: str) -> None:
    measured = measure.answers(model, tokenizer, TEST[name])
    assert measured["accuracy"] >= 0.95
    assert measured["top1"] >= 0.9 - 1e-6  # 18 of 20


def test_transcoders_explain_every_mlp_with_few_features(
    model: Any, tokenizer: Any, transcoders: list[dict[str, Any]]
) -> None:
    texts = [prompt.text for some in TEST.values() for prompt in some]
    for layer in measure.reconstruction(model, tokenizer, transcoders, texts):
        assert layer["explained_variance"] >= 0.95
        assert 1 <= layer["L0"] <= 20


def test_no_feature_is_there_twice(transcoders: list[dict[str, Any]]) -> None:
    """Compared pair by pair, in another way than the training does."""
    for transcoder in transcoders:
        read, written = (
            weight / weight.norm(dim=1, keepdim=True) for weight in (transcoder["W_enc"], transcoder["W_dec"])
        )
        both = torch.minimum(read @ read.T, written @ written.T) - 2 * torch.eye(len(read))
        assert both.max() < 0.99


def test_few_features_are_dead(model: Any, tokenizer: Any, transcoders: list[dict[str, Any]]) -> None:
    texts = corpus.plain(corpus.sentences(corpus.test_groups(PROMPTS), EVEN, 3000, seed=0))
    for layer in measure.reconstruction(model, tokenizer, transcoders, texts):
        assert layer["dead"] <= 0.1


@pytest.mark.parametrize("name", NAMES)
def test_replacement_model_gives_the_same_answers(
    model: Any, tokenizer: Any, transcoders: list[dict[str, Any]], name: str
) -> None:
    measured = measure.replacement(model, tokenizer, transcoders, TEST[name])
    assert measured["agreement"] >= 0.85


def test_measures_notice_a_broken_model(
    model: Any, tokenizer: Any, transcoders: list[dict[str, Any]]
) -> None:
    """The same measures on transcoders of the wrong layers, and on answers exchanged."""
    swapped = transcoders[::-1]
    texts = [prompt.text for prompt in TEST["plural"]]
    assert all(
        layer["explained_variance"] < 0.5
        for layer in measure.reconstruction(model, tokenizer, swapped, texts)
    )
    assert measure.replacement(model, tokenizer, swapped, TEST["plural"])["agreement"] < 0.5
    exchanged = [replace(p, correct=p.incorrect, incorrect=p.correct) for p in TEST["plural"]]
    assert measure.answers(model, tokenizer, exchanged)["accuracy"] <= 0.05


def test_reported_quality_is_that_of_the_files(
    model: Any, tokenizer: Any, transcoders: list[dict[str, Any]]
) -> None:
    quality = json.loads((FOLDER / "quality.json").read_text())
    texts = [prompt.text for some in TEST.values() for prompt in some]
    for reported, layer in zip(
        quality["layers"], measure.reconstruction(model, tokenizer, transcoders, texts), strict=True
    ):
        assert layer["explained_variance"] == pytest.approx(reported["explained_variance"], abs=1e-4)
        assert layer["L0"] == pytest.approx(reported["L0"], rel=1e-3)
    for name in NAMES:
        measured = measure.answers(model, tokenizer, TEST[name])
        assert measured["mean_margin"] == pytest.approx(
            quality["answers"][name]["test"]["mean_margin"], rel=1e-3
        )


# What is unseen


def test_the_corpus_holds_out_what_the_test_prompts_ask() -> None:
    held_out = corpus.test_groups(PROMPTS)
    texts = corpus.plain(corpus.sentences(held_out, EVEN, 60_000, seed=1))
    for some in TEST.values():
        assert not any(text.startswith(prompt.text) for prompt in some for text in texts)
    for word in (word for pair in held_out["antonym"] for word in pair.split("/")):
        asked = [text for text in texts if f'"{word}"' in text]
        assert asked and not any(
            "opposite of" in text or "antonym" in text or "contrary" in text for text in asked
        )
    sums = [re.findall(r"\d+", text) for text in texts if re.search(r"\d.*\d", text)]
    asked = [(a, b) for a, b, *_ in sums if len(a) > 1 and len(b) > 1]
    assert len(asked) > 5000 and not any(
        "+".join(sorted((a[-1], b[-1]))) in held_out["addition"] for a, b in asked
    )
    for noun in held_out["plural"]:
        asked = [text for text in texts if f"he {noun} " in text.partition(".")[0] and " near the " in text]
        assert not any(text.index(f"he {noun} ") < text.index(" near the ") for text in asked)
