"""Phase `attribute`: the attribution graph of one text, outside any behaviour. Built only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from circuitstore.circuits.graph import attribute as attribute_tokens
from circuitstore.texts import text_array
from tasks.parts.aims import aim_name, aim_of
from tasks.parts.answers import answer_id
from tasks.parts.given_text import plain, roles_of, texts_of, tokens_of
from tasks.parts.stored_graph import arguments, dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import xarray as xr

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

    `text` is what the resource of this name gives: the prompt as `text`, as `tokens` or as `turns` of a
    conversation, the token to `prepend`, the answers to explain as `targets`, and `against`, an answer whose
    logit is subtracted from that of the one target. Of a conversation, `token_role` (position,) text is who
    says each token, "" for those of the template. Raises UsageError for an answer that is not one token.

    In the place of answers, `feature`, `direction` or `weights` is explained. Then there is one logit, whose
    id is -1 and whose text says what it is. Of a feature there are also target_layer, target_position (from
    0 on) and target_feature, int32.
    """
    tokens = tokens_of(model.tokenizer, text)
    asked = plain(model.tokenizer, text)
    targets = [answer_id(model.tokenizer, asked, "--target", answer) for answer in text["targets"]]
    difference = None
    if text["against"]:
        difference = targets[0], answer_id(model.tokenizer, asked, "--against", text["against"])
    graph = attribute_tokens(
        model,
        transcoders,
        tokens,
        targets=targets if targets and not difference else None,
        difference=difference,
        aim=aim_of(model.tokenizer, text),
        margin=difference,
        **arguments(config),
    )
    result = dataset(graph, model, texts_of(model.tokenizer, tokens), config, aim_name(text))
    if (roles := roles_of(model.tokenizer, text, len(tokens))) is not None:
        result["token_role"] = ("position", text_array(roles))
    for cell in cells:
        yield cell, result
