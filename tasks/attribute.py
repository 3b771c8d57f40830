"""Phase `attribute`: the attribution graph of one text, outside any behaviour. Built only when asked for."""

from __future__ import annotations

import numpy as np
import xarray as xr

from circuitstore.circuits.graph import attribute as attribute_tokens
from circuitstore.errors import UsageError
from circuitstore.models.load import tokenize
from tasks.attribution import dataset, settings


def attribute(cells, config, text, model, transcoders):
    """Yield one graph; its variables are those of phase `attribution`. All active features are found here.

    `text` is what the `text` resource gives: the prompt as text or token ids, and the answers to explain, if
    any, or the one whose difference to another is. Raises UsageError for an answer that is not one token.
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
        **settings(config),
    )
    token_text = np.array([model.tokenizer.decode([token]) for token in tokens], dtype=str)
    result: xr.Dataset = dataset(graph, model, token_text, config)
    for cell in cells:
        yield cell, result


def _answer(tokenizer, name: str, text: str) -> int:
    ids = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        remedy = "mind the leading space" if not text.startswith(" ") else None
        raise UsageError(f"{name} {text!r}", expected="one token", got=f"{len(ids)} tokens", remedy=remedy)
    return ids[0]
