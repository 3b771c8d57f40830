"""What a user's machine remembers between runs to save work: hashes of files by their bytes or by their size
and time.

It lies in the user's cache folder (`CIRCUITSTORE_CACHE`), never in a store, and may be deleted at any time.
"""

from __future__ import annotations

import os
from functools import lru_cache

import msgspec

ENTRIES = 2000  # the newest kept; each costs microseconds to read


class Memo:
    """A small JSON dictionary that is loaded once and saved when it changed. Losing it costs time, nothing
    else.
    """

    def __init__(self, path: str | None = None):
        self.path = path or os.path.join(cache_folder(), "memo.json")
        self._values: dict[str, object] | None = None
        self._changed = False

    def get(self, key: str):
        if self._values is None:
            self._values = self._load()
        return self._values.get(key)

    def put(self, key: str, value: object) -> None:
        self.get(key)
        assert self._values is not None
        self._values[key] = value
        self._changed = True

    def save(self) -> None:
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

    def _load(self) -> dict[str, object]:
        try:
            with open(self.path, "rb") as file:
                return msgspec.json.decode(file.read(), type=dict)
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
