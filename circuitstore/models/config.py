"""Small files: a model folder's config.json, YAML files, and which files there are. Imports no torch."""

from __future__ import annotations

import math
import os
from typing import Any

import msgspec

from circuitstore.errors import ModelError, first_line

CONFIG = "config.json"
MOST_BYTES = 1 << 26  # of a configuration, or of an index of weights; real ones have a few MB
SHOWN = 80
MOST_INTEGER = 10**40  # transformers writes 10³⁰ for "no limit"
MOST = 1 << 24  # of layers, or of dims: a number that is larger is a mistake


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
    _check_size(source, where)
    try:
        config = msgspec.json.decode(source)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ModelError(where, expected="readable JSON", got=first_line(error)) from error
    return _checked(config, "a JSON object", where)


def parse_yaml(source: bytes, where: str) -> dict[str, Any]:
    """The mapping in the bytes of a YAML file; empty for an empty file. Raises ModelError.

    Aliases are refused: nine of them, one in the other, are a billion values.
    """
    import yaml  # takes 15 ms, which a build with nothing to do should not pay

    _check_size(source, where)
    try:
        text = source.decode()
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ModelError(where, expected="YAML without aliases", got="one", remedy="write out its value")
        config = yaml.safe_load(text) or {}
    except ModelError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
        # A scalar that is not what its tag or form says, as 2020-13-45, fails in whatever it is given to.
        raise ModelError(where, expected="readable YAML", got=first_line(error)) from error
    return _checked(config, "a mapping", where)


def _check_size(source: bytes, where: str) -> None:
    if len(source) > MOST_BYTES:
        raise ModelError(where, expected=f"at most {MOST_BYTES >> 20} MiB", got=f"{len(source) >> 20} MiB")


def _checked(config: Any, expected: str, where: str) -> dict[str, Any]:
    """A configuration that is a mapping of what JSON can hold. Raises ModelError."""
    if not isinstance(config, dict):
        raise ModelError(where, expected=expected, got=type(config).__name__)
    try:
        strange = _not_json(config)
    except RecursionError as error:
        raise ModelError(where, expected="values that are not nested so deep", got=error) from error
    if strange:
        expected = "texts, finite numbers, lists and mappings, which JSON could hold"
        remedy = "write it as a text in quotes"
        raise ModelError(where, expected=expected, got=strange[0][:SHOWN], remedy=remedy)
    return config


def _not_json(value: Any) -> list[str]:
    """The first part of a value that JSON cannot tell from another, such as NaN or a date; none if none."""
    if isinstance(value, str):
        return [] if value.isascii() or _is_unicode(value) else [ascii(value)]
    if value is None or isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [] if abs(value) < MOST_INTEGER else ["an integer of more than 40 digits"]
    if isinstance(value, float):
        return [] if math.isfinite(value) else [repr(value)]
    if isinstance(value, dict):
        keys = [f"key {key!r}" for key in value if isinstance(key, bool) or not isinstance(key, (str, int))]
        inner = [*value, *value.values()]
        return keys or next((found for each in inner if (found := _not_json(each))), [])
    if isinstance(value, list):
        return next((found for each in value if (found := _not_json(each))), [])
    return [repr(value)]


def _is_unicode(text: str) -> bool:
    """Whether a text is Unicode, without halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def layer_count(config: dict[str, Any], where: str) -> int:
    """The number of layers by a config.json, which must also give the width. Raises ModelError."""
    for name in ("num_hidden_layers", "hidden_size"):
        number = config.get(name)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= MOST:
            raise ModelError(where, expected=f"{name}, from 1 to {MOST}", got=repr(number)[:SHOWN])
    count: int = config["num_hidden_layers"]
    return count


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a small file. Raises ModelError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ModelError(str(path), expected="a readable file", got=error.strerror or error) from error


def names_below(folder: str | os.PathLike[str], most: int) -> list[str]:
    """The names of the files in a folder and up to ``most`` folders deep in it, with "/", sorted.

    Raises OSError.
    """
    found, waiting = [], [("", os.fspath(folder))]
    while waiting:
        start, path = waiting.pop()
        for entry in os.scandir(path):
            if entry.is_file():
                found.append(start + entry.name)
            elif start.count("/") < most and entry.is_dir():
                waiting.append((f"{start}{entry.name}/", entry.path))
    return sorted(found)
