"""Through which heads an edge goes.

An edge of a graph is a sum over paths. Grouped by the last head that a path passes, they give a loading for
every head, and one for the paths through no head, which stay at their position. These sum to the edge. After
its last head a path goes only along the residual stream and through skip connections.

Source: *Tracing Attention Computation Through Feature Interactions* (Anthropic, 2025), "Head loadings". The
grouping by the last head is ours: it lets the loadings of paths through several heads sum to the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits.active import ActiveFeatures
from circuitstore.circuits.frozen_network import FrozenNetwork
from circuitstore.circuits.sources import NONE, Sources, sources_of
from circuitstore.errors import UsageError
from circuitstore.models.capture import capture
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders


@dataclass(frozen=True)
class Edge:
    """An edge to be split over heads, by its two nodes."""

    # what a source writes: (layer, position, feature), the feature being NONE for an error, the layer for an
    # embedding
    source: tuple[int, int, int]
    target: tuple[int, int, int] | None  # the feature that reads; None for a logit, read at the last position
    direction: Tensor | None = None  # (d_model,) what that logit reads of the final norm's output


@torch.no_grad()
def loadings(
    model: LanguageModel, transcoders: Transcoders, tokens: Sequence[int], edges: Sequence[Edge]
) -> tuple[Tensor, Tensor]:
    """Loadings of heads (edge, layer, head) float32, and of the paths through no head (edge,) float32.

    Both are in the unit of the edge, which is their sum. Raises UsageError for a node that this text has not.
    """
    transcoders.check_fits(model.n_layers, model.d_model)
    run = capture(model, tokens, patterns=True, last_only=True, hooks=transcoders.hooks)
    sources = sources_of(model, transcoders, run)
    network, parts = sources.network, model.parts
    entering = [_entering(sources, edge.source) for edge in edges]
    level, place, reads = _targets(sources, edges)
    of_heads = torch.zeros(len(edges), model.n_layers, parts.n_heads, device=model.device)
    direct = torch.zeros(len(edges), device=model.device)
    back = _through_skips(network, level, place, reads)
    stream = torch.zeros(len(edges), len(tokens), model.d_model, device=model.device)
    every = torch.arange(len(edges))
    for index in range(model.n_layers + 1):
        for number, (edge, by_layer) in enumerate(zip(edges, entering, strict=True)):
            if index in by_layer and index <= level[number]:
                stream[number, edge.source[1]] += by_layer[index]
                if edge.source[1] == place[number]:
                    direct[number] += by_layer[index] @ back[index][number]
        if index == model.n_layers:
            break
        layer = network.layer(index)
        values = (stream @ layer.value.T).unflatten(-1, (parts.n_kv_heads, -1))
        mixed = torch.einsum("hgqk,ckhd->cqhgd", layer.pattern, values).flatten(2, 3)
        outputs = layer.output.unflatten(1, (parts.n_heads, -1))  # (d_model, head, head_dim)
        read = torch.einsum("cm,mhd->chd", back[index], outputs)
        reaching = (level >= index).to(model.device)
        of_heads[:, index] = (mixed[every, place] * read).sum(-1) * reaching[:, None]
        stream = stream + mixed.flatten(2) @ layer.output.T
        if layer.skip is not None:
            stream = stream + (stream * layer.skip_scale[:, None]) @ layer.skip.T
    return of_heads, direct


def _entering(sources: Sources, node: tuple[int, int, int]) -> dict[int, Tensor]:
    """What a source lets enter, by the layer at whose input it does: (d_model,) each. Raises UsageError."""
    layer, position, feature = node
    network, active = sources.network, sources.active
    if not 0 <= position < network.n_positions or layer >= network.n_layers:
        raise UsageError("source of an edge", expected="a node of this text", got=node)
    if layer == NONE:
        return {0: network.run.residual[0, position].float()}
    at = torch.tensor([position])
    if feature == NONE:
        written = {layer: sources.errors[layer, position][None]}
        if position == 0:
            written = {}  # the output there is bias
    else:
        number = _number(active, node, "source of an edge")
        written = {to: sources.rows(number, to) for to in sources.transcoders.written_by(layer)}
    return {to + 1: network.entering(to, at, vector)[0] for to, vector in written.items()}


def _number(active: ActiveFeatures, node: tuple[int, int, int], what: str) -> NDArray[np.int64]:
    """The number of an active feature, (1,). Raises UsageError when it is not active."""
    layer, position, feature = node
    found = np.flatnonzero(
        (active.layer == layer) & (active.position == position) & (active.feature == feature)
    )
    if not len(found):
        raise UsageError(what, expected="a feature that is active in this text", got=node)
    return found


def _targets(sources: Sources, edges: Sequence[Edge]) -> tuple[Tensor, Tensor, Tensor]:
    """Layer (edge,) and position (edge,) at which each target reads, and what it reads (edge, d_model)."""
    network, transcoders = sources.network, sources.transcoders
    level, place, reads = [], [], []
    for edge in edges:
        if edge.target is None:
            assert edge.direction is not None
            level.append(network.n_layers)
            place.append(network.n_positions - 1)
            reads.append(network.logit_reads(edge.direction[None])[0])
            continue
        layer, position, feature = edge.target
        _number(sources.active, edge.target, "target of an edge")
        encoder = transcoders.layer(layer).encoder_rows([feature])
        level.append(layer)
        place.append(position)
        reads.append(network.feature_reads(layer, torch.tensor([position]), encoder)[0])
    return torch.tensor(level), torch.tensor(place), torch.stack(reads)


def _through_skips(network: FrozenNetwork, level: Tensor, place: Tensor, reads: Tensor) -> list[Tensor]:
    """What each target reads of what is added after the attention of a layer, and passes no head any more.

    Returns (edge, d_model) for each layer and for the final residual stream, whose "layer" is n_layers.
    """
    back = [torch.where((level == network.n_layers)[:, None].to(reads.device), reads, 0)]
    for index in range(network.n_layers - 1, -1, -1):
        layer, above = network.layer(index), back[0]
        if layer.skip is not None:
            above = above + (above @ layer.skip) * layer.skip_scale[place, None]
        back.insert(0, torch.where((level == index)[:, None].to(reads.device), reads, above))
    return back
