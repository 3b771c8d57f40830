"""The texts that transcoders are trained on: the lines of one file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from circuitstore.engine.task import Sources
from circuitstore.errors import InputError
from circuitstore.memo import file_hash, shared


def identity(path: str, prepend: str) -> dict[str, Any]:
    """The sha256 of the lines as they are loaded, and the name of the token that each sequence begins with.

    Raises InputError.
    """
    if not path:
        raise InputError(
            "a corpus to train transcoders on",
            expected="[texts] path in the profile",
            got="none",
            remedy="name a file with one text a line: --set texts.path=FILE",
        )
    expected = "a file with one text a line"
    if not os.path.isfile(path):
        raise InputError(path, expected=expected, got="no such file", remedy="see docs/training.md")
    try:
        return {"sha256": _lines_hash(path), "prepend": prepend}
    except OSError as error:
        raise InputError(path, expected="a readable file", got=error.strerror or error) from error


def _lines_hash(path: str) -> str:
    """The sha256 of the lines of a file, remembered by the file's bytes. Raises OSError, InputError."""
    key = "lines " + file_hash(path)
    if (known := shared().get(key)) is None:
        digest = hashlib.sha256()
        for line in _lines(path):
            digest.update(f"{line}\n".encode())
        known = digest.hexdigest()
        shared().put(key, known)
    return str(known)


def sources(path: str) -> Sources:
    """The one file."""
    return Sources([path])


def load(path: str, prepend: str) -> tuple[list[str], str]:
    """The lines that are not blank, without blanks around them, and the name of the prepended token.

    Raises InputError.
    """
    return list(_lines(path)), prepend


def _lines(path: str) -> Iterator[str]:
    """The lines that are not blank, without blanks around them. Raises InputError."""
    try:
        with open(path, encoding="utf-8-sig") as file:  # editors on Windows put a mark in front
            yield from (line.strip() for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, expected="readable UTF-8 text", got=error) from error
