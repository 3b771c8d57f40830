"""Phase `corpus`: the texts that transcoders are trained on, as tokens, in shards.

A text is cut into sequences of at most `config.context` tokens. Each sequence begins with the prepended
token, as prompts do. Texts are ordered by the SHA-256 of seed and text, and the first of them are held out.
So a text is never partly trained on and partly held out, and a text that is added to the file leaves the
order of all others as it was.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from circuitstore.errors import InputError
from circuitstore.models.load import tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerBase

    from circuitstore.storage.records import Coords
    from tasks.settings.training import Corpus

Text = list[list[int]]  # the sequences of one text, each of token ids


def corpus(
    cells: list[Coords],
    config: Corpus,
    texts: tuple[list[str], str],
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each shard, along axis `shard`; the shards that are held out come first.

    `texts` are the lines of the corpus and the name of the prepended token.

        tokens     (token,) int32: all sequences one after the other
        pointer    (boundary,) int64: sequence i is tokens[pointer[i]:pointer[i + 1]]
        held_out   bool, for the whole shard

    Raises InputError if there are too few texts.
    """
    lines, prepend = texts
    n_first = len(tokenize(tokenizer, "", prepend=prepend))  # 1, or 0 for none
    ordered = sorted(set(lines), key=lambda line: hashlib.sha256(f"{config.seed}\0{line}".encode()).digest())
    step = config.context - n_first
    tokenized: list[Text] = []
    count = 0
    for line in ordered:
        if count >= config.tokens:
            break
        whole = tokenize(tokenizer, line, prepend=prepend)
        # The token in front may be the text's own, if it begins with a special one.
        first, ids = whole[:n_first], whole[n_first:][: config.tokens - count]
        tokenized.append([first + ids[start : start + step] for start in range(0, len(ids), step)])
        count += len(ids)
    n_held_out = held = 0
    while n_held_out < len(tokenized) and held < config.held_out * count:
        held += sum(len(sequence) - n_first for sequence in tokenized[n_held_out])
        n_held_out += 1
    if not 0 < n_held_out < len(tokenized):
        raise InputError(
            "corpus",
            expected="texts to train on and others to hold out",
            got=f"{len(tokenized)} different texts",
        )
    shards = [(True, shard) for shard in _shards(tokenized[:n_held_out], config.shard)]
    shards += [(False, shard) for shard in _shards(tokenized[n_held_out:], config.shard)]
    for index, (held_out, shard) in enumerate(shards):
        tokens = np.concatenate([np.array(sequence, dtype=np.int32) for sequence in shard])
        yield (
            {"shard": index},
            xr.Dataset(
                {
                    "tokens": ("token", tokens),
                    "pointer": ("boundary", np.cumsum([0, *map(len, shard)], dtype=np.int64)),
                    "held_out": ((), np.bool_(held_out)),
                },
                attrs={"structure": "tree"},
            ),
        )


def _shards(texts: list[Text], size: int) -> Iterator[list[list[int]]]:
    """The sequences of texts in shards of at least `size` tokens; the last shard may be smaller."""
    shard: list[list[int]] = []
    for sequence in (sequence for text in texts for sequence in text):
        shard.append(sequence)
        if sum(map(len, shard)) >= size:
            yield shard
            shard = []
    if shard:
        yield shard
