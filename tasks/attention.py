"""Phase `attention`: why a head looks from one position of one text to another. Built only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from circuitstore.circuits.qk import KINDS, score
from circuitstore.texts import text_array
from tasks.parts.given_text import texts_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Attention


def attention(
    cells: list[Coords],
    config: Attention,
    text: Mapping[str, Any],
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset (`circuitstore.circuits.qk` has the formulas).

    input_tokens, token_text   (position,) int32 and text; the prepended token comes first
    query_position, key_position   int32
    score                      float32, nats: before softmax, and before a cap
    weight                     float32: of the attention pattern
    source_kind                (source,) text: "feature", "error", "embedding"; the last is "bias"
    source_layer, source_position, source_feature   (source,) int32, -1 where a source has none
    query_vector, key_vector   (source, head_dim) float32: the share of a pair is the product of two of these
    query_share, key_share     (source,) float32, nats: of all pairs with the source on that side
    pair_query, pair_key       (pair,) int32: sources, the largest absolute share first
    pair_share                 (pair,) float32, nats; over all pairs they sum to the score

    Raises UsageError for a head or a position that is not there.
    """
    tokens = tokens_of(model.tokenizer, text)
    query, key = (at + len(tokens) if at < 0 else at for at in (config.query, config.key))
    found = score(model, transcoders, tokens, config.layer, config.head, query, key)
    pair_query, pair_key, pair_share = found.pairs(config.most)
    nats = {"units": "nats"}
    result = xr.Dataset(
        {
            "input_tokens": ("position", np.array(tokens, dtype=np.int32)),
            "token_text": ("position", texts_of(model.tokenizer, tokens)),
            "query_position": ((), np.int32(query)),
            "key_position": ((), np.int32(key)),
            "score": ((), np.float32(found.score), nats),
            "weight": ((), np.float32(found.weight)),
            "source_kind": ("source", text_array([KINDS[kind] for kind in found.kind])),
            "source_layer": ("source", found.layer.astype(np.int32)),
            "source_position": ("source", found.position.astype(np.int32)),
            "source_feature": ("source", found.feature.astype(np.int32)),
            "query_vector": (("source", "head_dim"), found.query),
            "key_vector": (("source", "head_dim"), found.key),
            "query_share": ("source", found.query @ found.key.sum(0), nats),
            "key_share": ("source", found.key @ found.query.sum(0), nats),
            "pair_query": ("pair", pair_query.astype(np.int32)),
            "pair_key": ("pair", pair_key.astype(np.int32)),
            "pair_share": ("pair", pair_share, nats),
        }
    )
    for cell in cells:
        yield cell, result
