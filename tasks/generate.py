"""Phase `generate`: one text continued token by token, as it is and with edits held. Built when asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from circuitstore.circuits.generate import generate as continued
from circuitstore.texts import text_array
from tasks.parts.edits_of_text import acting
from tasks.parts.given_text import texts_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Generate

RUNS = ("before", "after")


def generate(
    cells: list[Coords],
    config: Generate,
    text: Mapping[str, Any],
    edits: Mapping[str, Any],
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset, of the text continued without edits and with them (dim `run`: "before", "after").

        input_tokens, token_text         (position,) int32 and text; the prepended token comes first
        new_token, new_text              (run, step) int32 and text; -1 and "" after the end of the sequence
        new_probability                  (run, step) float32: of the token that was chosen; NaN after the end
        continuation                     (run,) text: the new tokens as the tokenizer writes them together

    Both runs are sampled with the same draws. Raises UsageError for edits outside the text or the model.
    """
    tokens = tokens_of(model.tokenizer, text)
    draws = np.random.default_rng(config.seed).random(config.tokens).tolist()
    shape = (len(RUNS), config.tokens)
    new, probability = np.full(shape, -1, dtype=np.int32), np.full(shape, np.nan, dtype=np.float32)
    words, whole = [], []
    for row, wanted in enumerate(([], edits["edits"])):
        run = continued(
            model,
            transcoders,
            tokens,
            partial(acting, wanted, len(tokens)),
            draws,
            temperature=config.temperature,
        )
        count = len(run.tokens)
        new[row, :count], probability[row, :count] = run.tokens, run.probability
        words.append(texts_of(model.tokenizer, run.tokens.tolist()).tolist())
        whole.append(str(model.tokenizer.decode(run.tokens.tolist())))
    padded = [row + [""] * (config.tokens - len(row)) for row in words]
    result = xr.Dataset(
        {
            "run": ("run", text_array(list(RUNS))),
            "input_tokens": ("position", np.array(tokens, dtype=np.int32)),
            "token_text": ("position", texts_of(model.tokenizer, tokens)),
            "new_token": (("run", "step"), new),
            "new_text": (("run", "step"), text_array(padded)),
            "new_probability": (("run", "step"), probability),
            "continuation": ("run", text_array(whole)),
        }
    )
    for cell in cells:
        yield cell, result
