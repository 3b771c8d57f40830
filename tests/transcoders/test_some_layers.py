"""Transcoders of some layers of a model: trained, written, named by a profile, and used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from random_model import write_transcoders
from trained import LAYERS, Trained, computed
from workspace import TEXTS, one_line_error, run

import circuitstore as cs
from circuitstore.errors import ModelError
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named
from circuitstore.transcoders import formats
from circuitstore.transcoders.per_layer import Transcoders

SOME = [1, 4]
ONLY = ("--set", "corpus_activations.layers=1,4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    """Transcoders of two of six layers, written to the folder that the profile names."""
    torch.set_num_threads(1)
    made = Trained(tmp_path_factory.mktemp("some")).write()
    outcome = made.build("replacement", *ONLY)
    assert outcome.code == 0, outcome.err
    assert made.export(made.root / "trained").code == 0
    return made


def test_only_these_are_trained_and_measured(trained):
    """There is one cell for each, and the others are not replaced; more layers later cost only themselves."""
    layers = [cell.coords["layer"] for cell in trained.artifact("transcoders").cells]
    measured = trained.artifact("replacement").summary
    assert layers == SOME and list(measured["layers"]) == ["1", "4"]
    assert all(0 < layer["agreement"] <= 1 for layer in measured["layers"].values())
    opened = cs.open("replacement", store=trained.store, profile="mine", behaviour="corpus")
    assert opened.layer.values.tolist() == SOME
    more = trained.build("transcoders", "--set", "corpus_activations.layers=1,3-4")
    assert more.code == 0 and computed(more)["transcoders"] == 1


def test_a_layer_that_the_model_lacks(trained):
    """The setting is named."""
    wrong = trained.build("transcoders", "--set", "corpus_activations.layers=1,6")
    assert "corpus_activations.layers" in one_line_error(wrong, code=2)


def test_files_say_which_layers_there_are(trained):
    """The list has a place for each layer of the model, also for those above the last that is trained."""
    folder = trained.root / "trained"
    listed = yaml.safe_load((folder / "config.yaml").read_text())["transcoders"]
    assert listed == [None, "layer_1.safetensors", None, None, "layer_4.safetensors", None]
    written = {path.name for path in folder.iterdir()}
    assert written == {"config.yaml", "provenance.json", *filter(None, listed)}
    transcoders = Transcoders.open(folder)
    assert transcoders.layers == set(SOME) and transcoders.n_layers == LAYERS
    with pytest.raises(ModelError, match="expected 4 layers"):
        transcoders.check_fits(4, transcoders.layer(1).d_model)


def test_graphs_have_features_there_and_errors_elsewhere(trained):
    """A behaviour names the layers; one text takes those that there are. Both are exact."""
    where = {"store": trained.root / "used", "profile": trained.root / "mine.toml"}
    words = ("--profile", where["profile"], "--store", where["store"], "--json", "-b", "plural")
    small = ("--set", "prompts.train=2", "--set", "prompts.test=2")
    refused = one_line_error(run("build", "attribution", *words, *small), code=1)
    assert "a transcoder of layer 0" in refused and "--set activations.layers=1,4" in refused
    built = run("build", "attribution", *words, *small, "--set", "activations.layers=1,4")
    assert built.code == 0, built.err
    summary = named(Store(where["store"]), Name("mine", "plural", "attribution")).summary
    assert summary["graphs"] == 4 and summary["identity_error"] < 1e-4
    graph = cs.attribute(TEXTS["a"], model=where["profile"], store=where["store"])
    assert set(np.unique(graph.active_features[:, 0])) == set(SOME)
    assert int(graph.n_layers) == LAYERS


def test_the_list_of_config_yaml(tmp_path):
    """A layer may be null, and at least one must not be; only a file that stands twice is left out."""

    def listed(*names: str | None) -> list[str | None]:
        entries = formats.listed({"transcoders": list(names)}, "config.yaml")
        return [entry and entry.path for entry in entries or ()]

    assert listed(None, "a.safetensors", None, None) == [None, "a.safetensors", None, None]
    assert listed("a.safetensors", "b.safetensors", "b.safetensors") == ["a.safetensors", "b.safetensors"]
    for wrong in ((), (None, None), (None, 3)):
        with pytest.raises(ModelError, match=r"transcoders in config\.yaml: expected a"):
            listed(*wrong)
    written = formats.config_yaml("x", [None, "a.safetensors", None])
    assert yaml.safe_load(written)["transcoders"] == [None, "a.safetensors", None]


def test_layers_in_use_must_be_there(tmp_path):
    """Without a list a missing file is an error as before; with null it is one only if it is asked for."""
    folder = write_transcoders(Path(tmp_path) / "t", 2)
    (folder / "layer_1.safetensors").unlink()
    with pytest.raises(ModelError, match="a file of layer 1"):
        Transcoders.open(folder)
    names = ["layer_0.safetensors", None, "layer_2.safetensors"]
    (folder / "config.yaml").write_text(yaml.safe_dump({"transcoders": names}))
    assert Transcoders.open(folder).layers == {0, 2}
    assert Transcoders.open(folder, layers=[2]).layers == {2}
    with pytest.raises(ModelError, match="a transcoder of layer 1"):
        Transcoders.open(folder, layers=[1, 2])
