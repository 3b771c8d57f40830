"""Leases: which builds are at work in a store, and on which cells.

A lease saves double work and keeps `gc` off what a build uses. No result depends on it: builds are right
without leases, and one that is wrongly believed costs time. Each build has two files:

    leases/BUILD.build      host, process and boot, as JSON; its time of change is when the build began
    leases/BUILD.claims     the same and the keys of the cells that are being computed, by phase

The second is touched every few seconds. A build is *at work* while its file was touched lately by the clock
of the file system, which is the same for all machines that share it, and while its process is there, if that
can be known: process numbers mean something only within one boot and one process namespace of a machine.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache

import msgspec

from circuitstore.errors import StoreError
from circuitstore.storage.files import listing, read_bytes
from circuitstore.storage.layout import Store
from circuitstore.storage.modes import share
from circuitstore.storage.scratch import machine, runs

BEAT_SECONDS, STALE_SECONDS = 5.0, 60.0
TURN_SECONDS = 10.0  # the longest that one build keeps others from claiming cells
LOOK_SECONDS = 0.01
ATTEMPTS = 10  # at writing a file whose folder others remove
_own: set[str] = set()  # names of the leases of this process that have not ended
BUILD, CLAIMS, TURN = ".build", ".claims", ".turn"
FOLDER = "leases"
MOST_BYTES = 1 << 26


class Holder(msgspec.Struct, frozen=True):
    """A build as its lease tells of it. claims: phase → keys of the cells that it is computing."""

    host: str
    process: int
    boot: str
    claims: dict[str, list[str]] = {}

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


class Lease:
    """The lease of one build: taken at the start of a `with` block, given up at its end."""

    def __init__(self, store: Store):
        self.store = store
        self.name = f"{machine()}-{os.getpid()}-{os.urandom(8).hex()}"
        self._claims: dict[str, set[str]] = {}
        self._lock = threading.Lock()  # batches are claimed and released by several threads
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._made_store = not os.path.lexists(self.store.root)
        _own.add(self.name)
        try:
            self._write(CLAIMS)  # first, so that whoever sees the other one sees that it is alive
            self._write(BUILD)
        except OSError as error:
            _own.discard(self.name)
            raise self.store.unwritable(error) from error
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._beating.join()
        _own.discard(self.name)  # a lease that cannot be removed now holds up no later build of this process
        for ending in (BUILD, CLAIMS):
            with contextlib.suppress(OSError):
                os.unlink(self._path(ending))
        if self._made_store and not self.store.exists():  # a build that was refused leaves nothing
            with contextlib.suppress(OSError):  # others may have theirs there
                os.rmdir(self.store.path(FOLDER))
                os.rmdir(self.store.root)

    @property
    def file(self) -> str:
        """The file that is there, in this store alone, for as long as the build lasts."""
        return self._path(BUILD)

    def claimed(self, phase: str) -> dict[str, Holder]:
        """Key → who computes it, for the cells of a phase that other builds are computing."""
        found = {}
        for name, holder in _at_work(self.store, self._now()):
            if name != self.name:
                found.update(dict.fromkeys(holder.claims.get(phase, ()), holder))
        return found

    def claim(self, phase: str, keys: Iterable[str]) -> None:
        """Say that these cells are being computed."""
        with self._lock:
            self._claims.setdefault(phase, set()).update(keys)
            self._say()

    def release(self, phase: str, keys: Iterable[str] | None = None) -> None:
        """Say that these cells are computed, or that none of the phase is being computed any more."""
        with self._lock:
            claims = self._claims.get(phase, set())
            released = claims & set(claims if keys is None else keys)
            if released:
                self._claims[phase] = claims - released
                self._say()

    @contextmanager
    def turn(self, phase: str) -> Iterator[None]:
        """Keep others from claiming cells of a phase in this block, for two could claim the same.

        What stands in the way is waited for some seconds at most.
        """
        path = self.store.path(FOLDER, phase + TURN)
        taken = self._take_turn(path)
        try:
            yield
        finally:
            if taken:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def _take_turn(self, path: str) -> bool:
        deadline = time.monotonic() + TURN_SECONDS
        while True:
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                with open(descriptor, "w", encoding="ascii") as file:
                    file.write(self.name)
                share(self.store.root, [path])
                return True
            except FileExistsError:
                late = time.monotonic() > deadline
                if (late or self._left(path)) and not _removed(path):
                    return False
            except OSError:  # a lease only saves work: a store that refuses one can still be built in
                return False
            time.sleep(LOOK_SECONDS * (1 + os.getpid() % 8 / 8))  # not all at the same moments

    def _left(self, path: str) -> bool:
        """Whether a turn is that of a build that is no more."""
        try:
            name = read_bytes(self.store.root, path, 1 << 10).decode("ascii", "replace")
        except (OSError, StoreError):
            return False
        return bool(name) and name not in dict(_at_work(self.store, self._now()))

    def _now(self) -> float:
        """The time by the clock of the file system, in seconds."""
        try:
            os.utime(self._path(CLAIMS))
            return os.stat(self._path(CLAIMS)).st_mtime
        except OSError:
            return time.time()

    def _path(self, ending: str) -> str:
        return self.store.path(FOLDER, self.name + ending)

    def _say(self) -> None:
        """Write down what is claimed. What cannot be written costs others their time and nothing else."""
        with contextlib.suppress(OSError, StoreError):
            self._write(CLAIMS)

    def _write(self, ending: str) -> None:
        claims = {phase: sorted(keys) for phase, keys in self._claims.items() if keys}
        holder = Holder(machine(), os.getpid(), boot(), claims if ending == CLAIMS else {})
        draft = self.store.path(FOLDER, f".{self.name}{ending}")
        for attempt in range(ATTEMPTS):
            try:
                self.store.make_folder(os.path.dirname(draft))
                with open(draft, "wb") as file:
                    file.write(msgspec.json.encode(holder))
                share(self.store.root, [draft])
                os.replace(draft, self._path(ending))
                return
            except FileNotFoundError:  # a build that was refused has just removed the empty folder
                if attempt == ATTEMPTS - 1:
                    raise

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                os.utime(self._path(CLAIMS))
            except OSError:  # somebody took it for one that was left behind
                with self._lock:
                    self._say()


def builds(store: Store, now: float) -> list[tuple[Holder, float]]:
    """Builds that are at work, each with when it began, by the clock of the file system."""
    found = []
    for name, holder in _at_work(store, now, future=True):
        with contextlib.suppress(OSError):
            found.append((holder, os.stat(store.path(FOLDER, name + BUILD)).st_mtime))
    return found


def _removed(path: str) -> bool:
    """Remove a file; False where that is not allowed, or it is no file."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def sweep(store: Store, now: float) -> None:
    """Remove the leases of builds that are no more."""
    at_work = dict(_at_work(store, now, future=True))
    for entry in listing(store.root, store.path(FOLDER)):
        stem = os.path.splitext(entry.name.removeprefix("."))[0]
        with contextlib.suppress(OSError):
            old = now - entry.stat(follow_symlinks=False).st_mtime > STALE_SECONDS
            if entry.is_file(follow_symlinks=False) and stem not in at_work and old:
                os.unlink(entry.path)


def _at_work(store: Store, now: float, *, future: bool = False) -> Iterator[tuple[str, Holder]]:
    """Name and holder of each lease whose build is at work.

    One from the future is believed only with `future`: the clock of its machine, or ours, is wrong.
    """
    try:
        entries = listing(store.root, store.path(FOLDER))
    except StoreError:
        return
    for entry in entries:
        name, ending = os.path.splitext(entry.name)
        if ending != CLAIMS or name.startswith("."):
            continue
        try:
            age = now - entry.stat(follow_symlinks=False).st_mtime
            holder = msgspec.json.decode(read_bytes(store.root, entry.path, MOST_BYTES), type=Holder)
        except (OSError, StoreError, msgspec.MsgspecError, ValueError):
            continue  # it was just given up, or it is no lease
        here = holder.boot != "" and holder.boot == boot()
        gone = here and not (name in _own if holder.process == os.getpid() else runs(holder.process))
        if not gone and age <= STALE_SECONDS and (future or age >= -STALE_SECONDS):
            yield name, holder


@cache
def boot() -> str:
    """What process numbers depend on: this boot of this machine and its process namespace; "" if unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except (OSError, ValueError):
        return ""
