"""Weights cut into several files, with an index that says which file holds which tensor. Imports no torch.

The index ``NAME.safetensors.index.json`` is JSON with a ``weight_map``, which maps a tensor to a file beside
the index. The index of a whole model is ``model.safetensors.index.json``. Source: huggingface_hub,
`split_torch_state_dict_into_shards`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from circuitstore.errors import ModelError, first_line

FILE, INDEX = ".safetensors", ".safetensors.index.json"


def weight_map(source: bytes, where: str) -> dict[str, str]:
    """Tensor → the name of its file, from the content of an index. Raises ModelError, naming ``where``."""
    try:
        named = msgspec.convert(msgspec.json.decode(source, type=dict).get("weight_map"), dict[str, str])
    except msgspec.MsgspecError as error:
        raise ModelError(where, expected="a weight_map of file names", got=error) from error
    if not named:
        raise ModelError(where, expected="a weight_map of file names", got="an empty one")
    if wrong := [name for name in named.values() if not name.endswith(FILE) or "/" in name or "\\" in name]:
        raise ModelError(f"weight_map in {where}", expected="safetensors files beside it", got=wrong[0])
    return named


def files(source: bytes, where: str) -> list[str]:
    """The names of all files that an index names, each once, sorted. Raises ModelError."""
    return sorted(set(weight_map(source, where).values()))


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file for reading, as `safetensors.safe_open` gives it. Raises ModelError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ModelError(str(path), expected="a readable safetensors file", got=first_line(error)) from error
