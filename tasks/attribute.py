"""Phase `attribute`: the attribution graph of one text, outside any behaviour. Built only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from circuitstore.circuits.graph import attribute as attribute_tokens
from circuitstore.errors import UsageError
from circuitstore.models.load import tokenize
from circuitstore.texts import text_array
from tasks.parts.stored_graph import arguments, dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import xarray as xr
    from transformers import PreTrainedTokenizerBase

    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Attribution


def attribute(
    cells: list[Coords],
    config: Attribution,
    text: Mapping[str, Any],
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one graph with the variables that phase `attribution` describes; the encoders are read here.

    `text` is what the resource of this name gives: the prompt as `text` or as `tokens`, the token to
    `prepend`, the answers to explain as `targets`, and `against`, an answer whose logit is subtracted from
    that of the one target. Raises UsageError for an answer that is not one token.
    """
    tokens = list(text["tokens"]) or tokenize(model.tokenizer, text["text"], prepend=text["prepend"])
    targets = [_answer(model.tokenizer, "target", answer) for answer in text["targets"]]
    difference = (
        (targets[0], _answer(model.tokenizer, "against", text["against"])) if text["against"] else None
    )
    graph = attribute_tokens(
        model,
        transcoders,
        tokens,
        targets=targets if targets and not difference else None,
        difference=difference,
        margin=difference,
        **arguments(config),
    )
    token_text = text_array([str(model.tokenizer.decode([token])) for token in tokens])
    result = dataset(graph, model, token_text, config)
    for cell in cells:
        yield cell, result


def _answer(tokenizer: PreTrainedTokenizerBase, name: str, text: str) -> int:
    """The token id of an answer; `name` is the option that gave it, for the error."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        remedy = "mind the leading space" if not text.startswith(" ") else None
        raise UsageError(f"{name} {text!r}", expected="one token", got=f"{len(ids)} tokens", remedy=remedy)
    return int(ids[0])
