"""Phase `heads`: through which heads edges of one text's graph go. Built only when asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from circuitstore.circuits.heads import Edge, loadings
from circuitstore.circuits.sources import NONE
from circuitstore.circuits.targets import check_targets, direction
from circuitstore.errors import UsageError
from circuitstore.texts import text_array
from tasks.parts.given_text import texts_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Heads

FEATURE = r"feature/(\d{1,9})/(\d{1,9})/(\d{1,9})"
SOURCE = rf"(?:{FEATURE}|error/(\d{{1,9}})/(\d{{1,9}})|embedding/(\d{{1,9}}))"
TARGET = rf"(?:{FEATURE}|logit/(\d{{1,9}})(?:/(\d{{1,9}}))?)"


def heads(
    cells: list[Coords],
    config: Heads,
    text: Mapping[str, Any],
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset (`circuitstore.circuits.heads` has the formulas).

    input_tokens, token_text   (position,) int32 and text; the prepended token comes first
    edge_name      (edge,) text: SOURCE>TARGET, as asked
    loading        (edge, layer, head) float32: of the paths whose last head is this one
    direct         (edge,) float32: of the paths through no head
    weight         (edge,) float32: the edge, which is the sum of both

    All are in the unit of the target's pre-activation. Raises UsageError for what is no edge of this text.
    """
    tokens = tokens_of(model.tokenizer, text)
    if not config.edges:
        raise UsageError("heads.edges", expected="at least one SOURCE>TARGET", got="none")
    edges = [_edge(word, model) for word in config.edges]
    of_heads, direct = (part.cpu().numpy() for part in loadings(model, transcoders, tokens, edges))
    result = xr.Dataset(
        {
            "input_tokens": ("position", np.array(tokens, dtype=np.int32)),
            "token_text": ("position", texts_of(model.tokenizer, tokens)),
            "edge_name": ("edge", text_array(list(config.edges))),
            "loading": (("edge", "layer", "head"), of_heads),
            "direct": ("edge", direct),
            "weight": ("edge", of_heads.sum((1, 2), dtype=np.float64).astype(np.float32) + direct),
        }
    )
    for cell in cells:
        yield cell, result


def _edge(word: str, model: LanguageModel) -> Edge:
    """The edge that a word names. Raises UsageError."""
    found = re.fullmatch(rf"{SOURCE}>{TARGET}", word)
    if found is None:
        expected = "SOURCE>TARGET, for example feature/2/3/406>logit/17"
        raise UsageError("heads.edges", expected=expected, got=word)
    numbers = [None if text is None else int(text) for text in found.groups()]
    source, (error_layer, error_position), embedding = _place(numbers[:3]), numbers[3:5], numbers[5]
    if source is None and embedding is not None:
        source = (NONE, embedding, NONE)
    elif source is None:
        assert error_layer is not None and error_position is not None
        source = (error_layer, error_position, NONE)
    if (target := _place(numbers[6:9])) is not None:
        return Edge(source, target)
    token, against = numbers[9:]
    assert token is not None
    if against is None:
        check_targets(model, [token], None, None)
        return Edge(source, None, model.parts.unembedding[token].float() - model.parts.mean_unembedding)
    check_targets(model, None, (token, against), None)
    return Edge(source, None, direction(model, (token, against)))


def _place(numbers: list[int | None]) -> tuple[int, int, int] | None:
    layer, position, feature = numbers
    if layer is None or position is None or feature is None:
        return None
    return layer, position, feature
