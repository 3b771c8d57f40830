"""Places: where a store lies that is not this one: a folder, a bucket, a repository of the hub, another host.

A place has the layout of a store (`store/README.md`), so a folder that was pushed to is a store, and a store
that was copied to a bucket can be pulled from. What is read of a place may come from a stranger: sizes are
bounded here, and `remote_pull` believes nothing that it has not checked.

A folder is read by the store's own means, without links. All other places are reached through fsspec, which
is imported when one is (`remote_fsspec`, `remote_hub`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from circuitstore.errors import MissingError, StoreError, UsageError
from circuitstore.storage.files import MOST_BYTES, damaged, listing, open_regular
from circuitstore.storage.format import FOLDERS, FORMAT_BYTES, headless_store, version_in
from circuitstore.storage.layout import Store

if TYPE_CHECKING:
    from circuitstore.storage.remote_fsspec import Remote

BLOCK = 1 << 23
DEEPEST = 4  # folders; records lie no deeper, and a stranger's folders may lie as deep as they like


class StoppedError(Exception):
    """The transfer was given up elsewhere: by Ctrl-C, or because another part of it failed."""


class Group(NamedTuple):
    """Files that become visible together, or in this order: path in the place → file here."""

    files: Mapping[str, str]
    folder: str = ""  # that holds all of them, and may be put there in one


class Place(Protocol):
    """Something that holds, or can hold, a store."""

    name: str
    threads: int

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Size in bytes of each file below a folder, by path below the place. Raises StoreError."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A file to read from. Raises FileNotFoundError, StoreError."""


def read_all(place: Place, path: str, most: int = MOST_BYTES) -> bytes:
    """All bytes of a small file of a place. Raises FileNotFoundError, StoreError."""
    data = bytearray()
    with place.open(path) as file:
        while len(data) <= most and (more := file.read(min(BLOCK, most + 1 - len(data)))):
            data += more
    if len(data) > most:
        raise damaged(f"{place.name}/{path}", f"at most {most} bytes", "more")
    return bytes(data)


def fetch(
    place: Place, path: str, target: str, most: int, on_bytes: Callable[[int], None], *, exactly: bool = False
) -> None:
    """Write a file of a place to a new file here, if it has at most, or exactly, so many bytes.

    Raises FileNotFoundError, StoreError, and OSError for what is wrong here.
    """
    left = most
    with place.open(path) as file, open(target, "xb") as out:
        while left > 0 and (more := file.read(min(BLOCK, left))):
            left -= len(more)
            out.write(more)
            on_bytes(len(more))
        if (exactly and left) or file.read(1):
            expected = f"{'' if exactly else 'at most '}{most} bytes"
            raise damaged(f"{place.name}/{path}", expected, "fewer" if left else "more")


def format_version(place: Place) -> int:
    """The version of the store that a place holds. Raises MissingError, StoreError."""
    try:
        raw = read_all(place, "format.json", FORMAT_BYTES)
    except FileNotFoundError:
        present = [folder for folder in set().union(*FOLDERS.values()) if place.sizes(folder)]
        if headless := headless_store(present, place.name):
            raise headless from None
        remedy = "push to it first, or correct the address"
        raise MissingError(place.name, expected="a store", got="no format.json", remedy=remedy) from None
    return version_in(raw, f"{place.name}/format.json")


class Folder:
    """A place that is a folder of this machine. It is only read: what is written to one is pulled there."""

    def __init__(self, root: str):
        self.store, self.name, self.threads = Store(root), os.path.abspath(root), 4

    def sizes(self, folder: str = "") -> dict[str, int]:
        found: dict[str, int] = {}
        top = self.store.path(*folder.split("/")) if folder else self.store.root
        for entry in listing(self.store.root, top):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False) and path.count("/") < DEEPEST:
                found |= self.sizes(path)
            elif entry.is_file(follow_symlinks=False):
                found[path] = entry.stat(follow_symlinks=False).st_size
        return found

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        with open_regular(self.store.root, self.store.path(*path.split("/"))) as file:
            yield file


def place(url: str) -> Folder | Remote:
    """The place at an address: a path, or a URL that fsspec knows, such as `s3://bucket/store`.

    Raises UsageError, StoreError.
    """
    if not url:
        raise UsageError("address of a store", expected="a path or a URL", got="nothing")
    refuse_other_file(url)
    if folder := folder_of(url):
        return Folder(folder)
    if url.startswith("hf://"):
        from circuitstore.storage.remote_hub import Hub

        hub: Remote = Hub(url)
        return hub
    from circuitstore.storage.remote_fsspec import Remote

    return Remote(url)


def refuse_other_file(url: str) -> None:
    """Raise StoreError for an address of a file of this machine that cannot hold a store."""
    path = url if is_zip(url) else folder_of(url)
    if os.path.isfile(path):
        import zipfile

        packed = zipfile.is_zipfile(path)
        if not (packed and is_zip(url)):
            got = "a zip file of another name" if packed else "a file of another kind"
            remedy = "rename it to end in .zip" if packed else "correct the address"
            expected = "a folder, or a zip file whose name ends in .zip"
            raise StoreError(shown(url), expected=expected, got=got, remedy=remedy)


def folder_of(url: str) -> str:
    """The folder that an address names; "" if it names something else."""
    if url.startswith("file://"):
        return unquote(urlsplit(url).path)
    return "" if "://" in url or is_zip(url) else url


def is_zip(url: str) -> bool:
    """Whether an address is a path of a zip file."""
    return url.endswith(".zip") and "://" not in url and not os.path.isdir(url)


def shown(url: str) -> str:
    """An address as it may be shown: without a password and what else it says of its user's secrets."""
    return re.sub(r"(://[^/@]*?):[^/@]*@", r"\1:…@", url).partition("?")[0].rstrip("/")
