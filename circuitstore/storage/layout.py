"""Where everything in a store lies, and whether a directory is a store at all.

Every path of the format (`store/README.md`) is made here and nowhere else. Imports neither numpy nor zarr: a
build that has nothing to do looks only at paths and records.
"""

from __future__ import annotations

import os

import msgspec

from circuitstore.errors import MissingError, StoreError, UsageError

FORMAT = "circuitstore"
VERSION = 1
NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
FOLDERS = ("objects", "actions", "artifacts", "refs")
PROBE_BYTES = 1 << 16
HEXADECIMAL = frozenset("0123456789abcdef")
BYSTANDERS = {
    "README.md",
    ".gitignore",
    ".gitkeep",
    ".DS_Store",
    "lost+found",
    "tmp",
}  # may lie in a directory that becomes a store


def safe_name(name: str, what: str) -> str:
    """`name` if it may become a file name of the store. Raises UsageError."""
    if not 0 < len(name) <= 100 or not NAME_CHARACTERS.issuperset(name) or name[0] in "._-":
        raise UsageError(
            f"{what} {name!r}",
            expected="a letter or digit, then letters, digits, '.', '_' and '-'",
            got=repr(name),
        )
    return name


def is_hash(text: str) -> bool:
    """Whether this is a sha256 as the store writes it."""
    return len(text) == 64 and HEXADECIMAL.issuperset(text)


class Store:
    """One store directory. Making the object touches nothing; `check` reads, `create` writes."""

    def __init__(self, root: str | os.PathLike[str]):
        self.root = os.path.abspath(os.fspath(root))

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def object(self, object_id: str) -> str:
        """Folder of one committed batch of cells."""
        if not is_hash(object_id):  # ids are read from files that others wrote: no path may hide in one
            raise StoreError(
                f"object id in {self.root}", expected="64 hexadecimal digits", got=repr(object_id[:80])
            )
        return self.path("objects", object_id[:2], object_id)

    def actions(self, phase: str) -> str:
        """Folder of the journals of one phase."""
        return self.path("actions", safe_name(phase, "phase"))

    def artifact(self, key: str) -> str:
        if not is_hash(key):
            raise StoreError(
                f"artifact key in {self.root}", expected="64 hexadecimal digits", got=repr(key[:80])
            )
        return self.path("artifacts", key + ".json")

    def ref(self, profile: str, behaviour: str, phase: str) -> str:
        names = safe_name(profile, "profile"), safe_name(behaviour, "behaviour"), safe_name(phase, "phase")
        return self.path("refs", *names[:2], names[2] + ".json")

    def reviews(self, profile: str, behaviour: str) -> str:
        """Folder of what reviewers said of one behaviour's features."""
        return self.path("inputs", "review", safe_name(profile, "profile"), safe_name(behaviour, "behaviour"))

    def pins(self) -> str:
        """Folder of what repositories were taken for."""
        return self.path("inputs", "hub")

    def object_ids(self) -> list[str]:
        """Ids of all committed objects, sorted."""
        top = self.path("objects")
        prefixes = sorted(os.listdir(top)) if os.path.isdir(top) else []
        names = [
            n
            for p in prefixes
            if os.path.isdir(os.path.join(top, p))
            for n in os.listdir(os.path.join(top, p))
        ]
        return sorted(name for name in names if is_hash(name))

    def exists(self) -> bool:
        return os.path.isfile(self.path("format.json"))

    def check(self) -> Store:
        """Refuse what is not a store of this format; returns itself.

        Raises StoreError, MissingError (no such store yet).
        """
        try:
            with open(self.path("format.json"), "rb") as file:
                raw = file.read(4096)
        except NotADirectoryError:
            raise StoreError(
                f"store {self.root}", expected="a directory", got="a file", remedy="name another with --store"
            ) from None
        except PermissionError:
            raise StoreError(
                f"store {self.root}", expected="readable files", got="permission denied"
            ) from None
        except FileNotFoundError:
            self._refuse_foreign()
            raise MissingError(
                f"store {self.root}", got="nothing there yet", remedy="run `circuitstore build` first"
            ) from None
        self._check_format(raw)
        return self

    def _check_format(self, raw: bytes) -> None:
        where = self.path("format.json")
        wanted = f'{{"format": "{FORMAT}", "version": {VERSION}}}'
        try:
            found = msgspec.json.decode(raw, type=dict)
        except msgspec.DecodeError:
            raise StoreError(
                where, expected=wanted, got=repr(raw[:60]), remedy="restore the file from a copy"
            ) from None
        if found.get("format") != FORMAT:
            raise StoreError(
                where,
                expected=wanted,
                got=found,
                remedy="this is no circuitstore store; name another with --store",
            )
        if found.get("version") != VERSION:
            remedy = "use the version of circuitstore that wrote it, or another --store"
            raise StoreError(
                where, expected=f"format version {VERSION}", got=found.get("version"), remedy=remedy
            )

    def _refuse_foreign(self) -> None:
        if os.path.exists(self.root) and not os.path.isdir(self.root):
            raise StoreError(
                f"store {self.root}", expected="a directory", got="a file", remedy="name another with --store"
            )
        strangers = sorted(set(os.listdir(self.root)) - BYSTANDERS) if os.path.isdir(self.root) else []
        if strangers and not self.exists():
            raise StoreError(
                f"store {self.root}",
                expected="an empty directory or one with format.json",
                got=f"other files ({', '.join(strangers[:3])})",
                remedy="name another with --store",
            )

    def check_or_new(self) -> Store:
        """As `check`, but a place where a store can be made is accepted too. Writes nothing."""
        try:
            return self.check()
        except MissingError:
            parent = self.root
            while not os.path.exists(parent):
                parent = os.path.dirname(parent)
            if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
                raise StoreError(
                    f"store {self.root}",
                    expected="a directory that can be written",
                    got=f"{parent} is not",
                    remedy="name another with --store",
                ) from None
            return self

    def free_bytes(self) -> int:
        """How much the disk of the store, or of the place where it will be, has room for."""
        import shutil

        return shutil.disk_usage(_standing(self.root)).free

    def create(self) -> Store:
        """Make the store if it is not there; returns itself. Raises StoreError."""
        if self.exists():
            return self.check()
        self._refuse_foreign()
        try:
            with (
                self.scratch() as scratch
            ):  # format.json first: whatever else lies there without it would be foreign
                draft = os.path.join(scratch, "format.json")
                with open(draft, "w", encoding="ascii") as file:
                    file.write(f'{{"format": "{FORMAT}", "version": {VERSION}}}\n')
                publish_file(draft, self.path("format.json"))
            for folder in FOLDERS:
                os.makedirs(self.path(folder), exist_ok=True)
        except OSError as error:
            raise self.unwritable(error) from error
        return self

    def check_writable(self) -> None:
        """Raise StoreError unless a build can write everywhere it will have to; leaves nothing behind.

        Only a real write tells: permissions say nothing of read-only and full disks.
        """
        try:
            for folder in {_standing(self.path(name)) for name in ("tmp", *FOLDERS)}:
                probe = os.path.join(folder, f".probe-{os.getpid()}-{os.urandom(8).hex()}")
                with open(probe, "xb") as file:
                    try:
                        file.write(bytes(PROBE_BYTES))
                        file.flush()
                        os.fsync(file.fileno())
                    finally:
                        os.remove(probe)
        except OSError as error:
            raise self.unwritable(error) from error

    def unwritable(self, error: OSError) -> StoreError:
        """The error to raise when the file system refuses a write."""
        remedy = "free some space" if error.errno == 28 else "name another with --store"
        where = f"store {self.root}"
        if isinstance(error, NotADirectoryError) and isinstance(error.filename, str):
            where, remedy = f"{os.path.dirname(error.filename)} in the way of {where}", "move it away"
        expected, got = "a directory that can be written", error.strerror or error
        return StoreError(where, expected=expected, got=got, remedy=remedy)

    def scratch(self) -> Scratch:
        """A fresh folder under tmp/, removed on leaving the `with` block."""
        return Scratch(self.path("tmp"))


class Scratch:
    def __init__(self, parent: str):
        self.folder = os.path.join(parent, f"{os.getpid()}-{os.urandom(8).hex()}")

    def __enter__(self) -> str:
        os.makedirs(self.folder)
        return self.folder

    def __exit__(self, *_: object) -> None:
        import shutil  # here, since it costs 10 ms and reading a store has no scratch

        shutil.rmtree(
            self.folder, ignore_errors=True
        )  # what stays is scratch: safe to delete whenever nothing runs


def _standing(path: str) -> str:
    """The path itself, or the nearest above it that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def sync(path: str) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_file(draft: str, final: str) -> None:
    """Make a finished scratch file visible under its final name, replacing what was there.

    It appears at once and stays after a power failure.
    """
    os.makedirs(os.path.dirname(final), exist_ok=True)
    sync(draft)
    os.replace(draft, final)
    sync(os.path.dirname(final))
