"""The cache that all Hugging Face tools share, read as files: what is known without asking anybody.

This module imports no huggingface_hub, which takes long.

    HF_HUB_CACHE/models--OWNER--NAME/refs/REVISION        the commit it was when somebody last asked
                                     trees/COMMIT.json    every file of that commit, with size and digest
                                     snapshots/COMMIT/…   links to blobs/DIGEST

A file kept by git-lfs or xet, as weights are, is named by its sha256, a small one by git's blob id (sha1 of a
header and its content). Source: huggingface_hub, "Understand caching"; `_tree_cache.py` for trees.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

TREE_VERSION = 1
LFS_BYTES = 10 * 2**20  # a larger file is refused by the hub unless git-lfs keeps it
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


def present(repo: str, commit: str, sha256_of: Callable[[str], str]) -> dict[str, HubFile] | None:
    """The files of a commit that are here, without a list of them: perhaps not all; None when there are none.

    A link names its digest. A file in place of a link, as copies and Windows have them, is hashed: by
    `sha256_of` when it is of a kind or size that the hub keeps with git-lfs, else as git does.
    """
    top, files = os.path.join(storage(repo), "snapshots", commit), {}
    for folder, _, names in os.walk(top):
        for path in (os.path.join(folder, name) for name in names):
            if os.path.isfile(path) and (digest := _digest_of(path, sha256_of)):
                name = os.path.relpath(path, top).replace(os.sep, "/")
                files[name] = HubFile(os.path.getsize(path), digest)
    return files or None


def _digest_of(path: str, sha256_of: Callable[[str], str]) -> str:
    """The digest that the hub would list for a file; "" for a link to something that is no blob."""
    if os.path.islink(path):
        name = os.path.basename(os.readlink(path))
        return name if _DIGEST.fullmatch(name) else ""
    if path.endswith(".safetensors") or os.path.getsize(path) > LFS_BYTES:
        return sha256_of(path)
    return blob_id(path)


def sha256(path: str) -> str:
    """The sha256 of a file. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blob_id(path: str) -> str:
    """The id that git gives to the content of a file: sha1 of a header and the content. Raises OSError."""
    with open(path, "rb") as file:
        content = file.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _file(info: dict[str, Any]) -> HubFile:
    return HubFile(info.get("lfs_size") or info["size"], info.get("lfs_sha256") or info["blob_id"])


def _has_size(path: str, size: int) -> bool:
    try:
        return os.path.getsize(path) == size
    except OSError:
        return False
