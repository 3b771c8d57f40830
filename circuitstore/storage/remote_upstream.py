"""Upstream: stores that are looked into, in order, for what this one has not. They are never written to.

What is found is pulled, checked like all that is pulled, so that everything else reads one store. An upstream
may be any place: a colleague's folder that one may only read, a bucket, the hub. One that does not answer is
an error, for to compute for hours what it holds is no remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from circuitstore.errors import DamageError, LimitError, MissingError, UnreadableError, UsageError
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.catalog import lies
from circuitstore.storage.files import MOST_BYTES
from circuitstore.storage.index import Index
from circuitstore.storage.layout import Store
from circuitstore.storage.lease import Lease
from circuitstore.storage.refs import Name
from circuitstore.storage.remote import Folder, format_version, place
from circuitstore.storage.remote_fsspec import Remote
from circuitstore.storage.remote_kept import whole
from circuitstore.storage.remote_names import names_in
from circuitstore.storage.remote_pull import RECORDS, Pull
from circuitstore.storage.remote_work import Crew, Wanted


class Upstream:
    """The upstream of one store."""

    def __init__(self, store: Store, note: Callable[[str], None] = lambda text: None):
        """`note` hears of what was found there and cannot be taken."""
        self.store, self._note = store, note
        self._places: list[Folder | Remote] | None = None

    def inputs(self) -> bool:
        """Take the inputs that nobody can compute again; whether any were new."""
        return sum(self._each(at, Pull.inputs) for at in self._reached()) > 0  # of each of them

    def artifact(self, key: str) -> bool:
        """Have the artifact of this key here; whether it is."""
        return any(self._each(at, _taking(key)) for at in self._reached())

    def result(self, name: Name) -> bool:
        """Have the newest result of this name, without a behaviour those of all; whether anything came."""
        behaviours = (name.behaviour,) if name.behaviour else ()
        wanted = Wanted((name.phase,), behaviours, name.profile)
        for at in self._reached():
            try:
                names = wanted.of(names_in(at), at.name)
            except MissingError:
                continue
            if self._each(at, _running(names, wanted)):
                return True
        return False

    def chosen(self, choose: Callable[[Store], Mapping[str, Artifact]]) -> dict[str, Artifact]:
        """Have the artifacts here that a reader chooses by the records of a place, of the first that has any.

        The reader is given a store that holds the artifacts, refs and tags of the place, and nothing else. It
        raises MissingError or UsageError where it finds none.
        """
        for at in self._reached():
            keys: dict[str, str] = {}
            if self._each(at, lambda pull, keys=keys: _choosing(pull, choose, keys)):  # type: ignore[misc]
                here = {name: whole(self.store, key) for name, key in keys.items()}
                return {name: artifact for name, artifact in here.items() if artifact is not None}
        return {}

    def cells(self, phase: str, keys: Sequence[str]) -> bool:
        """Have cells of a phase by their keys, as far as they are anywhere; whether any came."""
        came = False
        for at in self._reached():
            came |= self._each(at, lambda pull: _cells(pull, phase, keys))
        return came

    def _reached(self) -> Iterator[Folder | Remote]:
        """The places in order, each with a store. Raises StoreError, MissingError."""
        if self._places is None:
            self._places = []
            for url in self.store.upstream:
                self._places.append(place(url))
                format_version(self._places[-1])
        yield from self._places

    def _each(self, at: Folder | Remote, action: Callable[[Pull], bool]) -> bool:
        self.store.create()
        with _pulling(self.store, at) as pull:
            came = action(pull)
        for failed in pull.report.failed:
            self._note(f"{failed.where} of {at.name} cannot be taken: {failed.problem}")
        for note in pull.report.notes:
            self._note(f"{at.name}: {note}")
        return came


@contextmanager
def _pulling(store: Store, at: Folder | Remote) -> Iterator[Pull]:
    try:
        with Lease(store), store.scratch() as scratch, Crew(at.threads, None) as crew:
            yield Pull(store, at, scratch, crew)
    except OSError as error:
        raise store.unwritable(error) from error


def _taking(key: str) -> Callable[[Pull], bool]:
    def take(pull: Pull) -> bool:
        pull.artifacts([key], ancestry=False)
        return whole(pull.store, key) is not None

    return take


def _running(names: Sequence[Name], wanted: Wanted) -> Callable[[Pull], bool]:
    return lambda pull: bool(pull.run(names, wanted).refs)


def _choosing(pull: Pull, choose: Callable[[Store], Mapping[str, Artifact]], keys: dict[str, str]) -> bool:
    """Take the artifacts that a reader chooses, and note their keys; whether all of them are here."""
    for kind in map(RECORDS.__getitem__, ("ref", "tag", "artifact")):
        paths = [path for path in pull.place.sizes(kind.folder[0]) if lies(kind, path)]
        pull.ensure(paths, MOST_BYTES)
    try:
        keys |= {name: artifact.key for name, artifact in choose(pull.stage).items()}
    except (MissingError, UsageError):
        return False
    except (DamageError, UnreadableError) as error:
        pull.fail("what is asked for", error)
        return False
    pull.artifacts(list(keys.values()), ancestry=False)
    return all(whole(pull.store, key) for key in keys.values())


def _cells(pull: Pull, phase: str, keys: Sequence[str]) -> bool:
    """Pull the objects that hold cells of these keys, with their journals."""
    kind = RECORDS["journal"]
    pull.those_that_come([path for path in pull.place.sizes(f"actions/{phase}") if lies(kind, path)])
    index = Index(pull.stage, phase)
    objects = dict.fromkeys(copy.object for key in keys for copy in index.copies(key)[:1])
    have = pull.crew.files(lambda name: _have(pull, name), objects)
    taken = [name for name, here in zip(objects, have, strict=True) if here]
    pull.publish(pull.journals(phase, taken))
    return bool(taken)


def _have(pull: Pull, name: str) -> bool:
    """Whether an object is here, or could be taken."""
    try:
        pull.object(name)
    except (DamageError, UnreadableError, LimitError) as error:
        pull.fail(f"object {name[:12]}…", error)
        return False
    return True
