"""Make the tiny model, its tokenizer and its transcoders from nothing.

    python -m recipes.tiny.recipe

Writes ``model/`` and ``transcoders/`` into tasks/profiles/tiny, in the formats of published ones, and what
was measured on these files: ``quality.json`` and ``README.md``. One thread does all the work, so that the
number of cores does not change a bit of the result.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from string import Template
from typing import Any

import torch
from safetensors.torch import save_file

from circuitstore.transcoders import formats
from circuitstore.transcoders.training import mlp_pairs
from recipes.tiny import corpus, measure, train_model, train_transcoders
from tasks.behaviours import Prompt
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import generate

HERE = Path(__file__).parents[2] / "tasks" / "profiles" / "tiny"
WORDS = Path(__file__).with_name("readme.txt")  # of the README, with places for the numbers
SEEDS = {"prompts": 42, "transcoders": 123, "torch": 789}


def main() -> None:
    """Train, save, measure, report."""
    parser = argparse.ArgumentParser(description="Train the tiny model and its transcoders.")
    parser.add_argument(
        "--out", type=Path, default=HERE, help="where to write (default: tasks/profiles/tiny)"
    )
    for name, default in SEEDS.items():
        parser.add_argument(f"--{name}-seed", type=int, default=default, help=f"(default: {default})")
    arguments = parser.parse_args()
    folder: Path = arguments.out
    seeds = {name: getattr(arguments, f"{name}_seed") for name in SEEDS}
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    prompts = {name: generate(declaration(name), seed=seeds["prompts"]) for name in train_model.SHARES}
    held_out = corpus.test_groups(prompts)
    seconds: dict[str, float] = {}

    print("model", flush=True)
    start = time.process_time()
    sentences = corpus.sentences(held_out, train_model.SHARES, train_model.SENTENCES, seeds["torch"])
    tokenizer = train_model.train_tokenizer(corpus.plain(sentences))
    model = train_model.train_model(tokenizer, train_model.sequences(tokenizer, sentences), seeds["torch"])
    model.save_pretrained(folder / "model")
    train_model.save_tokenizer(tokenizer, folder / "model")
    seconds["model"] = time.process_time() - start

    print("transcoders", flush=True)
    start = time.process_time()
    shares, count = train_transcoders.SHARES, train_transcoders.SENTENCES
    texts = corpus.plain(corpus.sentences(held_out, shares, count, seeds["transcoders"]))
    inputs, outputs = mlp_pairs(model, train_model.encode(tokenizer, texts))
    weights = train_transcoders.train_all(inputs, outputs, seeds["transcoders"])
    save_transcoders(weights, folder / "transcoders")
    for file in files(folder):
        file.chmod(0o644)  # safetensors writes files that only their owner can read
    seconds["transcoders"] = time.process_time() - start

    print("quality", flush=True)
    quality = assess(folder, prompts, texts) | {"seeds": seeds, "seconds": seconds}
    (folder / "quality.json").write_text(json.dumps(_rounded(quality), indent=2) + "\n")
    (folder / "README.md").write_text(readme(quality))


def save_transcoders(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write config.yaml, and one safetensors file for each layer; `weights` have a leading layer axis."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = len(weights["W_enc"])
    for layer in range(layers):
        one = {name: weight[layer].contiguous() for name, weight in weights.items()}
        save_file(one, folder / f"layer_{layer}.safetensors", metadata={"format": "pt"})
    files = [formats.layer_file(layer) for layer in range(layers)]
    (folder / "config.yaml").write_text(formats.config_yaml("circuitstore/tiny", files))


def files(folder: Path) -> list[Path]:
    """All files of the model and of the transcoders."""
    return [file for part in ("model", "transcoders") for file in sorted((folder / part).iterdir())]


def assess(folder: Path, prompts: dict[str, list[Prompt]], texts: list[str]) -> dict[str, Any]:
    """All that is measured on the files in `folder`; `texts` are what transcoders were trained on."""
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
    """The text of the README beside the weights."""
    answers = "\n".join(
        f"| {name} | {split['train']['accuracy']:.2f} / {split['test']['accuracy']:.2f} "
        f"| {split['train']['top1']:.2f} / {split['test']['top1']:.2f} "
        f"| {split['train']['mean_margin']:.1f} / {split['test']['mean_margin']:.1f} "
        f"| {split['test']['least_margin']:.1f} "
        f"| {quality['replacement'][name]['agreement']:.2f} | {quality['replacement'][name]['mean_kl']:.4f} |"
        for name, split in sorted(quality["answers"].items())
    )
    layers = "\n".join(
        f"| {i} | {layer['explained_variance']:.4f} | {layer['L0']:.1f} | {layer['dead']:.1%} "
        f"| {layer['duplicates']:.1%} |"
        for i, layer in enumerate(quality["layers"])
    )
    parameters, seconds = quality["parameters"], quality["seconds"]
    return Template(WORDS.read_text(encoding="utf-8")).substitute(
        n_layers=len(quality["layers"]),
        model_parameters=f"{parameters['model']:,}",
        transcoder_parameters=f"{parameters['transcoders']:,}",
        vocabulary=f"{quality['vocabulary']:,}",
        features=f"{quality['features']:,}",
        sentences=f"{quality['sentences']:,}",
        first_token=train_model.PAD,
        megabytes=f"{sum(quality['bytes'].values()) / 1e6:.1f}",
        model_minutes=f"{seconds['model'] / 60:.1f}",
        transcoder_minutes=f"{seconds['transcoders'] / 60:.1f}",
        seeds=", ".join(f"{name} {seed}" for name, seed in quality["seeds"].items()),
        answers=answers,
        layers=layers,
    )


def _rounded(value: Any) -> Any:
    """The same data with six significant digits."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
