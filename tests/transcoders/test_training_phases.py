"""The phases that train transcoders: one cell a layer, resumable, measured as stated, written as files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from trained import LAYERS, MODEL, SETTINGS, TEXTS, TRAINING, Trained, computed
from workspace import one_line_error, run

import circuitstore as cs
import tasks
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named
from circuitstore.transcoders import training
from circuitstore.transcoders.per_layer import Transcoders


def contents(artifact: Artifact) -> dict[int, str]:
    """Layer → content hash of its cell."""
    return {cell.coords["layer"]: cell.content for cell in artifact.cells}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are not worth splitting."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    """Transcoders trained, measured and written to `trained`, which the profile names."""
    made = Trained(tmp_path_factory.mktemp("trained")).write()
    outcome = made.build()
    assert outcome.code == 0, outcome.err
    assert made.export(made.root / "trained").code == 0
    return made


@pytest.fixture(scope="module")
def held_out(trained) -> list[list[int]]:
    """The held-out sequences, read from the store."""
    found = []
    for shard in cs.open("corpus", store=trained.store, profile="mine", behaviour="corpus").children.values():
        if bool(shard.held_out):
            found += [
                shard.tokens.values[start:stop].tolist()
                for start, stop in pairwise(shard.pointer.values.tolist())
            ]
    return found


def test_one_cell_a_layer_and_nothing_twice(trained):
    """Every layer of the model is a cell; a second build computes nothing, and touches no behaviour."""
    assert [cell.coords for cell in trained.artifact("transcoders").cells] == [
        {"layer": layer} for layer in range(LAYERS)
    ]
    again = trained.build()
    assert again.code == 0 and computed(again) == {}
    assert [row["phase"] for row in again.json["phases"]] == list(TRAINING)


def test_long_work_says_how_far_it_is(trained, tmp_path, monkeypatch):
    """Where no bar can be shown, lines between those of the phases count the cells that are done."""
    monkeypatch.setattr("circuitstore.command.build.QUIET", 0.0)
    again = Trained(Path(shutil.copytree(trained.root, tmp_path / "again")))
    outcome = again.build("transcoders", "--set", "training.seed=5", "--set", "training.steps=2")
    assert [line.split()[2:] for line in outcome.err.splitlines() if " of " in line] == [
        [str(n), "of", "6", "cells"] for n in range(1, 6)
    ]


def test_no_text_is_both_trained_on_and_held_out(trained, held_out):
    """Texts are distinct, a fifth of their tokens is held out, and each begins with the prepended token."""
    tokenizer = load_model(MODEL).tokenizer
    texts = {tokenizer.decode(sequence[1:]) for sequence in held_out}
    assert texts <= set(TEXTS) and all(sequence[0] == tokenizer.pad_token_id for sequence in held_out)
    share = sum(len(sequence) - 1 for sequence in held_out) / sum(
        len(tokenizer.encode(text)) for text in set(TEXTS)
    )
    assert 0.2 <= share < 0.25
    rows = int(cs.open("transcoders", store=trained.store, profile="mine", behaviour="corpus").tokens[0])
    assert rows == sum(len(tokenizer.encode(text)) for text in set(TEXTS) - texts)


def test_exported_files_load_and_explain_as_reported(trained, held_out):
    """An independent computation gives the L0, explained variance and normalised MSE that the phase reports.

    It runs one sequence at a time and uses the sparse reader of the files.
    """
    model, transcoders = load_model(MODEL), Transcoders.open(trained.root / "trained")
    transcoders.check_fits(LAYERS, model.d_model)
    runs = [capture(model, sequence) for sequence in held_out]
    reported = cs.open("transcoders", store=trained.store, profile="mine", behaviour="corpus").load()
    for layer in range(LAYERS):
        inputs = [each.mlp_input[layer, 1:] for each in runs]
        outputs = torch.cat([each.mlp_output[layer, 1:] for each in runs]).double()
        rows = transcoders.layer(layer).active(inputs)
        error = outputs - torch.cat([transcoders.layer(layer).reconstruct(row) for row in rows]).double()
        of_layer, missed = reported.isel(layer=layer), error.square().sum()
        assert float(of_layer.explained_variance) == pytest.approx(
            1 - float(missed / (outputs - outputs.mean(0)).square().sum())
        )
        assert float(of_layer.normalised_mse) == pytest.approx(float(missed / outputs.square().sum()))
        assert float(of_layer.l0) == pytest.approx(
            sum(len(row.value) for row in rows) / len(outputs), rel=1e-3
        )
        assert float(of_layer.explained_variance) > 0.3


def test_agreement_is_that_of_the_files_in_the_model(trained, held_out):
    """Other code that puts the exported transcoders into the model finds the same agreement, text by text."""
    model, transcoders = load_model(MODEL), Transcoders.open(trained.root / "trained")
    asked: list[list[int]] = []
    for sequence in held_out:
        if sum(map(len, asked)) >= SETTINGS["replacement"]["tokens"]:
            break
        asked.append(sequence)

    def predictions(layers: list[int]) -> list[int]:
        def replace(layer: int):
            def hook(module, args, output):
                output[0, 1:] = transcoders.layer(layer).reconstruct(
                    transcoders.layer(layer).active([args[0][0, 1:]])[0]
                )

            return hook

        hooks = [model.parts.layers[layer].mlp.register_forward_hook(replace(layer)) for layer in layers]
        found = [
            token
            for sequence in asked
            for token in model.hf(torch.tensor([sequence])).logits[0, 1:].argmax(1).tolist()
        ]
        for each in hooks:
            each.remove()
        return found

    with torch.no_grad():
        expected = predictions([])
        shares = [np.mean(np.equal(predictions(layers), expected)) for layers in ([2], list(range(LAYERS)))]
    reported = trained.artifact("replacement").summary
    assert reported["all"]["tokens"] == len(expected)
    assert [reported["layers"]["2"]["agreement"], reported["all"]["agreement"]] == pytest.approx(shares)
    assert 0 < shares[1] < 1 and reported["all"]["kl"] > 0


def test_same_weights_same_bytes(trained, tmp_path):
    """A second export writes the same bytes, and into a folder of its own nothing at all."""
    assert trained.export(tmp_path / "again").code == 0
    for file in (trained.root / "trained").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    assert "0 written" in trained.export(tmp_path / "again").err


def test_profile_with_trained_transcoders_is_attributed(trained):
    """The exported folder is what the profile names: graphs are built with it and are exact."""
    built = run(
        *(
            "build",
            "attribution",
            "--profile",
            trained.root / "mine.toml",
            "-b",
            "plural",
            "--store",
            trained.root / "attributed",
        ),
        *("--set", "prompts.train=2", "--set", "prompts.test=2", "--json"),
    )
    assert built.code == 0, built.err
    graphs = named(Store(trained.root / "attributed"), Name("mine", "plural", "attribution")).summary
    assert graphs["graphs"] == 4 and graphs["identity_error"] < 1e-4


def test_killed_training_resumes_at_its_layer(trained, tmp_path, monkeypatch):
    """Ctrl-C while layer 3 is trained keeps layers 0–2; the next build trains the others just the same."""
    again = Trained(tmp_path).write()
    real, count = training.train, iter(range(LAYERS))

    def interrupted(*arguments, **options):
        if next(count) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("tasks.training.transcoders.train", interrupted)
        assert again.build("transcoders").code == 130
    resumed = again.build("transcoders")
    assert resumed.code == 0 and computed(resumed) == {"transcoders": 3}
    assert contents(again.artifact("transcoders")) == contents(trained.artifact("transcoders"))


def test_layer_does_not_depend_on_its_batch(trained, tmp_path, monkeypatch):
    """Each layer has the same bits, trained in one batch after others or in a batch of its own."""
    asked = tuple(
        msgspec.structs.replace(task, batch=LAYERS) if task.name == "transcoders" else task
        for task in tasks.PIPELINE.asked
    )
    monkeypatch.setattr(tasks, "PIPELINE", msgspec.structs.replace(tasks.PIPELINE, asked=asked))
    together = Trained(tmp_path).write()
    assert together.build("transcoders").code == 0
    assert len({cell.object for cell in together.artifact("transcoders").cells}) == 1
    assert contents(together.artifact("transcoders")) == contents(trained.artifact("transcoders"))


@pytest.mark.parametrize(
    ("setting", "first"),
    [("training.seed=124", 2), ("training.l0=11", 2), ("corpus.seed=1", 0), ("prompts.prepend=pad", 0)],
)
def test_settings_are_in_the_keys_of_what_they_affect(trained, setting, first):
    """A setting moves the keys of the phases that it affects and of those after them, and no others."""
    plan = run(
        "explain",
        "replacement",
        "--profile",
        trained.root / "mine.toml",
        "--store",
        trained.store,
        "--json",
        "--set",
        setting,
    )
    stale = [row["phase"] for row in plan.json["phases"] if row["state"] != "fresh"]
    assert stale == list(TRAINING[first:])


def test_training_is_about_a_corpus(tmp_path):
    """Training is refused with a behaviour, with another phase, and without enough of a corpus."""
    store = ("--store", tmp_path / "store")
    assert "not about a behaviour" in one_line_error(
        run("build", "transcoders", "-b", "plural", *store), code=2
    )
    assert "no other phases" in one_line_error(run("build", "transcoders", "baseline", *store), code=2)
    assert "--set texts.path=FILE" in one_line_error(run("build", "transcoders", *store), code=1)
    (tmp_path / "one.txt").write_text("The keys\nThe keys\n")
    assert "1 different texts" in one_line_error(
        run("build", "corpus", *store, "--set", f"texts.path={tmp_path / 'one.txt'}"), code=1
    )
    assert "no such file" in one_line_error(
        run("build", "corpus", *store, "--set", "texts.path=nowhere.txt"), code=1
    )
