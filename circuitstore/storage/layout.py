"""Where everything in a store lies, and whether a directory is a store at all.

Every path of the format (`store/README.md`) is made here and nowhere else. Imports neither numpy nor zarr: a
build that has nothing to do looks only at paths and records.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

from circuitstore.errors import DamageError, MissingError, StoreError, UsageError
from circuitstore.storage.files import OF_WINDOWS, listing, read_bytes, sync
from circuitstore.storage.format import FORMAT_BYTES, VERSION, headless_store, no_folder, stated, version_in
from circuitstore.storage.modes import make_folder, refuse_closed, share, standing
from circuitstore.storage.scratch import Scratch, sweep

NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
FOLDERS = ("objects", "actions", "pieces", "artifacts", "refs")
NEVER_LINKS = (*FOLDERS, "tags", "index", "inputs", "tmp", "leases", "quarantine")
PROBE_BYTES = 1 << 16
HEXADECIMAL = frozenset("0123456789abcdef")
# May lie in a directory that becomes a store.
BYSTANDERS = {"README.md", ".gitignore", ".gitkeep", ".DS_Store", "lost+found", "tmp", "leases", *OF_WINDOWS}


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


def all_hashes(texts: list[str]) -> bool:
    """Whether each of many texts is a sha256, in a tenth of the time."""
    digits = "".join(texts).encode(errors="replace")
    return set(map(len, texts)) <= {64} and not digits.translate(None, b"0123456789abcdef")


class Store:
    """One store directory. Making the object touches nothing; `check` reads, `create` writes."""

    def __init__(self, root: str | os.PathLike[str], upstream: Sequence[str] = ()):
        """`upstream` are places to look into, in order, for what is not here."""
        self.root, self.upstream = os.path.abspath(os.fspath(root)), tuple(upstream)
        self._seen = False  # whether there has been a store
        self._device = 0  # on which it is

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_device": 0}  # another machine of a cluster has other numbers

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

    def piece(self, name: str) -> str:
        """File of one node or leaf of artifacts."""
        if not is_hash(name):
            raise StoreError(f"piece in {self.root}", expected="64 hexadecimal digits", got=repr(name[:80]))
        return self.path("pieces", name[:2], name + ".json")

    def index(self, phase: str) -> str:
        """File that says in which journals of a phase a key is."""
        return self.path("index", safe_name(phase, "phase"))

    def ref(self, profile: str, behaviour: str, phase: str) -> str:
        names = safe_name(profile, "profile"), safe_name(behaviour, "behaviour"), safe_name(phase, "phase")
        return self.path("refs", *names[:2], names[2] + ".json")

    def tag(self, name: str) -> str:
        return self.path("tags", safe_name(name, "tag") + ".json")

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
        version_in(raw, self.path("format.json"))
        self._seen = True
        for path in map(self.path, NEVER_LINKS):
            if os.path.islink(path):
                remedy = "put the folder itself in the place of the link"
                raise DamageError(path, expected="a folder", got="a link", remedy=remedy)
        return self

    def _refuse_file(self) -> None:
        if not os.path.isdir(standing(self.root)):
            raise no_folder(self.root)

    def _refuse_foreign(self) -> None:
        self._refuse_file()
        present = {entry.name for entry in listing(self.root, self.root)}
        strangers = sorted(present - BYSTANDERS)
        if strangers and not self.exists():
            if headless := headless_store(present, f"store {self.root}"):
                raise headless
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

        return shutil.disk_usage(standing(self.root)).free

    def version(self) -> int:
        """Of the format of a store that is there. Raises StoreError, FileNotFoundError."""
        path = self.path("format.json")
        return version_in(read_bytes(self.root, path, FORMAT_BYTES), path)

    def create(self) -> Store:
        """Have a store of this version: made if there is none, and raised to it if it is of an earlier one.

        Nothing in it changes but `format.json`, so that programs which know only the earlier version refuse
        what is about to be written. Returns itself. Raises StoreError.
        """
        if self.exists():
            self.check()
            if self.version() == VERSION:
                return self
        else:
            if self._seen:
                raise self.unwritable(self._gone())
            self._refuse_foreign()
        try:
            with self.scratch() as scratch:  # format.json first: without it, all else would be foreign
                draft = os.path.join(scratch, "format.json")
                with open(draft, "w", encoding="ascii") as file:
                    file.write(stated(VERSION) + "\n")
                self.publish(draft, self.path("format.json"))
            self._seen = True
            for folder in FOLDERS:
                self.make_folder(self.path(folder))
        except OSError as error:
            raise self.unwritable(error) from error
        return self

    def check_writable(self) -> None:
        """Raise StoreError unless a build can write everywhere it will have to; leaves nothing behind.

        Only a real write tells: permissions say nothing of read-only and full disks. They are asked of the
        many folders that other users may have made.
        """
        refuse_closed(self.root, (*FOLDERS, "index", "inputs", "tmp", "leases"))
        try:
            for folder in {standing(self.path(name)) for name in ("tmp", *FOLDERS)}:
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
        other = self._device not in (0, os.stat(standing(self.root)).st_dev)
        if other or (self._seen and not self.exists()):  # its disk was taken away: none is begun in its place
            raise self._gone()
        if not self._seen:
            os.makedirs(self.root, exist_ok=True)
        self._device = os.stat(self.root).st_dev
        make_folder(self.root, folder)

    def _gone(self) -> OSError:
        return FileNotFoundError(errno.ENOENT, "the store is no longer there", self.root)

    def publish(self, draft: str, final: str) -> None:
        """Make a finished scratch file visible under its final name, replacing what was there.

        It appears at once and stays after a power failure. Raises DamageError, OSError.
        """
        self.publish_all({final: draft})

    def publish_all(self, drafts: Mapping[str, str]) -> None:
        """The same of many files, final name → scratch file: all on the disk before one is visible."""
        folders = dict.fromkeys(map(os.path.dirname, drafts))
        for folder in folders:
            self.make_folder(folder)
        share(self.root, drafts.values())
        for draft in drafts.values():
            sync(draft)
        for final, draft in drafts.items():
            if os.path.isdir(final) and not os.path.islink(final):  # a file cannot replace a folder
                quarantine(self, final)
            os.replace(draft, final)
        for folder in folders:
            sync(folder)

    def sweep(self) -> list[str]:
        """Remove the scratch that killed processes left (`circuitstore.storage.scratch`); its names."""
        return sweep(listing(self.root, self.path("tmp")))

    def scratch(self) -> Scratch:
        """A fresh folder under tmp/, removed on leaving the `with` block. Raises DamageError, OSError."""
        self.make_folder(self.path("tmp"))
        return Scratch(self.path("tmp"))


def quarantine(store: Store, path: str) -> str:
    """Move a damaged file or folder out of the way, never deleting it. Returns where it went."""
    target = store.path("quarantine", f"{os.path.basename(path)}-{os.urandom(4).hex()}")
    store.make_folder(os.path.dirname(target))
    os.rename(path, target)
    return target
