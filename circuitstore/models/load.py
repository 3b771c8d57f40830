"""Load a language model and its tokenizer from a local folder in the Hugging Face layout.

Only safetensors weights, only local files, never code from the folder. transformers fills weights that a
checkpoint lacks with random numbers and goes on; here that is an error, as is a tokenizer that knows more
tokens than the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from circuitstore.errors import ModelError, UsageError, first_line
from circuitstore.models import shards
from circuitstore.models.config import read_bytes, read_config
from circuitstore.models.families import Parts, family_of, take_apart

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PREPEND = ("eos", "pad", "bos", "unk", "none")


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model in eval mode, with eager attention (the only kind that returns its patterns)."""

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

    Raises UsageError for an unknown dtype or device, ModelError for whatever is missing, damaged or does not
    fit.
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
        except (
            Exception
        ) as error:  # transformers raises a dozen kinds, most of them with advice about the hub
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
            shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
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
    """What `load_model` would raise, as far as it can be known in an instant: UsageError for the device,
    ModelError for the files.
    """
    _device(device)
    family_of(read_config(Path(folder)).get("model_type", "nothing named model_type"))
    _check_weight_files(Path(folder))


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer alone; needs no weights. Raises ModelError."""
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


def tokenize(tokenizer: PreTrainedTokenizerBase, text: str, *, prepend: str = "eos") -> list[int]:
    """Token ids of ``text`` with a special token in front, unless the text itself starts with that token.

    Qwen3 has no beginning-of-sequence token, but attribution needs position 0 to hold something other than
    the text (it is kept as it is, see `attribution`). ``prepend`` names the token: eos, pad, bos, unk, or
    none for nothing. Raises UsageError for another name or for a token that this tokenizer does not have.
    """
    if prepend not in PREPEND:
        raise UsageError("prepended token", expected=" or ".join(PREPEND), got=prepend)
    ids = list(tokenizer.encode(text, add_special_tokens=False))
    if prepend == "none":
        return ids
    token = getattr(tokenizer, f"{prepend}_token_id")
    if token is None:
        known = [name for name in PREPEND[:-1] if getattr(tokenizer, f"{name}_token_id") is not None]
        raise UsageError(
            "prepended token",
            expected=" or ".join([*known, "none"]),
            got=f"{prepend}, which this tokenizer lacks",
        )
    return ids if ids[:1] == [token] else [token, *ids]


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
        try:
            with safe_open(folder / name, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            raise ModelError(
                str(folder / name), expected="a readable safetensors file", got=first_line(error)
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and load reports off stderr; what matters in them is raised."""
    verbosity, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(hf_logging.CRITICAL)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()
