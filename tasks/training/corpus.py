"""Phase `corpus`: the texts that transcoders are trained on, as tokens, in shards. Built only when asked for.

A text is cut into sequences of at most `config.context` tokens, each of which begins with the prepended
token, as prompts do. The order of texts is that of a SHA-256 of seed and text, and the first of them are held
out: a text is never partly trained on and partly held out, and a text added to the file leaves the order of
all others as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import xarray as xr

from circuitstore.errors import InputError
from circuitstore.models.load import tokenize


def corpus(cells, config, texts, tokenizer):
    """Yield one dataset a shard, axis `shard`, those held out first.

    tokens: (token,) int32, all sequences one after the other; pointer: (boundary,) int64, sequence i is
    tokens[pointer[i]:pointer[i + 1]]; held_out: bool, of the whole shard. `texts` are the lines of the corpus
    and the name of the prepended token. Raises InputError for too few of them.
    """
    lines, prepend = texts
    first = tokenize(tokenizer, "", prepend=prepend)
    sequences: list[list[list[int]]] = []  # of each text
    count = 0
    for line in sorted(
        set(lines), key=lambda line: hashlib.sha256(f"{config.seed}\0{line}".encode()).digest()
    ):
        if count >= config.tokens:
            break
        ids = tokenize(tokenizer, line, prepend="none")[: config.tokens - count]
        step = config.context - len(first)
        sequences.append([first + ids[start : start + step] for start in range(0, len(ids), step)])
        count += len(ids)
    held_out = held = 0
    while held_out < len(sequences) and held < config.held_out * count:
        held += sum(len(sequence) - len(first) for sequence in sequences[held_out])
        held_out += 1
    if not 0 < held_out < len(sequences):
        raise InputError(
            "corpus",
            expected="texts to train on and others to hold out",
            got=f"{len(sequences)} different texts",
        )
    shards = [(True, shard) for shard in _shards(sequences[:held_out], config.shard)]
    shards += [(False, shard) for shard in _shards(sequences[held_out:], config.shard)]
    for index, (is_held_out, shard) in enumerate(shards):
        yield (
            {"shard": index},
            xr.Dataset(
                {
                    "tokens": (
                        "token",
                        np.concatenate([np.array(sequence, dtype=np.int32) for sequence in shard]),
                    ),
                    "pointer": ("boundary", np.cumsum([0, *map(len, shard)], dtype=np.int64)),
                    "held_out": ((), np.bool_(is_held_out)),
                },
                attrs={"structure": "tree"},
            ),
        )


def _shards(sequences: list[list[list[int]]], size: int) -> Iterator[list[list[int]]]:
    """Sequences in shards of at least `size` tokens, but for the last."""
    shard: list[list[int]] = []
    for sequence in (sequence for of_text in sequences for sequence in of_text):
        shard.append(sequence)
        if sum(map(len, shard)) >= size:
            yield shard
            shard = []
    if shard:
        yield shard
