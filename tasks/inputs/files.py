"""The files that an input is made of: named once, told by content, and all that loading can open.

`model`, `tokenizer` and `transcoders` each name their files, from the names in a place and from the small
files among them. That one list is hashed, and it is loaded from: `Files.view` makes a folder in which there
is nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from circuitstore.engine.task import Sources
from circuitstore.errors import ModelError, some_of
from circuitstore.hub.place import Place
from circuitstore.memo import shared
from circuitstore.models.config import parse_config, parse_yaml
from circuitstore.models.shards import INDEX

# Configurations count by what they say, so that line endings and blanks do not matter. Large files, and
# those that a program writes and nobody edits, count by their bytes.
CONFIGS = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.yaml",
)


class File(NamedTuple):
    """One file of a place."""

    place: Place
    name: str


@dataclass(frozen=True)
class Files:
    """All files of one input, most of them in the place `home`."""

    home: Place
    files: tuple[File, ...]

    def identity(self) -> dict[str, Any]:
        """What the input is: where its place is from, and the digest of every file. Raises ModelError.

        A file goes by its name, and one of another place by its address.
        """
        names = [name if place == self.home else place.address(name) for place, name in self.files]
        digests = [digest(file) for file in self.files]
        return {**self.home.origin, "files": dict(zip(names, digests, strict=True))}

    def sources(self) -> Sources:
        """What may be read for it on this machine: its files, in folders where nothing else may be."""
        places = list(dict.fromkeys([self.home, *(place for place, _ in self.files)]))
        paths = [place.path(name) for place, name in self.files]
        return Sources(paths, [place.path("") for place in places])

    def missing(self) -> bool:
        """Whether a file has to be downloaded first. Raises ModelError."""
        return any(place.missing(names) for place, names in self._by_place())

    def check(self) -> list[str]:
        """Raise ModelError for files that cannot be had; what a user should know all the same, in lines."""
        return [note for place, names in self._by_place() for note in place.check(names)]

    def fetch(self) -> None:
        """Have the files on this machine, complete and unaltered. Raises ModelError."""
        for place, names in self._by_place():
            place.fetch(names)

    @contextmanager
    def view(self) -> Iterator[str]:
        """A folder with links to the files of `home`, and with nothing else, for as long as it is needed.

        Libraries look for further files beside those they are given. Here they find none, so what they read
        is what was hashed. A ModelError raised inside names the files as they are called in their own place.
        """
        from tempfile import TemporaryDirectory  # 4 ms, which a build with nothing to do should not pay

        folder = self.home.path("")
        with TemporaryDirectory(prefix="circuitstore-") as parent:
            linked = os.path.join(os.path.realpath(parent), os.path.basename(folder) or "files")
            for _, name in self.files:
                link = os.path.join(linked, *name.split("/"))
                os.makedirs(os.path.dirname(link), exist_ok=True)
                os.symlink(os.path.abspath(self.home.path(name)), link)
            try:
                yield linked
            except ModelError as error:
                parts = (error.where, error.expected, error.got, error.remedy)
                where, expected, got, remedy = (
                    None if part is None else str(part).replace(linked, folder) for part in parts
                )
                raise type(error)(where or "", expected=expected, got=got, remedy=remedy) from error

    def _by_place(self) -> list[tuple[Place, list[str]]]:
        places: list[Place] = []
        for place, _ in self.files:
            if place not in places:
                places.append(place)
        return [(place, [name for where, name in self.files if where == place]) for place in places]


def of(home: Place, files: Iterable[File]) -> Files:
    """The files of an input, each once, in this order."""
    return Files(home, tuple(dict.fromkeys(files)))


def required(place: Place, names: Sequence[str], what: str, remedy: str) -> list[File]:
    """These files of a place. Raises ModelError, saying what they are, unless it has them all."""
    if missing := [name for name in names if not place.has(name)]:
        got = "no such file" if len(names) == 1 else "no " + some_of(missing, 3, ", ")
        expected = some_of(names, 3, ", ")
        raise ModelError(f"{what} in {place}", expected=expected, got=got, remedy=remedy)
    return [File(place, name) for name in names]


def digest(file: File) -> str:
    """The digest of a file's bytes, or of a configuration's content (sha256). Raises ModelError."""
    place, name = file
    if not (name.rpartition("/")[2] in CONFIGS or name.endswith(INDEX)):
        return place.digest(name)
    content = parsed(place, name)
    # In the order of the file, for what reads a mapping may go through it in order.
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def parsed(place: Place, name: str) -> dict[str, Any]:
    """The content of a small JSON or YAML file, which must be a mapping. Raises ModelError."""
    source, where = place.read(name), f"{name} in {place}"
    if name.endswith(".yaml"):
        return _parsed_yaml(source, where)
    return parse_config(source, where)


def _parsed_yaml(source: bytes, where: str) -> dict[str, Any]:
    """What a YAML file says, as JSON would hold it; remembered, since importing a parser takes 15 ms."""
    key = "yaml " + hashlib.sha256(source).hexdigest()
    if (content := shared().get(key)) is None:
        mapping = msgspec.json.encode(parse_yaml(source, where))
        content = msgspec.json.decode(mapping, type=dict[str, Any])
        shared().put(key, content)
    return dict(content)
