"""A tokenizer and a small Qwen3 language model, trained from nothing on the corpus.

They are saved in the formats of published ones. The tokenizer is a byte-level BPE with Qwen's splitting rule
(words with their leading space, single digits); merging goes on until each word of the corpus is one token.
Sequences are fed as the pipeline feeds prompts: the padding token, which the field puts first for Qwen3, then
the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from recipes.tiny.corpus import ANSWER

PAD, START, EOS = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SHARES = {"addition": 0.45, "antonym": 0.12, "capital": 0.25, "plural": 0.18}
SENTENCES, BATCH, STEPS, RATE, DECAY, INITIAL = 150_000, 128, 1200, 1.5e-3, 0.1, 0.05
ELSEWHERE = 0.1  # weight in the loss of tokens that are no answer


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """A byte-level BPE in which each word of `texts` is one token, with its leading space if it has one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=10_000,
        min_frequency=1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (PAD, START, EOS)]
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "additional_special_tokens": [START, EOS],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": EOS,
        "errors": "replace",
        "model_max_length": 128,
        "pad_token": PAD,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token."""
    return tokenizer.get_vocab()[token]


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of each text after the prepended token, as a model is fed."""
    first = token_id(tokenizer, PAD)
    return [[first, *encoding.ids] for encoding in tokenizer.encode_batch(texts)]


def sequences(tokenizer: Tokenizer, sentences: list[str]) -> list[tuple[list[int], int]]:
    """Token ids of each sentence after the prepended token and before EOS, and the index of its answer."""
    asked = encode(tokenizer, [sentence.partition(ANSWER)[0] for sentence in sentences])
    whole = encode(tokenizer, [sentence.replace(ANSWER, "") for sentence in sentences])
    eos = token_id(tokenizer, EOS)
    return [([*ids, eos], len(question)) for question, ids in zip(asked, whole, strict=True)]


def batches(
    examples: list[tuple[list[int], int]], size: int, pad: int, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches without end, shuffled anew in each epoch.

    Yields token ids (size, position) int64, padded on the right, and the index of each answer (size,) int64.
    """
    while True:
        order = torch.randperm(len(examples), generator=generator).tolist()
        for start in range(0, len(order) - size + 1, size):
            rows, answers = zip(*(examples[i] for i in order[start : start + size]), strict=True)
            tokens = torch.nn.utils.rnn.pad_sequence(
                list(map(torch.tensor, rows)), batch_first=True, padding_value=pad
            )
            yield tokens, torch.tensor(answers)


def train_model(tokenizer: Tokenizer, examples: list[tuple[list[int], int]], seed: int) -> Qwen3ForCausalLM:
    """Train with AdamW, linear warm-up and cosine decay; most of the loss is that of the answers."""
    torch.manual_seed(seed)
    pad, eos = token_id(tokenizer, PAD), token_id(tokenizer, EOS)
    config = Qwen3Config(
        initializer_range=INITIAL,
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=128,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        use_cache=True,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
        dtype="float32",
    )
    model: Any = Qwen3ForCausalLM(config)
    generation: Any = GenerationConfig
    model.generation_config = generation(do_sample=False, eos_token_id=eos, pad_token_id=pad)
    matrices = [p for p in model.parameters() if p.ndim == 2]
    gains = [p for p in model.parameters() if p.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": gains, "weight_decay": 0.0}],
        lr=RATE,
        betas=(0.9, 0.98),
    )
    warm = STEPS // 20
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / warm, 0.5 * (1 + math.cos(math.pi * step / STEPS)))
    )
    source = batches(examples, BATCH, pad, torch.Generator().manual_seed(seed))
    for step in range(1, STEPS + 1):
        tokens, answers = next(source)
        targets = tokens[:, 1:]
        logits = model(tokens[:, :-1], use_cache=False).logits
        losses = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
        weights = ELSEWHERE * targets.ne(pad).float()
        weights.scatter_(1, answers[:, None] - 1, 1.0)
        loss: Any = (losses * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % (STEPS // 10) == 0:
            answer = losses.gather(1, answers[:, None] - 1).mean()
            print(f"  step {step:5d}  loss {loss.item():.4f}  of answers {answer.item():.4f}", flush=True)
    trained: Qwen3ForCausalLM = model.eval()
    return trained
