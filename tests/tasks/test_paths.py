"""Paths through graphs: their length, and the scores of a whole graph and of the part that pruning keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

import numpy as np
import pytest
import torch
import xarray as xr

from circuitstore.circuits import pruning
from tasks.drawing import comparison, report
from tasks.drawing.paths import numbers
from tasks.drawing.tables_graphs import Graphs


def known(edges: dict[tuple[int, int], float]) -> xr.Dataset:
    """Nodes 0, 1 are features, 2 is an error, 3 an embedding, 4 the logit; (source, target) → weight."""
    source, target = zip(*edges, strict=True)
    return xr.Dataset(
        {
            "edge_target": ("edge", list(target)),
            "edge_source": ("edge", list(source)),
            "edge_weight": ("edge", list(edges.values())),
            "logit_weights": ("logit", [1.0]),
            "selected_features": ("feature_node", [0, 1]),
            "token_text": ("position", ["a"]),
            "node_influence": ("node", np.zeros(5)),
        }
    )


def every(graph: xr.Dataset) -> np.ndarray:
    return np.ones(graph.sizes["edge"], dtype=bool)


def test_numbers_of_a_known_graph():
    """An embedding reaches the logit half directly and half through a feature: 1.5 edges on average."""
    graph = known({(3, 0): 2.0, (0, 4): -1.0, (3, 4): 1.0})
    assert astuple(numbers(graph, every(graph))) == pytest.approx((1.0, 1.0, 1.5))


def test_what_is_hidden_counts_as_error():
    """The logit takes half from feature 0, a quarter from feature 1 and a quarter from the error."""
    graph = known({(3, 0): 1.0, (3, 1): 1.0, (0, 4): 2.0, (1, 4): -1.0, (2, 4): 1.0})
    whole = numbers(graph, every(graph))
    assert whole.replacement == pytest.approx(0.75)
    assert whole.completeness == pytest.approx(1 - 0.25 / 2.75)  # 1 + 0.5 + 0.25 + 0.25 + 0.75 in all
    part = numbers(graph, np.array([True, False, True, False, True]))
    assert part.replacement == pytest.approx(0.5)
    assert part.completeness == pytest.approx(1 - 0.5 / 2.5)  # the logit, feature 0, error, hidden, embedding
    assert part.path_length == 2


def test_a_part_without_paths_has_no_length():
    """Nothing is shown: all is error, and no path has a length."""
    graph = known({(3, 0): 1.0, (0, 4): 1.0})
    nothing = numbers(graph, ~every(graph))
    assert (nothing.replacement, nothing.completeness) == (0, pytest.approx(0.5))
    assert np.isnan(nothing.path_length)


@pytest.mark.parametrize("part", ["whole", "pruned"])
def test_scores_are_those_of_a_graph_with_an_error_for_what_is_hidden(upstream, part):
    """The whole graph has its stored scores; the pruned one those of the library with one more error node."""
    for _, graph in upstream["attribution"].each({}):
        shown = graph.prune_edge_mask.values if part == "pruned" else every(graph)
        found = numbers(graph, shown)
        if part == "whole":
            assert float(graph.kept_weight) == 1
            stored = float(graph.completeness_score), float(graph.replacement_score)
        else:
            assert shown.sum() < len(shown)
            stored = with_hidden_error(graph, shown)
        assert (found.completeness, found.replacement) == pytest.approx(stored, rel=1e-5)


def test_edges_by_gradients_have_no_paths(upstream):
    """Each holds all paths between its nodes, so neither their length nor a part's scores are known."""
    coords, graph = next(iter(upstream["attribution"].each({})))

    class One:
        def each(self, _: object) -> Iterator[tuple[object, xr.Dataset]]:
            yield coords, graph.assign(identity_error=np.float64("nan"))

    table = Graphs.of(One(), [])
    assert np.isnan(table.path_length).all() and np.isnan(table.pruned["completeness"]).all()
    assert comparison.both(table.completeness, table.pruned["completeness"], ".3f").startswith("whole: ")
    assert comparison.both(table.path_length, table.pruned["path_length"], ".2f") == "not measured"
    assert "nan" not in report.graphs(table)[0]


def with_hidden_error(graph: xr.Dataset, shown: np.ndarray) -> tuple[float, float]:
    """Completeness and replacement by `circuitstore.circuits.pruning`, what is hidden sent by a new error."""
    count, n_logits, n_features = (graph.sizes[name] for name in ("node", "logit", "feature_node"))
    n_tokens = graph.sizes["position"]
    kept = np.zeros((count, count))
    target, source = graph.edge_target.values, graph.edge_source.values
    weight = np.abs(graph.edge_weight.values.astype(np.float64))
    kept[target[shown], source[shown]] = weight[shown]
    hidden = np.bincount(target[~shown], weight[~shown], minlength=count)
    place = n_features  # among the errors
    matrix = np.insert(np.insert(kept, place, hidden, axis=1), place, 0, axis=0)
    weights = np.zeros(count + 1)
    weights[count + 1 - n_logits :] = graph.logit_weights.values
    shares = matrix / np.where(matrix.sum(1) > 0, matrix.sum(1), 1)[:, None]
    through = np.linalg.inv(np.eye(count + 1) - shares)
    flow = weights @ through - weights
    # Nodes that pruning dropped pass nothing on, for nothing shown leads to them.
    kinds = (n_features, count + 1 - n_features - n_tokens - n_logits, n_tokens, n_logits)
    replacement, completeness = pruning.scores(torch.from_numpy(matrix), weights, flow, kinds)
    return completeness, replacement
