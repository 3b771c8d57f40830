"""A corpus to train transcoders on, sampled from the model itself: circuitstore comes with no data set.

    python -m recipes.smollm2.sample

Writes ``corpus.txt`` into tasks/profiles/smollm2, one text on each line. Most texts are what the model writes
after ``<|endoftext|>``, the token that separates documents in its pretraining. The others begin with a prompt
of a behaviour (`recipes/unanalysed`).
"""

from __future__ import annotations

import argparse
import string
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from recipes.from_gguf import PROFILES
from recipes.unanalysed import unanalysed

HERE = PROFILES / "smollm2"
# Left out at the beginning of a text: layer 11 writes 500 times as much there as elsewhere.
MARKS = string.punctuation + string.whitespace
SEED, TOP_K, BATCH = 123, 50, 128
FREE, FREE_TOKENS = 1536, 96  # texts without a beginning, and the longest of them
BEGUN, BEGUN_TOKENS = {"antonym": 192, "capital": 40, "plural": 192}, 24


def main() -> None:
    """Sample all texts, then write the file."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.smollm2.sample", description="Sample a corpus from SmolLM2."
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=HERE / "model",
        help="the converted model (default: tasks/profiles/smollm2)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / "corpus.txt",
        help="the file to write (default: tasks/profiles/smollm2)",
    )
    given = parser.parse_args()
    torch.set_num_threads(1)  # so that the number of cores does not change a bit of the result
    torch.manual_seed(SEED)
    tokenizer: Any = AutoTokenizer.from_pretrained(given.model, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(given.model, local_files_only=True, dtype=torch.float32)
    model.eval()
    lines: list[str] = []
    wanted = FREE + sum(BEGUN.values())
    for begun, longest in beginnings(tokenizer):
        lines += [" ".join(text.lstrip(MARKS).split()) for text in sample(model, tokenizer, begun, longest)]
        print(f"{len(lines)} of {wanted} texts", file=sys.stderr, flush=True)
    given.out.write_text("".join(line + "\n" for line in dict.fromkeys(lines) if line), encoding="utf-8")


def beginnings(tokenizer: Any) -> Iterator[tuple[list[list[int]], int]]:
    """Token ids of beginnings of one length, at most a batch of them, and how many tokens may follow."""
    start = tokenizer.unk_token_id
    for first in range(0, FREE, BATCH):
        yield [[start]] * min(BATCH, FREE - first), FREE_TOKENS
    by_length: dict[int, list[list[int]]] = {}
    for prompt in unanalysed(BEGUN):
        ids = [start, *tokenizer.encode(prompt.text, add_special_tokens=False)]
        by_length.setdefault(len(ids), []).append(ids)
    for _, some in sorted(by_length.items()):
        for first in range(0, len(some), BATCH):
            yield some[first : first + BATCH], BEGUN_TOKENS


@torch.no_grad()
def sample(model: Any, tokenizer: Any, begun: list[list[int]], longest: int) -> list[str]:
    """The texts that the model makes of beginnings, which are token ids of one length."""
    ids = torch.tensor(begun)
    stops = [tokenizer.unk_token_id, tokenizer.eos_token_id]
    written = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        top_k=TOP_K,
        max_new_tokens=longest,
        eos_token_id=stops,
        pad_token_id=tokenizer.eos_token_id,
    )
    texts: list[str] = tokenizer.batch_decode(written, skip_special_tokens=True)
    return texts


if __name__ == "__main__":
    main()
