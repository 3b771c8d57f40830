"""Configurations: a model folder's config.json, and YAML files. Imports no torch."""

from __future__ import annotations

import math
import os
from typing import Any

import msgspec

from circuitstore.errors import ModelError, first_line

CONFIG = "config.json"


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a model folder's config.json. Raises ModelError."""
    path = os.path.join(folder, CONFIG)
    if not os.path.isfile(path):
        got = "no such file" if os.path.isdir(folder) else "no such folder"
        remedy = "name a downloaded model folder"
        raise ModelError(path, expected="a model's config.json", got=got, remedy=remedy)
    return parse_config(read_bytes(path), path)


def parse_config(source: bytes, where: str) -> dict[str, Any]:
    """The JSON object in the bytes of a config.json. Raises ModelError, which names ``where``."""
    try:
        config = msgspec.json.decode(source)
    except ValueError as error:
        raise ModelError(where, expected="readable JSON", got=error) from error
    if not isinstance(config, dict):
        raise ModelError(where, expected="a JSON object", got=type(config).__name__)
    return config


def parse_yaml(source: bytes, where: str) -> dict[str, Any]:
    """The mapping in the bytes of a YAML file; empty for an empty file. Raises ModelError."""
    import yaml  # takes 15 ms, which a build with nothing to do should not pay

    try:
        config = yaml.safe_load(source.decode()) or {}
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(where, expected="readable YAML", got=first_line(error)) from error
    if not isinstance(config, dict):
        raise ModelError(where, expected="a mapping", got=type(config).__name__)
    if (strange := _not_json(config)) is not None:
        expected = "texts, finite numbers, lists and mappings, which JSON could hold"
        raise ModelError(where, expected=expected, got=repr(strange), remedy="write it as a text in quotes")
    return config


def _not_json(value: Any) -> Any:
    """The first part of a value that JSON cannot tell from another: NaN, infinity, a date; None if none."""
    if value is None or isinstance(value, (str, int)):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else value
    if not isinstance(value, (dict, list)):
        return value
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return next((found for each in inner if (found := _not_json(each)) is not None), None)


def layer_count(config: dict[str, Any], where: str) -> int:
    """The number of layers by a config.json, which must also give the width. Raises ModelError."""
    for name in ("num_hidden_layers", "hidden_size"):
        if not isinstance(config.get(name), int):
            raise ModelError(where, expected=name, got=config.get(name))
    count: int = config["num_hidden_layers"]
    return count


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a small file. Raises ModelError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ModelError(str(path), expected="a readable file", got=error.strerror or error) from error
