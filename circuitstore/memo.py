"""What a user's machine remembers between runs to save work: hashes of files, and what small files say.

The memo lies in the user's cache folder (`CIRCUITSTORE_CACHE`), never in a store. It may be deleted at any
time.
"""

from __future__ import annotations

import hashlib
import os
import time
from functools import lru_cache
from typing import Any

import msgspec

ENTRIES = 2000  # the newest kept; each costs microseconds to read
# Seconds. A younger file may change again without a new time stamp: some file systems count in steps of two.
SETTLED = 3.0


class Memo:
    """A small JSON dictionary, loaded once and saved when it changed; losing it costs time, nothing else."""

    def __init__(self, path: str | None = None):
        self.path = path or os.path.join(cache_folder(), "memo.json")
        self._values: dict[str, Any] | None = None
        self._changed = False

    def get(self, key: str) -> Any:
        """The value of a key, or None."""
        if self._values is None:
            self._values = self._load()
        return self._values.get(key)

    def put(self, key: str, value: object) -> None:
        """Remember a value, which must be JSON."""
        self.get(key)
        assert self._values is not None
        self._values[key] = value
        self._changed = True

    def save(self) -> None:
        """Write what is new to disk, together with what other processes wrote meanwhile."""
        if not self._changed:
            return
        merged = self._load() | (self._values or {})
        merged = dict(list(merged.items())[-ENTRIES:])
        draft = f"{self.path}.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            with open(draft, "wb") as file:
                file.write(msgspec.json.encode(merged))
            os.replace(draft, self.path)
        except OSError:
            return  # a read-only home only makes the next run slower
        self._changed = False

    def _load(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                return msgspec.json.decode(file.read(), type=dict[str, Any])
        except (OSError, msgspec.DecodeError):
            return {}


@lru_cache
def shared() -> Memo:
    """The memo of this process."""
    return Memo()


def cache_folder() -> str:
    """The user's cache folder for circuitstore."""
    named = os.environ.get("CIRCUITSTORE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return named or os.path.join(base, "circuitstore")


def file_hash(path: str, memo: Memo | None = None) -> str:
    """sha256 (hexadecimal) of a file, by default with the memo of this process. Raises OSError.

    A file is read once and then known by its path, size, times and inode, so that a build with nothing to do
    reads no weights.
    """
    memo = shared() if memo is None else memo
    status = os.stat(path)
    stamps = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    key = f"file {os.path.abspath(path)} {stamps}"
    known = memo.get(key)
    if known is None:
        with open(path, "rb") as file:
            known = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED:
            memo.put(key, known)
    return str(known)
