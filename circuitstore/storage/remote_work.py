"""What a transfer between stores is about, how its parts run at once, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, TypeVar

import msgspec

from circuitstore.errors import MissingError, meant, some_of
from circuitstore.storage.format import VERSION
from circuitstore.storage.refs import Name
from circuitstore.storage.remote import StoppedError

MOST = 20  # names that an error lists
I = TypeVar("I")  # noqa: E741
T = TypeVar("T")


class Wanted(msgspec.Struct, frozen=True):
    """Which results travel: all that have one of these names, of what is named at all.

    `with_inputs` takes everything that they were computed from too.
    """

    phases: tuple[str, ...] = ()
    behaviours: tuple[str, ...] = ()
    profile: str = ""
    with_inputs: bool = False

    def of(self, names: Iterable[Name], where: str) -> list[Name]:
        """Those of these names that are wanted. Raises MissingError when there is none."""
        known = list(names)
        found = [
            name
            for name in known
            if (not self.phases or name.phase in self.phases)
            and (not self.behaviours or name.behaviour in self.behaviours)
            and self.profile in ("", name.profile)
        ]
        if not found and any((self.phases, self.behaviours, self.profile)):
            got = some_of(list(map(str, known)), MOST, ", ") or "nothing at all"
            remedy = " and ".join(filter(None, self._meant(known))) or None
            raise MissingError(where, expected=f"results of {self}", got=got, remedy=remedy)
        return found

    def _meant(self, known: Sequence[Name]) -> Iterator[str]:
        """Which names were probably meant by those that there are not."""
        for asked, there in (
            ((self.profile,), {name.profile for name in known}),
            (self.behaviours, {name.behaviour for name in known}),
            (self.phases, {name.phase for name in known}),
        ):
            yield from (meant(each, sorted(there)) for each in asked if each and each not in there)

    def __str__(self) -> str:
        parts = [self.profile or "any profile", "/".join(self.behaviours) or "any behaviour"]
        return ", ".join([*parts, "/".join(self.phases) or "any phase"])


def told_version(where: str) -> str:
    """That a store was raised to this version."""
    refused = "versions of circuitstore that know only the earlier one refuse it from now on"
    return f"store {where} is of format version {VERSION} now; {refused}"


class Failed(msgspec.Struct, frozen=True):
    """Something that did not travel."""

    where: str
    problem: str


class Report(msgspec.Struct):
    """What travelled; the keys of `push --json` and `pull --json`. What was there already is not counted."""

    artifacts: int = 0
    objects: int = 0
    bytes: int = 0
    inputs: int = 0  # reviews, answers and pins
    refs: list[str] = []  # names that mean another artifact now
    notes: list[str] = []  # what was kept as it was, and why
    failed: list[Failed] = []


class Progress(Protocol):
    """Hears how far a transfer is, from any thread."""

    def expect(self, count: int) -> None:
        """So many bytes more will travel."""

    def done(self, count: int) -> None:
        """So many of them have."""


class Crew:
    """The threads of one transfer, from `with` to the end of the block.

    Artifacts are worked on by one pool, and their files by another one, so that those who wait for files
    never take the place of those who fetch them.
    """

    def __init__(self, threads: int, progress: Progress | None):
        self.progress = progress
        self._outer = ThreadPoolExecutor(min(threads, 4), "artifact")
        self._inner = ThreadPoolExecutor(threads, "file")
        self._stopped = threading.Event()
        self._once: dict[str, Future[object]] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stopped.set()
        for pool in (self._outer, self._inner):
            pool.shutdown(wait=True, cancel_futures=kind is not None)

    def on_bytes(self, count: int) -> None:
        """Count bytes that travelled. Raises StoppedError once the transfer is given up."""
        if self._stopped.is_set():
            raise StoppedError
        if self.progress is not None and count:
            self.progress.done(count)

    def expect(self, count: int) -> None:
        """Count bytes that will travel."""
        if self.progress is not None:
            self.progress.expect(count)

    def files(self, function: Callable[[I], T], items: Iterable[I]) -> list[T]:
        """The results of a function that works on one file or object; raises the first error, at the end."""
        return _results([self._inner.submit(function, item) for item in items])

    def files_once(self, function: Callable[[str], object], names: Iterable[str]) -> None:
        """The same for names of which each is done once, whoever asks for it."""
        with self.lock:
            for name in (names := list(names)):
                if name not in self._once:
                    self._once[name] = self._inner.submit(function, name)
            waiting = [self._once[name] for name in names]
        _results(waiting)

    def artifacts(self, function: Callable[[I], T], items: Iterable[I]) -> list[T]:
        """The results of a function that works on one artifact, and may call `files`."""
        return _results([self._outer.submit(function, item) for item in items])


def _results(futures: Sequence[Future[T]]) -> list[T]:
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise errors[0]
    return [future.result() for future in futures]
