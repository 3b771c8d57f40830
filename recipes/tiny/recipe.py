"""Make the tiny model, its tokenizer and its transcoders from nothing:

    python -m recipes.tiny.recipe

Writes, beside this file, ``model/`` and ``transcoders/`` in the formats that real ones come in, and what was
measured on those files: ``quality.json`` and ``README.md``. One thread does all the work, so that the number
of cores does not change a bit of the result.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from circuitstore.transcoders import formats
from circuitstore.transcoders.training import mlp_pairs
from recipes.tiny import corpus, measure, train_model, train_transcoders
from tasks import behaviours

HERE = Path(__file__).parents[2] / "tasks" / "profiles" / "tiny"
SEEDS = {"prompts": 42, "transcoders": 123, "torch": 789}


def main() -> None:
    """Train, save, measure, report."""
    parser = argparse.ArgumentParser(description="Train the tiny model and its transcoders.")
    parser.add_argument(
        "--out", type=Path, default=HERE, help="where to write (default: tasks/profiles/tiny)"
    )
    folder: Path = parser.parse_args().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    prompts = {
        name: behaviours.generate(behaviours.load(name), seed=SEEDS["prompts"]) for name in train_model.SHARES
    }
    held_out = corpus.test_groups(prompts)
    seconds: dict[str, float] = {}

    print("model", flush=True)
    start = time.process_time()
    sentences = corpus.sentences(held_out, train_model.SHARES, train_model.SENTENCES, SEEDS["torch"])
    tokenizer = train_model.train_tokenizer(corpus.plain(sentences))
    model = train_model.train_model(tokenizer, train_model.sequences(tokenizer, sentences), SEEDS["torch"])
    model.save_pretrained(folder / "model")
    train_model.save_tokenizer(tokenizer, folder / "model")
    seconds["model"] = time.process_time() - start

    print("transcoders", flush=True)
    start = time.process_time()
    shares, count = train_transcoders.SHARES, train_transcoders.SENTENCES
    texts = corpus.plain(corpus.sentences(held_out, shares, count, SEEDS["transcoders"]))
    inputs, outputs = mlp_pairs(model, train_model.encode(tokenizer, texts))
    weights = train_transcoders.train_all(inputs, outputs, SEEDS["transcoders"])
    save_transcoders(weights, folder / "transcoders")
    for file in files(folder):
        file.chmod(0o644)  # safetensors writes files that only their owner can read
    seconds["transcoders"] = time.process_time() - start

    print("quality", flush=True)
    quality = assess(folder, prompts, texts) | {"seeds": SEEDS, "seconds": seconds}
    (folder / "quality.json").write_text(json.dumps(_rounded(quality), indent=2) + "\n")
    (folder / "README.md").write_text(readme(quality))


def save_transcoders(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write config.yaml and one safetensors file a layer; `weights` have a leading layer axis."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = len(weights["W_enc"])
    for layer in range(layers):
        one = {name: weight[layer].contiguous() for name, weight in weights.items()}
        save_file(one, folder / f"layer_{layer}.safetensors", metadata={"format": "pt"})
    (folder / "config.yaml").write_text(formats.config_yaml("circuitstore/tiny", layers))


def files(folder: Path) -> list[Path]:
    """All files of the model and of the transcoders."""
    return [file for part in ("model", "transcoders") for file in sorted((folder / part).iterdir())]


def assess(folder: Path, prompts: dict[str, list[behaviours.Prompt]], texts: list[str]) -> dict[str, Any]:
    """Everything measured on the files in `folder`; `texts` are what transcoders were trained on."""
    model, tokenizer, transcoders = measure.load(folder)
    test = {name: [prompt for prompt in some if prompt.split == "test"] for name, some in prompts.items()}
    train = {name: [prompt for prompt in some if prompt.split == "train"] for name, some in prompts.items()}
    layers = measure.reconstruction(
        model, tokenizer, transcoders, [p.text for some in test.values() for p in some]
    )
    corpus_layers = measure.reconstruction(model, tokenizer, transcoders, texts)
    return {
        "answers": {
            name: {
                "train": measure.answers(model, tokenizer, train[name]),
                "test": measure.answers(model, tokenizer, test[name]),
            }
            for name in prompts
        },
        "layers": [
            layer | {"dead": whole["dead"]} for layer, whole in zip(layers, corpus_layers, strict=True)
        ],
        "replacement": {
            name: measure.replacement(model, tokenizer, transcoders, test[name]) for name in prompts
        },
        "parameters": {
            "model": sum(p.numel() for p in model.parameters()),
            "transcoders": sum(weight.numel() for each in transcoders for weight in each.values()),
        },
        "vocabulary": len(tokenizer),
        "sentences": len(texts),
        "features": len(transcoders[0]["b_enc"]),
        "bytes": {f"{file.parent.name}/{file.name}": file.stat().st_size for file in files(folder)},
    }


def readme(quality: dict[str, Any]) -> str:
    """The README beside the weights."""
    answers = "\n".join(
        f"| {name} | {split['train']['accuracy']:.2f} / {split['test']['accuracy']:.2f} "
        f"| {split['train']['top1']:.2f} / {split['test']['top1']:.2f} "
        f"| {split['train']['mean_margin']:.1f} / {split['test']['mean_margin']:.1f} "
        f"| {split['test']['least_margin']:.1f} "
        f"| {quality['replacement'][name]['agreement']:.2f} | {quality['replacement'][name]['mean_kl']:.4f} |"
        for name, split in sorted(quality["answers"].items())
    )
    layers = "\n".join(
        f"| {i} | {layer['explained_variance']:.4f} | {layer['L0']:.1f} | {layer['dead']:.1%} |"
        for i, layer in enumerate(quality["layers"])
    )
    parameters, seconds = quality["parameters"], quality["seconds"]
    return f"""\
# The tiny model

A Qwen3-architecture language model and per-layer JumpReLU transcoders for it, trained from nothing and small enough to
be analysed whole on a laptop. The formats are those of real ones: `model/` loads with `transformers`, `transcoders/`
with circuitstore and with any reader of `config.yaml` and `layer_{{i}}.safetensors`.

Written, with all numbers below, by `python -m recipes.tiny.recipe`; the same numbers, for programs, are in
`quality.json`.

## What it is

- Model: {len(quality["layers"])} layers, d_model 128, 4 heads of width 32, 2 key-value heads, tied embeddings,
  {parameters["model"]:,} parameters, float32.
- Tokenizer: byte-level BPE, {quality["vocabulary"]:,} tokens, Qwen's splitting rule (single digits). Every word of the
  corpus, with its leading space if it has one, is a single token.
- Transcoders: {quality["features"]:,} features a layer, {parameters["transcoders"]:,} parameters, float32. They read the
  normalised MLP input (output of the post-attention norm) and predict the MLP output. A feature at or below its
  threshold is exactly 0. Decoder rows have norm 1: an activation is the size of what the feature writes.
- Both were trained on sequences that start with `{train_model.EOS}`, as prompts are fed; transcoders leave that position out.
- Files: {sum(quality["bytes"].values()) / 1e6:.1f} MB. Training took {seconds["model"] / 60:.1f} + \
{seconds["transcoders"] / 60:.1f} CPU minutes on one thread. Seeds: {", ".join(f"{k} {v}" for k, v in SEEDS.items())}.

## Answers

Prompts as generated with the default seed, 80 train / 20 test a behaviour. Accuracy: logit of the correct answer above
that of the incorrect one. Replacement: all MLPs replaced by their transcoders at once (positions ≥ 1, attention and
norms free), test prompts, last token: same likeliest token, and KL(model ‖ replacement) in nats.

| behaviour | accuracy | likeliest token correct | mean margin | least margin (test) | agreement | KL |
|---|---|---|---|---|---|---|
{answers}

## Transcoders

Explained variance and mean L0 at positions ≥ 1 of the test prompts, which transcoders were not trained on; dead: never
active in the {quality["sentences"]:,} sentences they were trained on.

| layer | explained variance | L0 | dead |
|---|---|---|---|
{layers}

## What is unseen

No test prompt is in the training text, and what it asks is held out more widely than its wording:

- plural: the subject nouns of test prompts never had an attractor; they were met alone ("The keys are …") and as attractors.
- capital: the capital was never asked for the cities of test states that prompts use; "… Dallas is in Texas" and "The
  capital of Texas is Austin" were stated, and the two hops were shown for other, wider-lexicon cities of the same state.
- antonym: test pairs never appeared in the behaviour's templates; they were stated in other sentences ("It is not "hot" but
  "cold".").
- addition: no sum whose smaller operand is that of a test prompt, either way round; the ones digits themselves meet in
  other sums, of one digit and of two.

Words, templates and facts were all seen; their combinations were not. Settings of the training were chosen with the
numbers above in view. The language is synthetic and small: nothing about
a natural language model follows from it.
"""


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
