"""What an object says of itself: its cells and its files. Checked before anything of it is read.

Imports neither numpy nor zarr: a build with nothing to do checks manifests, sizes and nothing else.
"""

import os
import stat
from typing import TypeVar

import msgspec

from circuitstore.errors import DamageError, UnreadableError
from circuitstore.storage.files import check_folders, damaged, kind_of, listing, refused, sha256_of
from circuitstore.storage.layout import Store, is_hash
from circuitstore.storage.records import combined_hash, expect, read_record

MANIFEST, METADATA = "MANIFEST.json", "zarr.json"


class Manifest(msgspec.Struct, frozen=True):
    """What an object holds: content hash and coordinates of each cell, in row order, and every file."""

    object: str
    cells: list[str]
    coords: list[dict[str, str | int]]
    files: dict[str, tuple[int, str]]  # path below the object → size in bytes, sha256


class Files(msgspec.Struct, frozen=True):
    """The part of a manifest that says which files there must be."""

    object: str
    files: dict[str, tuple[int, str]]


class Contents(Files, frozen=True):
    """The same, and what its cells hold."""

    cells: list[str]


Listed = TypeVar("Listed", Manifest, Files, Contents)


def object_id(contents: list[str]) -> str:
    """Name of the object that holds cells of these contents in this order."""
    return combined_hash(contents, "object")


def read_manifest(store: Store, name: str) -> Manifest:
    """The manifest of an object, checked against its seal and its name. Raises DamageError."""
    manifest = _read(store, name, Manifest)
    path = os.path.join(store.object(name), MANIFEST)
    if object_id(manifest.cells) != name or len(manifest.coords) != len(manifest.cells):
        raise damaged(path, f"the manifest of {name[:12]}…", f"one of {len(manifest.cells)} other cells")
    return manifest


def _read(store: Store, name: str, kind: type[Listed]) -> Listed:
    path = os.path.join(store.object(name), MANIFEST)
    try:
        manifest = read_record(store, path, kind)
    except FileNotFoundError:
        raise damaged(path, "the object's manifest", "no such file") from None
    expect(path, "object", name, manifest.object)
    for file, (size, digest) in manifest.files.items():
        if not all(map(_is_part, file.split("/"))):
            raise damaged(path, "paths inside the object", ascii(file[:80]))
        if size < 0 or not is_hash(digest):
            raise damaged(path, "sizes and sha256 of files", f"others of {file[:80]!a}")
    return manifest


def _is_part(part: str) -> bool:
    return part not in ("", ".", "..") and "\\" not in part and part.isprintable() and len(part) <= 255


def check_files(store: Store, manifest: Manifest | Files, below: str = "") -> None:
    """Each file (of those below a folder) is there, no link on the way to it, and as long as it should be.

    Raises DamageError.
    """
    top = store.object(manifest.object)
    folders: set[str] = set()
    for file, (size, _) in manifest.files.items():
        if file.startswith(below):
            path = os.path.join(top, *file.split("/"))
            try:
                if (folder := os.path.dirname(path)) not in folders:
                    check_folders(store.root, path)
                    folders.add(folder)
                status = os.lstat(path)
            except FileNotFoundError:
                raise damaged(path, f"{size} bytes", "no such file") from None
            except OSError as error:
                raise refused(path, error) from error
            if not stat.S_ISREG(status.st_mode):
                raise damaged(path, "a regular file", kind_of(status.st_mode))
            if status.st_size != size:
                raise damaged(path, f"{size} bytes", f"{status.st_size} bytes")


def check_contents(store: Store, manifest: Manifest, *, metadata_only: bool = False) -> None:
    """Each file, or each that describes arrays, has the sha256 that is stated. Raises DamageError."""
    top = store.object(manifest.object)
    for file, (_, stated) in manifest.files.items():
        if not metadata_only or file.rpartition("/")[2] == METADATA:
            path = os.path.join(top, *file.split("/"))
            try:
                found = sha256_of(store.root, path)
            except FileNotFoundError:
                raise damaged(path, f"sha256 {stated[:12]}…", "no such file") from None
            if found != stated:
                raise damaged(path, f"sha256 {stated[:12]}…", f"{found[:12]}…")


def present_files(store: Store, folder: str) -> dict[str, tuple[int, str]]:
    """Size of each regular file below a folder, without its manifest, by path; links are passed over.

    Their sha256 is given as "". Raises DamageError.
    """
    found: dict[str, tuple[int, str]] = {}
    for entry in listing(store.root, folder):
        if entry.is_dir(follow_symlinks=False):
            below = present_files(store, entry.path)
            found |= {f"{entry.name}/{file}": stated for file, stated in below.items()}
        elif entry.is_file(follow_symlinks=False) and entry.name != MANIFEST:
            found[entry.name] = entry.stat(follow_symlinks=False).st_size, ""
    return found


def intact_cells(store: Store, name: str) -> list[str] | None:
    """The contents of an object's cells; None unless its manifest is unaltered and its files of full size."""
    manifest = _whole(store, name, Contents)
    return manifest.cells if manifest else None


def intact(store: Store, name: str) -> bool:
    """Whether the object's manifest is unaltered and all its files are present in full size."""
    return _whole(store, name, Files) is not None


def _whole(store: Store, name: str, kind: type[Listed]) -> Listed | None:
    """The manifest of an object that is intact.

    A build with nothing to do asks for every object, so it looks at each file once and at no folder in the
    object; reading checks more. Raises UnreadableError.
    """
    top = store.object(name) + "/"
    try:
        manifest = _read(store, name, kind)
        for file, (size, _) in manifest.files.items():
            status = os.lstat(top + file)
            if status.st_size != size or not stat.S_ISREG(status.st_mode):
                return None
    except (DamageError, FileNotFoundError):
        return None
    except OSError as error:
        if isinstance(unreadable := refused(top, error), UnreadableError):
            raise unreadable from error
        return None
    return manifest


def quarantined(store: Store) -> list[str]:
    """Names in `quarantine/`: each is that of a damaged file or folder, a hyphen and a random number.

    Raises DamageError.
    """
    return [entry.name for entry in listing(store.root, store.path("quarantine"))]
