"""What `bench/attribution.py` measures of a graph and of the machine: time, work, agreement, rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.naive import Naive
from circuitstore.circuits import edges, graph, pruning
from circuitstore.transcoders import per_layer


def matmul_peak(d_model: int, width: int, rows: int = 2048, seconds: float = 1.0) -> float:
    """The best rate (FLOP a CPU second and thread) of the engine's own kind of product, right now."""
    a, b = torch.randn(rows, d_model), torch.randn(d_model, width)
    out, best, end = torch.empty(rows, b.shape[1]), 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.process_time()
        torch.mm(a, b, out=out)
        best = max(best, 2 * rows * b.numel() / (time.process_time() - started))
    return best


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of all threads, and the result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def disagreement(made: graph.Graph, slow: Naive) -> float:
    """The largest difference of two edges, as a share of the largest in its row."""
    largest = np.abs(slow.adjacency).max(axis=1, keepdims=True)
    return float((np.abs(made.adjacency_matrix - slow.adjacency) / np.where(largest > 0, largest, 1)).max())


def identity(made: graph.Graph) -> float:
    """The largest difference of a row's sum from its pre-activation, beside the row's largest entry."""
    rows = np.r_[0 : len(made.selected_features), -len(made.logit_token_ids) : 0]
    total = (
        made.adjacency_matrix[rows].sum(1, dtype=np.float64) + made.node_bias[rows] + made.node_omitted[rows]
    )
    return float(
        (np.abs(total - made.node_preactivation[rows]) / np.abs(made.adjacency_matrix[rows]).max(1)).max()
    )


def by_influence(made: graph.Graph) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of the graph in the order of the reference: logits, then features by falling influence."""
    n_features, n_nodes = len(made.selected_features), len(made.node_influence)
    logits = np.arange(n_nodes - len(made.logit_token_ids), n_nodes)
    return np.concatenate([logits, np.argsort(-made.node_influence[:n_features], kind="stable")])


def parts(
    work: Callable[[], Any], clock: Callable[[Callable[[], Any]], tuple[float, Any]] = timed
) -> dict[str, float]:
    """Seconds of the parts of a graph, by timing the functions that it calls; ``work`` makes the graph."""
    seconds: dict[str, float] = {}

    def watch(owner: Any, name: str, label: str) -> Callable[[], None]:
        original = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            spent, result = clock(lambda: original(*args, **kwargs))
            seconds[label] = seconds.get(label, 0) + spent
            return result

        setattr(owner, name, watched)
        return lambda: setattr(owner, name, original)

    undo = [
        watch(graph, "capture", "forward pass"),
        watch(graph, "find_features", "encoders"),
        watch(edges.Edges, "_split_outputs", "errors"),
        watch(per_layer.LayerTranscoder, "stored_rows", "rows from files, within the others"),
        watch(edges, "effects", "effects"),
        watch(edges.Edges, "shares", "bias and omitted shares"),
        watch(pruning, "prune", "pruning"),
        watch(pruning, "influence", "influence"),
        watch(pruning, "scores", "scores"),
    ]
    try:
        seconds["all"], _ = clock(work)
    finally:
        for restore in undo:
            restore()
    return seconds


def flops(work: Callable[[], Any]) -> float:
    """FLOP of all matrix products."""
    # The counter does not know the products that are added in place.
    in_place = {torch.ops.aten.addmm_: lambda added, a, b, **_: 2 * a[0] * a[1] * b[1]}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counted:
        work()
    return float(counted.get_total_flops())


def carried(made: graph.Graph, n_layers: int) -> tuple[int, int]:
    """Rows carried through one layer at one position: by the best single cut, and the fewest for any.

    At a layer and position, every source before it meets every target behind it. For each such pair, one of
    the two must have been carried there. The fewest rows that cover all pairs are the smaller of the two sets
    (vertex cover of a complete bipartite graph).
    """
    n_positions = len(made.input_tokens)
    layer, position, _ = made.active_features[made.selected_features].T
    targets, sources = np.zeros((2, n_layers + 1, n_positions))
    np.add.at(targets, (layer, position), 1)
    targets[n_layers, -1] += len(made.logit_token_ids)
    np.add.at(sources, (layer + 1, position), 1)
    sources[:, 1:] += 1  # errors, and at the input of layer 0 embeddings
    before = sources.cumsum(0).cumsum(1)[:n_layers, 1:]
    behind = targets[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1][:n_layers, 1:]
    single = min(before[:cut].sum() + behind[cut:].sum() for cut in range(n_layers + 1))
    return int(single), int(np.minimum(before, behind).sum())
