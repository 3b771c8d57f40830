"""Exports for other people's viewers: graphs for Neuronpedia, feature pages for circuit-tracer."""

from __future__ import annotations

import gzip
import json

import pytest
from workspace import BEHAVIOUR, PROFILE, one_line_error

import circuitstore as cs
from circuitstore.results.graph_file import read_file
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name
from tasks.exports import neuronpedia


@pytest.fixture
def run(built):
    """A command on the small store."""
    return lambda *words: built.command(*words, "--profile", built.profile, "--store", built.store)


def test_a_graph_for_neuronpedia(built, run, tmp_path):
    """The graph of `export graphs`, gzipped, with the settings it was made with, and how to upload it."""
    words = ("-b", BEHAVIOUR, "-p", "p0a", "--scan", "their-model")
    outcome = run("export", "neuronpedia", tmp_path / "np", *words)
    assert outcome.code == 0, outcome.err
    data = (tmp_path / "np" / "p0a.json.gz").read_bytes()
    file = json.loads(gzip.decompress(data))
    config = built.artifact("attribution").components.config
    assert file["metadata"]["scan"] == "their-model"
    assert file["metadata"]["pruning_settings"]["node_threshold"] == config["node_threshold"]
    assert file["metadata"]["generation_settings"]["max_feature_nodes"] == 60
    calls = [line for line in outcome.err.splitlines() if "curl" in line]
    assert len(calls) == 3 and f'"contentLength":{len(data)}' in calls[0] and "save-to-db" in calls[2]
    assert run("export", "graphs", tmp_path / "plain", *words).code == 0
    plain = json.loads((tmp_path / "plain" / "p0a.json").read_text())
    assert plain["nodes"] == file["nodes"] and plain["links"] == file["links"]
    assert "pruning_settings" not in plain["metadata"]
    (tmp_path / "unpacked.json").write_bytes(gzip.decompress(data))
    assert len(read_file(str(tmp_path / "unpacked.json")).nodes) == len(file["nodes"])
    again = run("export", "neuronpedia", tmp_path / "again", *words)
    assert again.code == 0 and (tmp_path / "again" / "p0a.json.gz").read_bytes() == data
    assert "--scan" in one_line_error(run("export", "figures", "-b", BEHAVIOUR, "--scan", "x"), code=2)


def test_more_tokens_than_neuronpedia_takes(built, monkeypatch):
    """Are refused with the prompt's name."""
    monkeypatch.setattr(neuronpedia, "MOST_TOKENS", 3)
    ref = Name(PROFILE, BEHAVIOUR, "attribution")
    with pytest.raises(neuronpedia.LimitError, match="prompt p0a: expected at most 3 tokens"):
        neuronpedia.files(Store(str(built.store)), ref, built.artifact("attribution"), (), ("p0a",))


def test_feature_pages_lie_where_the_index_says(built, run, tmp_path):
    """A viewer reads a page by its range of bytes: it holds the activations of the store."""
    assert run("export", "features", tmp_path / "f", "-b", BEHAVIOUR).code == 0
    index = json.loads(gzip.decompress((tmp_path / "f" / "index.json.gz").read_bytes()))
    where = {"behaviour": BEHAVIOUR, "store": built.store, "profile": PROFILE}
    units, features = cs.open("interpretation", **where), cs.open("features", **where)
    for row in (0, 7, units.sizes["unit"] - 1):
        layer, feature = int(units.layer[row]), int(units.feature[row])
        start, stop = index[layer]["offsets"][feature : feature + 2]
        page = json.loads(
            gzip.decompress((tmp_path / "f" / index[layer]["filename"]).read_bytes()[start:stop])
        )
        assert page["index"] == feature and page["act_max"] == pytest.approx(float(units.max_activation[row]))
        (quantile,) = page["examples_quantiles"]
        best = quantile["examples"][0]
        assert best["tokens_acts_list"][best["train_token_ind"]] == pytest.approx(page["act_max"])
        prompt = str(units.top_prompt[row, 0].values)
        dense = features.activation.sel(layer=layer, prompt=prompt, feature=feature).values
        known = [value for value in dense.tolist() if value == value]
        assert best["tokens_acts_list"][-len(known) + 1 :] == pytest.approx(known[1:])
        assert len(best["tokens"]) == len(best["tokens_acts_list"])
        assert len(page["top_logits"]) == units.sizes["token_rank"]
