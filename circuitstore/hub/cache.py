"""The cache that all Hugging Face tools share, read as files: what is known without asking anybody.

This module imports no huggingface_hub, which takes long.

    HF_HUB_CACHE/models--OWNER--NAME/refs/REVISION        the commit it was when somebody last asked
                                     trees/COMMIT.json    every file of that commit, with size and digest
                                     snapshots/COMMIT/…   links to blobs/DIGEST

A file kept by git-lfs or xet, as weights are, is named by its sha256, a small one by git's blob id (sha1 of a
header and its content). Source: huggingface_hub, "Understand caching"; `_tree_cache.py` for trees.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

TREE_VERSION = 1
_TRUE = {"1", "ON", "YES", "TRUE"}
_COMMIT, _DIGEST = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class HubFile(NamedTuple):
    """One file of a repository: size in bytes, and its sha256 (64 hexadecimal digits) or git blob id (40)."""

    size: int
    digest: str


@dataclass(frozen=True)
class Snapshot:
    """A repository at the commit that a revision was taken for: its files by name, here or not."""

    repo: str
    revision: str
    commit: str
    files: dict[str, HubFile]

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"{self.repo} at {self.commit[:12]} on the hub"

    @property
    def folder(self) -> str:
        """Where its files lie once they are here; a folder in the layout that transformers reads."""
        return os.path.join(storage(self.repo), "snapshots", self.commit)

    def path(self, name: str) -> str:
        """Where a file lies once it is here."""
        return os.path.join(self.folder, *name.split("/"))

    def address(self, name: str) -> str:
        """How a file is called outside of its repository."""
        return f"hf://{self.repo}/{name}?revision={self.commit}"

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of these files that are not here in full length."""
        return [name for name in names if not _has_size(self.path(name), self.files[name].size)]


def offline() -> bool:
    """Whether the user forbids asking the hub (HF_HUB_OFFLINE)."""
    return (os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or "").upper() in _TRUE


def is_commit(revision: str) -> bool:
    """Whether a revision is the full hash of a commit, which never moves."""
    return _COMMIT.fullmatch(revision) is not None


def cache_folder() -> str:
    """The folder that huggingface_hub uses: HF_HUB_CACHE, else `hub` in HF_HOME or ~/.cache/huggingface."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    home = os.environ.get("HF_HOME") or os.path.join(caches, "huggingface")
    named = (
        os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    )
    return os.path.realpath(os.path.expandvars(os.path.expanduser(named)))


def storage(repo: str) -> str:
    """The cache's folder of one repository."""
    return os.path.join(cache_folder(), "models--" + repo.replace("/", "--"))


def commit_of(repo: str, revision: str) -> str:
    """The commit of a branch or tag as it was last asked for, by whatever tool; "" when it never was."""
    try:
        with open(os.path.join(storage(repo), "refs", *revision.split("/")), encoding="ascii") as file:
            commit = file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return commit if is_commit(commit) else ""


def listing_path(repo: str, commit: str) -> str:
    """The file that lists a commit's files."""
    return os.path.join(storage(repo), "trees", commit + ".json")


def listing(repo: str, commit: str) -> dict[str, HubFile] | None:
    """The files of a commit, if the cache has a list of them, else None."""
    try:
        with open(listing_path(repo, commit), "rb") as stream:
            tree = msgspec.json.decode(stream.read())
        if tree["format_version"] != TREE_VERSION:
            return None
        return {name: _file(info) for name, info in tree["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def present(repo: str, commit: str) -> dict[str, HubFile] | None:
    """The files of a commit that are here, by the links alone: perhaps not all; None when there are none."""
    top, files = os.path.join(storage(repo), "snapshots", commit), {}
    for folder, _, names in os.walk(top):
        for path in (os.path.join(folder, name) for name in names):
            digest = os.path.basename(os.readlink(path)) if os.path.islink(path) else ""
            if _DIGEST.fullmatch(digest) and os.path.exists(path):
                name = os.path.relpath(path, top).replace(os.sep, "/")
                files[name] = HubFile(os.path.getsize(path), digest)
    return files or None


def _file(info: dict[str, Any]) -> HubFile:
    return HubFile(info.get("lfs_size") or info["size"], info.get("lfs_sha256") or info["blob_id"])


def _has_size(path: str, size: int) -> bool:
    try:
        return os.path.getsize(path) == size
    except OSError:
        return False
