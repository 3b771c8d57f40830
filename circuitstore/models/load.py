"""Load a language model and its tokenizer from a local folder in the Hugging Face layout.

Only safetensors weights and only local files are read, and no code from the folder is run. transformers fills
weights that a checkpoint lacks with random numbers and goes on. Here that is an error, and so is a tokenizer
that knows more tokens than the model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from circuitstore.errors import ModelError, UsageError, first_line, some_of
from circuitstore.models import shards
from circuitstore.models.config import read_bytes, read_config
from circuitstore.models.families import Parts, family_of, take_apart

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PREPEND = ("auto", "bos", "pad", "eos", "unk", "none")
AUTO = ("bos", "pad", "eos")  # in the order in which "auto" looks for them


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model in eval mode, with eager attention, the only kind that returns attention patterns."""

    name: str
    hf: nn.Module
    tokenizer: PreTrainedTokenizerBase
    parts: Parts
    n_layers: int
    d_model: int
    vocab_size: int
    max_positions: int
    dtype: torch.dtype
    device: torch.device


def load_model(folder: str | Path, *, dtype: str = "float32", device: str = "cpu") -> LanguageModel:
    """Load config, weights and tokenizer from ``folder``.

    Raises UsageError for an unknown dtype or device, and ModelError for files that are missing or damaged, or
    do not fit one another.
    """
    folder = Path(folder)
    if dtype not in DTYPES:
        raise UsageError("model dtype", expected=" or ".join(DTYPES), got=dtype)
    where = _device(device)
    check_model(folder)
    with _quiet():
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=DTYPES[dtype],
                attn_implementation="eager",
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as error:
            # transformers raises a dozen kinds of errors, most of them with advice about the hub.
            raise ModelError(
                f"model weights in {folder}", expected="loadable safetensors", got=first_line(error)
            ) from error
    model, report = loaded
    for kind, problem in (
        ("missing_keys", "lacks"),
        ("unexpected_keys", "has unknown"),
        ("mismatched_keys", "misshapes"),
    ):
        if keys := sorted(str(key) for key in report.get(kind) or ()):
            shown = some_of(keys, 3, ", ")
            raise ModelError(
                f"model weights in {folder}",
                expected="exactly the weights that config.json describes",
                got=f"a checkpoint that {problem} {shown}",
                remedy="download the folder again, or correct config.json",
            )
    parts = take_apart(model.eval().requires_grad_(False).to(where))
    tokenizer = load_tokenizer(folder)
    vocab_size, d_model = parts.embeddings.shape
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= vocab_size:
        raise ModelError(
            f"tokenizer in {folder}",
            expected=f"token ids below the model's vocabulary size {vocab_size}",
            got=f"token id {largest}",
            remedy="use the tokenizer that belongs to these weights",
        )
    return LanguageModel(
        name=folder.resolve().name,
        hf=model,
        tokenizer=tokenizer,
        parts=parts,
        n_layers=len(parts.layers),
        d_model=d_model,
        vocab_size=vocab_size,
        max_positions=model.config.max_position_embeddings,
        dtype=DTYPES[dtype],
        device=where,
    )


def check_model(folder: str | Path, *, device: str = "cpu") -> None:
    """Raise what `load_model` would raise, as far as it can be known without reading weights.

    This is UsageError for the device and ModelError for the files.
    """
    _device(device)
    family_of(read_config(Path(folder)).get("model_type", "nothing named model_type"))
    _check_weight_files(Path(folder))


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer alone, which needs no weights. Raises ModelError."""
    folder = Path(folder)
    read_config(folder)
    if not any([*folder.glob("tokenizer.*json"), *folder.glob("vocab.json")]):  # it may be named by version
        raise ModelError(f"tokenizer in {folder}", expected="tokenizer.json", got="no such file")
    with _quiet():
        try:
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:
            raise ModelError(
                f"tokenizer in {folder}", expected="a readable tokenizer", got=first_line(error)
            ) from error


def tokenize(tokenizer: PreTrainedTokenizerBase, text: str, *, prepend: str = "auto") -> list[int]:
    """Token ids of ``text`` with a special token in front, unless the text itself starts with that token.

    Attribution needs a position 0 that is not part of the text, because it leaves that position as it is.
    ``prepend`` names the token: bos, pad, eos, unk, or none for nothing. "auto" follows the field: the first
    that this tokenizer has of bos, pad and eos, and nothing if the text begins with any special token. For
    Qwen3 that is pad, ``<|endoftext|>``, as in Neuronpedia's graphs. Raises UsageError for another name, and
    for a token that this tokenizer does not have.
    """
    if prepend not in PREPEND:
        raise UsageError("prepended token", expected=" or ".join(PREPEND), got=prepend)
    ids = list(tokenizer.encode(text, add_special_tokens=False))
    if prepend == "none":
        return ids
    known = {name: getattr(tokenizer, f"{name}_token_id") for name in PREPEND[1:-1]}
    known = {name: token for name, token in known.items() if token is not None}
    among = [name for name in (AUTO if prepend == "auto" else (prepend,)) if name in known]
    if not among:
        raise UsageError(
            "prepended token",
            expected=" or ".join([*known, "none"]),
            got=f"{prepend}, which this tokenizer lacks",
        )
    token = known[among[0]]
    marks = tokenizer.all_special_ids if prepend == "auto" else (token,)
    return ids if ids[:1] and ids[0] in marks else [token, *ids]


def answer_ids(tokenizer: PreTrainedTokenizerBase, text: str, answer: str) -> list[int] | None:
    """What ``answer`` adds to the token ids of ``text``; None if it changes the last of them.

    The answer is never tokenized by itself: tokenizers of SentencePiece's kind put a space before whatever
    they are given, so that " are" alone would be two tokens.
    """
    before = list(tokenizer.encode(text, add_special_tokens=False))
    both = list(tokenizer.encode(text + answer, add_special_tokens=False))
    return both[len(before) :] if both[: len(before)] == before else None


def _device(device: str) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            "device", expected="cpu or an available accelerator", got=f"{device} ({first_line(error)})"
        ) from error


def _check_weight_files(folder: Path) -> None:
    index = folder / f"model{shards.INDEX}"
    names = ["model.safetensors"]
    if index.is_file() and not (folder / names[0]).is_file():  # the order in which transformers looks
        names = shards.files(read_bytes(index), str(index))
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise ModelError(
            f"model weights in {folder}",
            expected=", ".join(names[:3]) + (" …" if len(names) > 3 else ""),
            got="no " + ", ".join(missing[:3]),
            remedy="download the safetensors files (pickled weights are never loaded)",
        )
    for name in names:
        with shards.opened(folder / name):
            pass


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and load reports off stderr. What matters in them is raised."""
    bars: Any = hf_logging  # its functions for progress bars have no types
    verbosity, shown = hf_logging.get_verbosity(), bars.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.CRITICAL)
    bars.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if shown:
            bars.enable_progress_bar()
