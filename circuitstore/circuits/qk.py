"""Why a head looks where it does: the score of a head, split over pairs of sources.

The score of a head from a query position q to a key position k, before softmax (and before its
cap, where a model has one), is

    score = scaling · (R_q N_q W_Q x_q) · (R_k N_k W_K x_k)          x = gain · residual stream · scale

R are the rotations of rotary embeddings. N are the norms of queries and keys, if the model has them, with
denominators frozen like those of all norms. So the score is bilinear in the two residual streams, and each of
these is a sum over the sources of the frozen network (`frozen_network`): features, errors and embeddings of
layers below, and bias. Every source has a vector on the side of the query and one on the side of the key,
(head_dim,) each. The share of a pair of sources is the product of the one's query vector with the other's key
vector, and all pairs sum to the score exactly.

Source: *Tracing Attention Computation Through Feature Interactions* (Anthropic, 2025), "QK attributions".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits.effects import effects
from circuitstore.circuits.ends import Ends
from circuitstore.circuits.sources import NONE, Sources, sources_of
from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture, capture
from circuitstore.models.hooks import scale
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders

KINDS = ("feature", "error", "embedding", "bias")
ROWS = 1024  # sources whose pairs are looked through at once


@dataclass(frozen=True)
class Score:
    """The score of one head from one position to another, and the vectors of all sources on both sides."""

    score: float  # nats; before a cap
    weight: float  # of the attention pattern: the softmax of the capped scores
    kind: NDArray[np.int64]  # (source,) number in `KINDS`; the bias comes last
    layer: NDArray[np.int64]  # (source,)
    position: NDArray[np.int64]  # (source,)
    feature: NDArray[np.int64]  # (source,)
    query: NDArray[np.float32]  # (source, head_dim), with the factor of scores
    key: NDArray[np.float32]  # (source, head_dim)

    def pairs(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """The ``most`` pairs of largest absolute share: query source, key source, share, each (pair,).

        Pairs are looked through a block of rows at a time: there is no array of all of them.
        """
        count, key = len(self.kind), torch.from_numpy(self.key)
        best, where = torch.empty(0), torch.empty(0, dtype=torch.int64)
        for start in range(0, count, ROWS):
            block = (torch.from_numpy(self.query[start : start + ROWS]) @ key.T).flatten()
            largest = block.abs().topk(min(most, len(block))).indices
            best, where = torch.cat([best, block[largest]]), torch.cat([where, largest + start * count])
            kept = best.abs().argsort(descending=True, stable=True)[:most]
            best, where = best[kept], where[kept]
        found = where.numpy()
        return found // count, found % count, best.numpy()


@torch.no_grad()
def score(
    model: LanguageModel,
    transcoders: Transcoders,
    tokens: Sequence[int],
    layer: int,
    head: int,
    query: int,
    key: int,
) -> Score:
    """Split the score of a head of a layer, from position ``query`` to position ``key``, over sources.

    ``tokens`` (position,) begin with the prepended token, which is position 0. Raises UsageError for a head
    or a position that is not there and for a key after the query, and what `capture` raises.
    """
    _check(model, tokens, layer, head, query, key)
    transcoders.check_fits(model.n_layers, model.d_model)
    turned: list[Any] = []
    handle = model.parts.layers[layer].attention.register_forward_pre_hook(
        lambda _, args, named: turned.append(named["position_embeddings"]), with_kwargs=True
    )
    try:
        run = capture(model, tokens, patterns=True, last_only=True, hooks=transcoders.hooks)
    finally:
        handle.remove()
    assert run.patterns is not None
    sources = sources_of(model, transcoders, run, layer)
    rotation = [part[0].float() for part in turned[0]]
    factor = float(model.parts.layers[layer].attention.scaling)  # type: ignore[arg-type]
    sides = []
    for side, position in (("query", query), ("key", key)):
        reads, constant = _reads(model, run, layer, head, side, position, rotation)
        parts = _parts(sources, reads, position)
        parts[-1] += constant
        whole = reads @ run.residual[layer, position].float() + constant
        sides.append((parts, whole))
    (of_query, whole_query), (of_key, whole_key) = sides
    active = sources.active
    grid, positions = (column.flatten() for column in np.indices((layer + 1, len(tokens))))
    n_active, n_errors = len(active.layer), layer * len(tokens)
    kinds = np.repeat(np.arange(4), [n_active, n_errors, len(tokens), 1])
    reaching = np.concatenate([active.position, positions, [NONE]]) <= query
    none = np.full(len(tokens) + n_errors + 1, NONE)

    def kept(*columns: Any) -> NDArray[Any]:
        return np.concatenate(columns)[reaching]

    return Score(
        score=float(whole_query @ whole_key) * factor,
        weight=float(run.patterns[layer, head, query, key]),
        kind=kinds[reaching],
        layer=kept(active.layer, np.where(grid < layer, grid, NONE), [NONE]),
        position=kept(active.position, positions, [NONE]),
        feature=kept(active.feature, none),
        query=(of_query * factor).cpu().numpy()[reaching],
        key=of_key.cpu().numpy()[reaching],
    )


def _check(model: LanguageModel, tokens: Sequence[int], layer: int, head: int, query: int, key: int) -> None:
    for what, value, most in (
        ("layer", layer, model.n_layers),
        ("head", head, model.parts.n_heads),
        ("query position", query, len(tokens)),
    ):
        if not 0 <= value < most:
            raise UsageError(what, expected=f"0 to {most - 1}", got=value)
    if not 0 <= key <= query:
        raise UsageError("key position", expected=f"0 to {query}, the query's", got=key)


def _reads(
    model: LanguageModel,
    run: Capture,
    layer: int,
    head: int,
    side: str,
    position: int,
    rotation: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """What a head's query or key is of the residual stream: (head_dim, d_model), and constant (head_dim,)."""
    parts, module = model.parts, model.parts.layers[layer]
    linear, norm = getattr(module, side), getattr(module, f"{side}_norm")
    own = head if side == "query" else head // (parts.n_heads // parts.n_kv_heads)
    rows = slice(own * parts.head_dim, (own + 1) * parts.head_dim)
    weight = linear.weight[rows].float() * parts.gain(module.attention_norm)
    weight = weight * run.attention_scale[layer, position]
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias[rows].float()
    if norm is not None:
        raw = weight @ run.residual[layer, position].float() + bias
        factor = parts.gain(norm) * scale(raw, parts.norm_epsilon)
        weight, bias = weight * factor[:, None], bias * factor
    cosine, sine = (part[position] for part in rotation)
    return _rotated(weight, cosine[:, None], sine[:, None]), _rotated(bias, cosine, sine)


def _rotated(rows: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary embedding along the first axis (head_dim, …), as transformers pairs dimensions."""
    first, second = rows.chunk(2)
    return rows * cosine + torch.cat([-second, first]) * sine


def _parts(sources: Sources, reads: Tensor, position: int) -> Tensor:
    """What ``reads`` (head_dim, d_model) at a position are made of: (source, head_dim), the bias last."""
    network, n_active = sources.network, len(sources.active.layer)
    n_inputs = (network.n_layers + 1) * network.n_positions
    out = torch.zeros(len(reads), n_active + n_inputs + 1, device=network.device)
    if position > 0:
        ends = Ends(
            index=torch.arange(len(reads)),
            layer=torch.full((len(reads),), network.n_layers),
            position=torch.full((len(reads),), position),
            vectors=lambda entries: reads[entries.to(reads.device)],
        )
        effects(network, ends, sources.ends(np.arange(n_active)), out)
    *_, stream = network.carry(sources.constants, biased=True)
    bias, first_embedding = stream[:, position] @ reads.T
    out[:, -1] += bias
    out[:, n_active + network.n_layers * network.n_positions] += first_embedding
    return out.T.contiguous()
