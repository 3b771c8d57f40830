"""Weights cut into several files: the index that says which file holds which tensor. Imports no torch.

``NAME.safetensors.index.json`` is JSON with a ``weight_map``, tensor → file beside the index. Source:
huggingface_hub, `split_torch_state_dict_into_shards`, which names the index of whole models
``model.safetensors.index.json``.
"""

from __future__ import annotations

import msgspec

from circuitstore.errors import ModelError

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
