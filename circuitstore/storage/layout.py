"""Where everything in a store lies, and whether a directory is a store at all.

Every path of the format (`store/README.md`) is made here and nowhere else. Imports neither numpy nor zarr: a
build that has nothing to do looks only at paths and records.
"""

from __future__ import annotations

import os

import msgspec

from circuitstore.errors import DamageError, MissingError, StoreError, UsageError
from circuitstore.storage.files import check_folders, listing, read_bytes, sync
from circuitstore.storage.scratch import Scratch, sweep

FORMAT = "circuitstore"
VERSION = 1
NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
FOLDERS = ("objects", "actions", "artifacts", "refs")
NEVER_LINKS = (*FOLDERS, "inputs", "tmp", "quarantine")
PROBE_BYTES, FORMAT_BYTES = 1 << 16, 1 << 12
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
    if not is_name(name):
        raise UsageError(
            f"{what} {name!r}",
            expected="a letter or digit, then letters, digits, '.', '_' and '-'",
            got=repr(name),
        )
    return name


def is_name(text: str) -> bool:
    """Whether this may become a file name of the store."""
    return 0 < len(text) <= 100 and NAME_CHARACTERS.issuperset(text) and text[0] not in "._-"


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
        """Ids of all that lies where objects lie, sorted. Raises DamageError."""
        top = self.path("objects")
        prefixes = [entry.path for entry in listing(self.root, top) if entry.is_dir(follow_symlinks=False)]
        return sorted(e.name for path in prefixes for e in listing(self.root, path) if is_hash(e.name))

    def exists(self) -> bool:
        return os.path.isfile(self.path("format.json"))

    def check(self) -> Store:
        """Refuse what is not a store of this format; returns itself.

        Raises StoreError, MissingError (no such store yet).
        """
        self._refuse_file()
        try:
            raw = read_bytes(self.root, self.path("format.json"), FORMAT_BYTES)
        except FileNotFoundError:
            self._refuse_foreign()
            raise MissingError(
                f"store {self.root}", got="nothing there yet", remedy="run `circuitstore build` first"
            ) from None
        except DamageError as error:
            if isinstance(error.__cause__, PermissionError):
                raise StoreError(f"store {self.root}", expected="readable files", got=error.got) from None
            raise
        self._check_format(raw)
        for path in map(self.path, NEVER_LINKS):
            if os.path.islink(path):
                remedy = "put the folder itself in the place of the link"
                raise DamageError(path, expected="a folder", got="a link", remedy=remedy)
        return self

    def _check_format(self, raw: bytes) -> None:
        where = self.path("format.json")
        wanted = f'{{"format": "{FORMAT}", "version": {VERSION}}}'
        try:
            found = msgspec.json.decode(raw, type=dict)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise StoreError(
                where, expected=wanted, got=repr(raw[:60]), remedy="restore the file from a copy"
            ) from None
        if found.get("format") != FORMAT:
            raise StoreError(
                where,
                expected=wanted,
                got=repr(raw[:60]),
                remedy="this is no circuitstore store; name another with --store",
            )
        version = found.get("version")
        if type(version) is not int or version != VERSION:  # JSON's true would pass for 1
            remedy = "use the version of circuitstore that wrote it, or another --store"
            raise StoreError(
                where, expected=f"format version {VERSION}", got=repr(version)[:60], remedy=remedy
            )

    def _refuse_file(self) -> None:
        if not os.path.isdir(_standing(self.root)):
            raise StoreError(
                f"store {self.root}", expected="a directory", got="a file", remedy="name another with --store"
            )

    def _refuse_foreign(self) -> None:
        self._refuse_file()
        present = {entry.name for entry in listing(self.root, self.root)}
        strangers = sorted(present - BYSTANDERS)
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
                self.publish(draft, self.path("format.json"))
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

    def make_folder(self, folder: str) -> None:
        """Have a folder of the store, whose way there leads through no link. Raises DamageError, OSError."""
        inside = os.path.join(folder, ".")
        try:
            check_folders(self.root, inside)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            check_folders(self.root, inside)

    def publish(self, draft: str, final: str) -> None:
        """Make a finished scratch file visible under its final name, replacing what was there.

        It appears at once and stays after a power failure. Raises DamageError, OSError.
        """
        self.make_folder(os.path.dirname(final))
        sync(draft)
        if os.path.isdir(final) and not os.path.islink(final):  # a file cannot replace a folder
            quarantine(self, final)
        os.replace(draft, final)
        sync(os.path.dirname(final))

    def sweep(self) -> list[str]:
        """Remove the scratch that killed processes left (`circuitstore.storage.scratch`); its names."""
        return sweep(listing(self.root, self.path("tmp")))

    def scratch(self) -> Scratch:
        """A fresh folder under tmp/, removed on leaving the `with` block."""
        return Scratch(self.path("tmp"))


def _standing(path: str) -> str:
    """The path itself, or the nearest above it that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def quarantine(store: Store, path: str) -> str:
    """Move a damaged file or folder out of the way, never deleting it. Returns where it went."""
    target = store.path("quarantine", f"{os.path.basename(path)}-{os.urandom(4).hex()}")
    store.make_folder(os.path.dirname(target))
    os.rename(path, target)
    return target
