"""A place: a set of files by name, such as a local folder, or a repository of the hub at a commit.

A place knows nothing of models, tokenizers or layers. Which of its files make an input is decided elsewhere,
from names and small files alone. So a file need not be on this machine to be known by its content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Place(Protocol):
    """A set of files. Names are relative to the place, with "/" between folders."""

    @property
    def origin(self) -> dict[str, Any]:
        """What is recorded of the place beside its files: repository and commit, or nothing."""

    def names(self, most: int = 0) -> list[str]:
        """The names of the files in the place, up to ``most`` folders deep, sorted. Raises ModelError."""

    def has(self, name: str) -> bool:
        """Whether the place has a file of this name, in a folder inside it too. Raises ModelError."""

    def read(self, name: str) -> bytes:
        """The content of a small file, which is downloaded if need be. Raises ModelError."""

    def digest(self, name: str) -> str:
        """The digest of a file's bytes, known without downloading it. Raises ModelError."""

    def path(self, name: str) -> str:
        """Where a file lies on this machine once it is fetched; for "", the folder. Raises ModelError."""

    def address(self, name: str) -> str:
        """How a file is called outside of its place."""

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of these files that `fetch` would have to download. Raises ModelError."""

    def check(self, names: Sequence[str]) -> list[str]:
        """Raise ModelError for files that cannot be had; what a user should know all the same, in lines."""

    def fetch(self, names: Sequence[str]) -> None:
        """Have these files on this machine, complete and unaltered. Raises ModelError."""

    def linked(self, repo: str, revision: str, name: str) -> tuple[Place, str]:
        """The place and name of a file that a list in this place gives by repository and name there."""

    def pinned(self, kind: str) -> dict[str, Any] | None:
        """The identity under which the store has taken a kind of input from here before, if it has."""

    def pin(self, kind: str, identity: dict[str, Any]) -> None:
        """Let the store keep what it took the place for. Raises StoreError."""
