"""What an object says of itself: its cells and its files. Checked before anything of it is read.

Imports neither numpy nor zarr: a build with nothing to do checks manifests, sizes and nothing else.
"""

import hashlib
import os
import stat

import msgspec

from circuitstore.errors import DamageError
from circuitstore.storage.layout import Store
from circuitstore.storage.records import combined_hash, damaged, read_record

MANIFEST = "MANIFEST.json"


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


def object_id(contents: list[str]) -> str:
    """Name of the object that holds cells of these contents in this order."""
    return combined_hash(contents, "object")


def file_sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(store: Store, name: str) -> Manifest:
    """The manifest of an object, checked against its seal and its name. Raises DamageError."""
    path = os.path.join(store.object(name), MANIFEST)
    try:
        manifest = read_record(path, Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise damaged(path, "the object's manifest", "no such file") from None
    if manifest.object != name or object_id(manifest.cells) != name:
        raise damaged(path, f"the manifest of {name[:12]}…", manifest.object[:12] + "…")
    for file in manifest.files:
        if file.startswith("/") or "\\" in file or ".." in file.split("/"):
            raise damaged(path, "paths inside the object", repr(file))
    return manifest


def check_files(store: Store, manifest: Manifest | Files, below: str = "") -> None:
    """Each file (of those below a folder) is there, no link on the way to it, and as long as it should be.

    Raises DamageError.
    """
    top = store.object(manifest.object)
    folders = {top}
    for file, (size, _) in manifest.files.items():
        if file.startswith(below):
            path = os.path.join(top, *file.split("/"))
            try:
                status = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                raise damaged(path, f"{size} bytes", "no such file") from None
            if not stat.S_ISREG(status.st_mode):
                raise damaged(path, "a regular file", "a link or folder")
            if status.st_size != size:
                raise damaged(path, f"{size} bytes", f"{status.st_size} bytes")
            while (path := os.path.dirname(path)) not in folders:
                folders.add(path)
    for folder in folders:
        if os.path.islink(folder):
            raise damaged(folder, "a folder", "a link")


def has_links(folder: str) -> bool:
    """Whether a folder is a link or has one in it."""
    inside = (os.path.join(at, name) for at, folders, files in os.walk(folder) for name in (*folders, *files))
    return os.path.islink(folder) or any(map(os.path.islink, inside))


def intact(store: Store, name: str) -> bool:
    """Whether the object's manifest is unaltered and all its files are present in full size.

    A build with nothing to do asks this of every object, so it looks at each file once and at no folder;
    reading checks more.
    """
    top = store.object(name) + "/"
    try:
        manifest = read_record(top + MANIFEST, Files)
        for file, (size, _) in manifest.files.items():
            status = os.lstat(top + file)
            if status.st_size != size or not stat.S_ISREG(status.st_mode):
                return False
    except (DamageError, FileNotFoundError, NotADirectoryError):
        return False
    return manifest.object == name


def quarantine(store: Store, path: str) -> str:
    """Move a damaged file or folder out of the way, never deleting it. Returns where it went."""
    target = store.path("quarantine", f"{os.path.basename(path)}-{os.urandom(4).hex()}")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.rename(path, target)
    return target


def quarantined(store: Store) -> list[str]:
    """Names in `quarantine/`: each is that of a damaged file or folder, a hyphen and a random number."""
    folder = store.path("quarantine")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
