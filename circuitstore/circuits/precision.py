"""What half precision does to the edges of an attribution graph.

Edges are computed in float32 whatever the model's dtype. What is rounded is the forward pass that they are
read from: residual streams, attention patterns, activations. So one text is attributed twice, with the model
in bfloat16 and in float32, and each edge of the one is divided by the same edge of the other. Small edges
suffer most. Their size is taken as a share of the largest edge into the same target.

A checkpoint in bfloat16 has the same weights in both models. One in float32 is rounded for the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from circuitstore.circuits.graph import Graph, attribute
from circuitstore.models.families import take_apart
from circuitstore.models.load import DTYPES, LanguageModel
from circuitstore.transcoders.per_layer import Transcoders

Values = NDArray[np.float64]


@dataclass(frozen=True)
class EdgeRatios:
    """The edges that two graphs of one text have in common."""

    size: Values  # (edge,) in float32, as a share of the largest edge into its target
    ratio: Values  # (edge,) the edge in bfloat16 as a multiple of that in float32
    shared: float  # share of the feature nodes of either graph that are nodes of both


def edge_ratios(
    model: LanguageModel, transcoders: Transcoders, prompts: Sequence[Sequence[int]], most: int
) -> Iterator[EdgeRatios]:
    """Edges in bfloat16 beside those in float32, of each prompt: token ids, the prepended token first.

    A graph has ``most`` feature nodes. Edges that are 0 in float32 are left out: no path leads there. Raises
    what `circuitstore.circuits.graph.attribute` raises.
    """
    half, full = (in_dtype(model, dtype) for dtype in ("bfloat16", "float32"))
    for tokens in prompts:
        exact = attribute(full, transcoders, tokens, max_feature_nodes=most)
        explained = exact.logit_token_ids.tolist()
        yield compared(exact, attribute(half, transcoders, tokens, targets=explained, max_feature_nodes=most))


def compared(exact: Graph, rounded: Graph) -> EdgeRatios:
    """The edges of two graphs with the same logits, as features have them in common."""
    names = [
        {tuple(row): at for at, row in enumerate(graph.active_features[graph.selected_features].tolist())}
        for graph in (exact, rounded)
    ]
    both = sorted(names[0].keys() & names[1].keys())
    matrices = []
    for graph, of in zip((exact, rounded), names, strict=True):
        nodes = [of[name] for name in both] + list(range(len(of), len(graph.node_bias)))
        rows = nodes[: len(both)] + list(range(len(of), len(graph.target_nodes)))
        matrices.append(graph.edge_rows[np.ix_(rows, nodes)].astype(np.float64))
    largest = np.abs(matrices[0]).max(axis=1, keepdims=True)
    there = matrices[0] != 0
    return EdgeRatios(
        size=(np.abs(matrices[0]) / np.where(largest == 0, 1, largest))[there],
        ratio=matrices[1][there] / matrices[0][there],
        shared=len(both) / max(len(names[0].keys() | names[1].keys()), 1),
    )


def in_dtype(model: LanguageModel, dtype: str) -> LanguageModel:
    """The model with its weights in another dtype; the same one if that is the one it has.

    What is not a weight, the frequencies of rotary embeddings, stays as it is, as in loading.
    """
    if model.dtype == DTYPES[dtype]:
        return model
    other = deepcopy(model.hf)
    for parameter in other.parameters():
        parameter.data = parameter.data.to(DTYPES[dtype])
    return replace(model, hf=other, parts=take_apart(other), dtype=DTYPES[dtype])
