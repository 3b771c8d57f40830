"""Which version of the format a store has: what its `format.json` says, and what of that is understood."""

from __future__ import annotations

import shlex
from collections.abc import Collection

import msgspec

from circuitstore.errors import StoreError

FORMAT = "circuitstore"
VERSION, READABLE = 2, (1, 2)  # what is written, and what is read
FORMAT_BYTES = 1 << 12
FOLDERS = {1: {"objects", "actions", "artifacts", "refs"}, 2: {"pieces"}}  # what each version began with


def stated(version: int) -> str:
    """What the `format.json` of a version says."""
    return f'{{"format": "{FORMAT}", "version": {version}}}'


def headless_store(present: Collection[str], where: str) -> StoreError | None:
    """The error for a store whose `format.json` is gone; None for what has not all folders of a store."""
    if not FOLDERS[1] <= set(present):
        return None
    version = 2 if FOLDERS[2] <= set(present) else 1
    remedy = f"put the file back, which is the line {stated(version)}, and run `circuitstore verify`"
    return StoreError(where, expected="format.json", got="the folders of a store without it", remedy=remedy)


def no_folder(root: str) -> StoreError:
    """The error for a file in the place of a store."""
    remedy = "name another with --store"
    if root.endswith(".zip"):
        remedy = f"run `circuitstore pull {shlex.quote(root)}`, which takes results out of it"
    return StoreError(f"store {root}", expected="a directory", got="a file", remedy=remedy)


def version_in(raw: bytes, where: str) -> int:
    """The version that the bytes of a `format.json` state. Raises StoreError."""
    try:
        found = msgspec.json.decode(raw, type=dict)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        remedy = "restore the file from a copy"
        raise StoreError(where, expected=stated(VERSION), got=repr(raw[:60]), remedy=remedy) from None
    if found.get("format") != FORMAT:
        remedy = "this is no circuitstore store; name another with --store"
        raise StoreError(where, expected=stated(VERSION), got=repr(raw[:60]), remedy=remedy)
    version = found.get("version")
    if type(version) is not int or version not in READABLE:  # JSON's true would pass for 1
        remedy = "use the version of circuitstore that wrote it, or another --store"
        expected = f"format version {' or '.join(map(str, READABLE))}"
        raise StoreError(where, expected=expected, got=repr(version)[:60], remedy=remedy)
    return version
