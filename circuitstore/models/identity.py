"""What a local folder of weights or a tokenizer *is*: the sha256 of each file. Imports no torch.

A file is hashed once and remembered by size, times and inode, so that a build with nothing to do reads no
weights.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from circuitstore.errors import ModelError

# seconds; a younger file may change again without a new time stamp, some file systems count in steps of two
SETTLED = 3.0
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)


class Remembers(Protocol):
    """Something that keeps small values by name between runs."""

    def get(self, key: str) -> Any: ...
    def put(self, key: str, value: object) -> None: ...


def file_hash(path: str, memory: Remembers) -> str:
    """sha256 (hexadecimal) of a file. Raises ModelError."""
    try:
        status = os.stat(path)
        key = f"file {os.path.abspath(path)} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        known = memory.get(key)
        if known is None:
            with open(path, "rb") as file:
                known = hashlib.file_digest(file, "sha256").hexdigest()
            if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED:
                memory.put(key, known)
    except OSError as error:
        raise ModelError(path, expected="a readable file", got=error.strerror or error) from error
    return known


def read_bytes(path: str) -> bytes:
    """The content of a small file. Raises ModelError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ModelError(path, expected="a readable file", got=error.strerror or error) from error


def model_identity(folder: str, memory: Remembers) -> dict[str, object]:
    """sha256 of the configuration and of each weight file, and the number of layers. Raises ModelError."""
    layers = layer_count(read_config(folder), os.path.join(folder, "config.json"))
    names = _files(folder, "weights", lambda name: name.endswith(".safetensors"))
    return {"files": _hashes(folder, ["config.json", *names], memory), "layers": layers}


def tokenizer_identity(folder: str, memory: Remembers) -> dict[str, object]:
    """sha256 of each tokenizer file. Raises ModelError."""
    names = _files(folder, "a tokenizer", lambda name: name in TOKENIZER_FILES)
    return {"files": _hashes(folder, names, memory)}


def transcoders_identity(folder: str, memory: Remembers) -> dict[str, object]:
    """sha256 of the configuration, if there is one, and of each layer's files. Raises ModelError."""
    names = _files(
        folder, "transcoders", lambda name: name.endswith((".safetensors", ".safetensors.index.json"))
    )
    config = [name for name in ("config.yaml",) if os.path.isfile(os.path.join(folder, name))]
    return {"files": _hashes(folder, [*config, *names], memory)}


def layer_count(config: dict[str, Any], where: str) -> int:
    """Number of layers by a model's config.json, which must also give its width. Raises ModelError."""
    for name in ("num_hidden_layers", "hidden_size"):
        if not isinstance(config.get(name), int):
            raise ModelError(where, expected=name, got=config.get(name))
    return config["num_hidden_layers"]


def read_config(folder: str) -> dict[str, Any]:
    """A model folder's config.json. Raises ModelError."""
    path = os.path.join(folder, "config.json")
    try:
        with open(path, "rb") as file:
            config = msgspec.json.decode(file.read())
    except (OSError, ValueError) as error:
        got = "no such file" if isinstance(error, FileNotFoundError) else error
        raise ModelError(
            path, expected="a model's config.json", got=got, remedy="name a downloaded model folder"
        ) from None
    if not isinstance(config, dict):
        raise ModelError(path, expected="a JSON object", got=type(config).__name__)
    return config


def _files(folder: str, what: str, wanted) -> list[str]:
    try:
        names = sorted(
            os.path.relpath(os.path.join(where, name), folder)
            for where, _, files in os.walk(folder)
            for name in files
            if wanted(name)
        )
    except OSError as error:
        raise ModelError(folder, expected=f"a folder with {what}", got=error.strerror) from error
    if not names:
        got = "no such folder" if not os.path.isdir(folder) else "none in it"
        raise ModelError(
            folder,
            expected=f"a folder with {what}",
            got=got,
            remedy="correct the profile's path or download the files",
        )
    return names


def _hashes(folder: str, names: Iterable[str], memory: Remembers) -> dict[str, object]:
    return {name: file_hash(os.path.join(folder, name), memory) for name in names}
