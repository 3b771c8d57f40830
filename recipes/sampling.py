"""A corpus to train transcoders on, sampled from the model itself: circuitstore comes with no data set.

Writes ``corpus.txt`` beside the model, one text on each line. Most texts are what the model writes after the
token that separates documents in its pretraining. The others begin with a prompt of a behaviour, so that the
words of its templates occur. None of these prompts is among those that the default settings draw, for train
or for test, and none is of a lexical group of the test split. So transcoders are not trained on what is
analysed.
"""

from __future__ import annotations

import argparse
import string
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from recipes.from_gguf import PROFILES
from tasks.behaviours import Prompt
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import generate

# Left out at the beginning of a text: layer 11 of SmolLM2 writes 500 times as much there as elsewhere.
MARKS = string.punctuation + string.whitespace
SEED, TOP_K, BATCH = 123, 50, 128
SPARE = 80  # prompts of a behaviour that may be among those analysed


@dataclass(frozen=True)
class Corpus:
    """How much a model writes, and after what."""

    folder: str  # in tasks/profiles, with the model
    start: str  # which special token separates documents: bos, eos, unk
    free: int  # texts without a beginning
    free_tokens: int  # of the longest of them
    begun: Mapping[str, int]  # behaviour → texts that begin with one of its prompts
    begun_tokens: int  # after the prompt


def main(corpus: Corpus, arguments: list[str] | None = None) -> None:
    """Sample all texts, then write the file."""
    parser = argparse.ArgumentParser(description="Sample a corpus from the converted model.")
    folder, named = PROFILES / corpus.folder, f"tasks/profiles/{corpus.folder}"
    for name, file, text in (
        ("--model", "model", "the converted model"),
        ("--out", "corpus.txt", "the file to write"),
    ):
        parser.add_argument(name, type=Path, default=folder / file, help=f"{text} (default: {named}/{file})")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # so that the number of cores does not change a bit of the result
    torch.manual_seed(SEED)
    tokenizer: Any = AutoTokenizer.from_pretrained(given.model, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(given.model, local_files_only=True, dtype=torch.float32)
    model.eval()
    start = getattr(tokenizer, f"{corpus.start}_token_id")
    lines: list[str] = []
    wanted = corpus.free + sum(corpus.begun.values())
    for begun, longest in beginnings(corpus, tokenizer, start):
        texts = sample(model, tokenizer, begun, longest, start)
        lines += [" ".join(text.lstrip(MARKS).split()) for text in texts]
        print(f"{len(lines)} of {wanted} texts", file=sys.stderr, flush=True)
    given.out.write_text("".join(line + "\n" for line in dict.fromkeys(lines) if line), encoding="utf-8")


def beginnings(corpus: Corpus, tokenizer: Any, start: int) -> Iterator[tuple[list[list[int]], int]]:
    """Token ids of beginnings of one length, at most a batch of them, and how many tokens may follow."""
    for first in range(0, corpus.free, BATCH):
        yield [[start]] * min(BATCH, corpus.free - first), corpus.free_tokens
    by_length: dict[int, list[list[int]]] = {}
    for prompt in begun_with(corpus):
        ids = [start, *tokenizer.encode(prompt.text, add_special_tokens=False)]
        by_length.setdefault(len(ids), []).append(ids)
    for _, some in sorted(by_length.items()):
        for first in range(0, len(some), BATCH):
            yield some[first : first + BATCH], corpus.begun_tokens


def begun_with(corpus: Corpus) -> list[Prompt]:
    """The prompts that texts begin with: of train groups, and not among the prompts that are analysed."""
    chosen = []
    for name, count in corpus.begun.items():
        behaviour = declaration(name)
        analysed = {prompt.text for prompt in generate(behaviour)}
        # A fifth is test, as by default, so that the splits have the same groups.
        drawn = generate(behaviour, train=count + SPARE, test=(count + SPARE) // 4)
        others = [p for p in drawn if p.split == "train" and p.text not in analysed]
        chosen += others[:count]
    return chosen


@torch.no_grad()
def sample(model: Any, tokenizer: Any, begun: list[list[int]], longest: int, start: int) -> list[str]:
    """The texts that the model makes of beginnings, which are token ids of one length."""
    ids = torch.tensor(begun)
    written = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        top_k=TOP_K,
        max_new_tokens=longest,
        eos_token_id=[start, tokenizer.eos_token_id],
        pad_token_id=tokenizer.eos_token_id,
    )
    texts: list[str] = tokenizer.batch_decode(written, skip_special_tokens=True)
    return texts
