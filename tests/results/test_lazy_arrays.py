"""`circuitstore.open`: lazy, labelled results of every phase, checked against the phases' own mathematics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import circuitstore as cs
from circuitstore.command import main
from circuitstore.errors import LimitError, MissingError, UsageError
from circuitstore.results import arrays, graphs
from circuitstore.results.datasets import open_artifacts
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import write_object

CONFORMANCE = Path(__file__).parents[1] / "conformance"
TEXTS = (
    "the keys to the cabinet",
    "the dog on the mat",
    "one two three",
    "big opposite small cat",
    "dog cat sat",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, str]:
    """Two behaviours of the reference model, built through attribution; prompts differ in length."""
    folder = tmp_path_factory.mktemp("query")
    profile = folder / "small.toml"
    profile.write_text(
        f'[model]\npath = "{CONFORMANCE}/model"\n[transcoders]\npath = "{CONFORMANCE}/relu"\n'
        "[activations]\npositions = 0\n[baseline]\ngate = 0.0\n"
    )
    where = {"store": str(folder / "store"), "profile": str(profile)}
    for name, texts in (("first", TEXTS), ("second", TEXTS[:3])):
        rows = [
            {"id": f"{name}-{i}", "text": text, "correct": " are", "incorrect": " is"}
            for i, text in enumerate(texts)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        options = [
            "--prompts",
            str(folder / f"{name}.jsonl"),
            "--store",
            where["store"],
            "--profile",
            where["profile"],
        ]
        assert main(["build", "attribution", *options]) == 0
    return where


def test_every_phase_opens_with_its_dims(built):
    """Cell axes come first, then the phase's own dims, under the names of the field."""
    dims = {
        phase: set(cs.open(phase, behaviour="first", **built).sizes)
        for phase in ("prompts", "baseline", "activations", "features")
    }
    assert dims["prompts"] == {"prompt", "position"}
    assert dims["baseline"] == {"prompt", "top"}
    assert dims["activations"] == {"prompt", "layer", "position", "d_model"}
    assert dims["features"] == {"layer", "prompt", "position", "feature", "d_model"}


def test_shorter_prompts_are_aligned_at_the_end(built):
    """Position -1 is every prompt's last token; what is missing in front is NaN, -1 or empty, never zero."""
    prompts = cs.open("prompts", behaviour="first", **built)
    assert prompts.position.values.tolist() == [-6, -5, -4, -3, -2, -1]
    assert prompts.token_text.sel(position=-1).values.tolist() == [text.split()[-1] for text in TEXTS]
    assert prompts.token_text.sel(prompt="first-2").values.tolist() == [
        "",
        "",
        "<|endoftext|>",
        "one",
        "two",
        "three",
    ]
    assert prompts.tokens.sel(prompt="first-2").values[:2].tolist() == [-1, -1]
    residual = (
        cs.open("activations", behaviour="first", **built).residual.sel(prompt="first-2", layer=1).values
    )
    assert np.isnan(residual[:2]).all() and not np.isnan(residual[2:]).any()


def test_opening_reads_no_array(built, monkeypatch):
    """Numbers are read when they are indexed, and only those of the cells that are asked for."""
    read = []
    for how in ("part", "whole"):
        original = getattr(arrays.ObjectReader, how)
        monkeypatch.setattr(
            arrays.ObjectReader,
            how,
            lambda self, name, *row, original=original: read.append(name) or original(self, name, *row),
        )
    opened = cs.open("activations", behaviour="first", **built)
    assert not {"residual", "mlp_input", "mlp_output"}.intersection(read)
    opened.mlp_input.sel(layer=2, prompt="first-1").load()
    assert {"residual", "mlp_input", "mlp_output"}.intersection(read) == {"mlp_input"}


def test_sparse_features_slice_like_an_ordinary_array(built):
    """Any selection of the lazy sparse array equals the same selection of the dense one, and the table of
    entries.
    """
    lazy = cs.open("features", behaviour="first", **built).activation
    dense = lazy.load().copy(deep=True)
    fresh = cs.open("features", behaviour="first", **built).activation
    for selection in (
        {"layer": 2},
        {"layer": [0, 3], "feature": [3, 150, 149]},
        {"prompt": "first-3", "position": -1},
        {"position": slice(-3, -1), "feature": slice(10, 60, 7)},
        {"layer": 1, "prompt": ["first-4", "first-0"], "feature": 17},
    ):
        xr.testing.assert_identical(fresh.sel(selection).load(), dense.sel(selection))
    entries = cs.open("features", behaviour="first", sparse=True, **built)
    index = [
        dense.indexes["layer"].get_indexer(entries.layer),
        dense.indexes["prompt"].get_indexer(entries.prompt),
    ]
    index += [dense.indexes["position"].get_indexer(entries.position), entries.feature.values]
    assert np.array_equal(dense.values[tuple(index)], entries.activation.values)
    assert np.count_nonzero(np.nan_to_num(dense.values)) == np.count_nonzero(entries.activation)


def test_too_large_a_dense_selection_is_refused_with_a_remedy(built, monkeypatch):
    """More than the stated limit raises before anything is allocated, and says how to ask for the entries."""
    monkeypatch.setattr(arrays, "DENSE_LIMIT", 10_000)
    features = cs.open("features", behaviour="first", **built).activation
    with pytest.raises(LimitError, match="sparse=True"):
        features.load()
    assert features.sel(layer=0, feature=[1, 2]).load().sizes["feature"] == 2


def test_graphs_open_as_a_tree_with_a_node_a_prompt(built):
    """Each node is one attribution graph, whose rows sum to their pre-activations."""
    tree = cs.open("attribution", behaviour="first", **built)
    assert list(tree.children) == [f"first-{i}" for i in range(5)]
    graph = tree["first-0"].to_dataset()
    sums = np.zeros(graph.sizes["node"])
    np.add.at(sums, graph.edge_target.values, graph.edge_weight.values.astype(float))
    rows = graph.sizes["feature_node"]
    total = (sums + graph.node_bias.values + graph.node_omitted.values)[:rows]
    assert (
        np.abs(total - graph.node_preactivation.values[:rows]).max()
        < 1e-4 * np.abs(graph.node_preactivation.values).max()
    )


def test_without_a_behaviour_all_are_stacked(built):
    """A `behaviour` dim in front; prompts are counted, named by prompt_id, and padded where a behaviour has
    fewer.
    """
    baseline = cs.open("baseline", **built)
    assert baseline.logit_difference.dims == ("behaviour", "prompt")
    assert baseline.sizes["prompt"] == 5 and baseline.behaviour.values.tolist() == ["first", "second"]
    assert baseline.prompt_id.sel(behaviour="second").values.tolist() == [
        "second-0",
        "second-1",
        "second-2",
        "",
        "",
    ]
    second = cs.open("baseline", behaviour="second", **built).logit_difference.values
    assert np.array_equal(baseline.logit_difference.sel(behaviour="second").values[:3], second)
    assert np.isnan(baseline.logit_difference.sel(behaviour="second").values[3:]).all()


def test_opening_what_is_not_built_says_what_is(built):
    """The error names what there is and the command that would build it."""
    with pytest.raises(MissingError, match="circuitstore build baseline --behaviour capital"):
        cs.open("baseline", behaviour="capital", **built)
    with pytest.raises(UsageError, match=r"unknown behaviour 'third': expected one of .*first, second"):
        cs.open("baseline", behaviour="third", **built)
    with pytest.raises(UsageError, match="a phase with a sparse variable"):
        cs.open("baseline", behaviour="first", sparse=True, **built)


def test_bfloat16_comes_back_as_float32_exactly(tmp_path):
    """Kept as its 16 bits with `encoding: bfloat16`; reading widens it without rounding."""
    import torch

    from circuitstore.models.bits import storable
    from circuitstore.storage.artifact import Cell, listed

    values = torch.randn(3, 4).to(torch.bfloat16)
    store = Store(tmp_path / "store").create()
    manifest = write_object(
        store, [({"prompt": "a"}, xr.Dataset({"x": storable(values, ("position", "d_model"))}))]
    )
    artifact = listed("p", "b", ["prompt"], [Cell({"prompt": "a"}, manifest.cells[0], manifest.object, 0)])
    opened = open_artifacts(store, {"b": artifact})
    assert opened.x.dtype == np.float32
    assert np.array_equal(opened.x.values[0], values.float().numpy())


def test_graph_gives_networkx_with_named_nodes(built):
    """`circuitstore.graph` has the kept nodes and edges, with weights and what each node is."""
    graph = cs.graph("first-0", behaviour="first", **built)
    kinds = {data["kind"] for _, data in graph.nodes(data=True)}
    assert kinds == {"feature", "error", "embedding", "logit"} and all(
        "weight" in data for *_, data in graph.edges(data=True)
    )
    whole = cs.graph("first-0", behaviour="first", pruned=False, **built)
    assert graph.number_of_nodes() < whole.number_of_nodes()
    with pytest.raises(UsageError, match="first-0"):
        cs.graph("nobody", behaviour="first", **built)


def test_a_graph_alone_is_the_node_of_the_tree(built):
    """Values, dims and attributes; it is opened without the others."""
    tree = cs.open("attribution", behaviour="first", **built)
    assert len(tree.children) > 1
    for prompt, node in tree.children.items():
        alone = graphs.dataset(prompt, behaviour="first", **built)
        assert alone.load().identical(node.to_dataset().load())


def test_attribute_answers_any_text_and_remembers(built, monkeypatch):
    """The graph of one text equals the reference case's, and asking again loads no model."""
    from safetensors.numpy import load_file

    expected = load_file(CONFORMANCE / "relu" / "expected.safetensors")
    asked = {
        "model": CONFORMANCE / "model",
        "transcoders": CONFORMANCE / "relu",
        "max_logits": 5,
        "full": True,
        "store": built["store"],
    }
    graph = cs.attribute(expected["input_tokens"].tolist(), **asked)
    scale = np.abs(expected["adjacency_matrix"]).max(1, keepdims=True).clip(1e-9)
    assert (np.abs(graph.adjacency_matrix.values - expected["adjacency_matrix"]) / scale).max() < 1e-5
    assert np.array_equal(graph.prune_edge_matrix.values, expected["prune_edge_mask"])
    from circuitstore.engine import work

    monkeypatch.setattr(work, "_load", None)
    again = cs.attribute(expected["input_tokens"].tolist(), **asked)
    assert np.array_equal(again.adjacency_matrix.values, graph.adjacency_matrix.values)


def test_a_graph_of_too_many_edges_keeps_the_strongest_and_says_what_it_left(built, tmp_path):
    """Rows still add up with what is not stored; every edge on request."""
    asked = {"model": built["profile"], "store": tmp_path / "store"}
    everything = cs.attribute(TEXTS[0], **asked)
    few = cs.attribute(TEXTS[0], **asked, settings=["attribution.max_edges=50"])
    assert float(everything.kept_weight) == 1 and not everything.node_unstored.values.any()
    assert 50 <= few.sizes["edge"] < everything.sizes["edge"] and 0.1 < float(few.kept_weight) < 1
    assert int(few.prune_edge_mask.sum()) == int(
        everything.prune_edge_mask.sum()
    )  # what pruning keeps is always there
    sums = few.node_unstored.values + np.bincount(
        few.edge_target.values, few.edge_weight.values, few.sizes["node"]
    )
    expected = np.bincount(
        everything.edge_target.values, everything.edge_weight.values, everything.sizes["node"]
    )
    np.testing.assert_allclose(sums, expected, atol=1e-4 * np.abs(expected).max())
    full = cs.attribute(TEXTS[0], **asked, settings=["attribution.max_edges=50"], full=True)
    assert np.count_nonzero(full.adjacency_matrix) == everything.sizes["edge"]


def test_attribute_explains_given_answers(built, tmp_path):
    """One answer, several, or one less another; anything else is refused."""
    asked, text = {"model": built["profile"], "store": tmp_path / "store"}, TEXTS[0]
    both = cs.attribute(text, **asked, target=[" is", " are"])
    assert [str(answer).strip() for answer in both.logit_text.values] == [
        "is",
        "are",
    ] and "direct_attribution" not in both
    assert (
        cs.attribute(text, **asked, target=" are").logit_token_ids.values.tolist()
        == both.logit_token_ids.values[1:].tolist()
    )
    difference = cs.attribute(text, **asked, target=" are", against=" is")
    assert difference.logit_probabilities.values.tolist() == [1] and "direct_attribution" in difference
    with pytest.raises(UsageError, match="--against"):
        cs.attribute(text, **asked, target=[" is", " are"], against=" was")
    with pytest.raises(UsageError, match=r"attribution.targets=difference.*--target and --against"):
        cs.attribute(text, **asked, settings=["attribution.targets=difference"])
