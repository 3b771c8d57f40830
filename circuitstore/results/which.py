"""Which of several results of one name is meant: the newest, or one by its key, its tag or its settings.

A name stands for the newest artifact. Others that were built under it, with other settings or prompts, are
still in the store. An artifact that is named by its tag or its key also stands for those that it was made
from: with the tag of a graph, the features are those that the graph was made of.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from circuitstore import pipeline
from circuitstore.errors import MissingError, UsageError, some_of
from circuitstore.results.configured import with_settings
from circuitstore.results.defaults import profile_name
from circuitstore.storage.artifact import Artifact, ancestry, read_artifact
from circuitstore.storage.layout import HEXADECIMAL, Store
from circuitstore.storage.records import ENDING, record_paths
from circuitstore.storage.refs import Name, read_ref
from circuitstore.storage.tags import find_tag, tagged

LEAST_KEY = 6  # digits of a key that is cut short
MOST = 5  # keys that an error lists


class Which(msgspec.Struct, frozen=True):
    """Which result is meant; the newest when nothing is said.

    key: that of an artifact, or how it begins; tag: a tag; settings: `--set` words.
    """

    key: str = ""
    tag: str = ""
    settings: tuple[str, ...] = ()

    @property
    def newest(self) -> bool:
        return not (self.key or self.tag or self.settings)

    def __str__(self) -> str:
        words = [f"--key {self.key}"] if self.key else []
        words += [f"--tag {self.tag}"] if self.tag else []
        return " ".join([*words, *(f"--set {setting}" for setting in self.settings)])


NEWEST = Which()


def which(key: str | None, tag: str | None, settings: Mapping[str, object] | Sequence[str] = ()) -> Which:
    """What is meant, checked. Raises UsageError when it is said in two ways."""
    found = Which(key or "", tag or "", as_words(settings))
    if bool(found.key) + bool(found.tag) + bool(found.settings) > 1:
        raise UsageError(str(found), expected="one of a key, a tag and settings")
    return found


def resolve(
    store: Store, meant: Which, profile: str, behaviour: str | None, phase: str, *, said: bool = True
) -> dict[str, Artifact]:
    """The artifact of a phase that is meant, by behaviour: of the one that is named, else of all with one.

    `profile` is as it was typed, or if it was not `said`, the one that is meant without it. Raises
    UsageError, MissingError, DamageError.
    """
    pipeline.load().task(phase)  # or UsageError
    if meant.settings:
        return with_settings(store, meant.settings, profile, behaviour, phase)
    start, about = _start(store, meant)
    every = list(ancestry(store, start))
    found = next((each for each in every if each.phase == phase), None)
    where = f"{phase} by {meant}"
    if found is None:
        phases = ", ".join(dict.fromkeys(each.phase for each in every))
        raise UsageError(where, expected=f"one of {phases}, which it names or was made from")
    own = profile_name(profile) if said else about.profile
    asked = Name(own, behaviour or about.behaviour, start.phase)
    named = read_ref(store, asked)
    if named is None or named.artifact != start.key:  # or it was first built for another name
        if asked.behaviour not in (about.behaviour, found.behaviour):
            raise UsageError(where, expected=f"--behaviour {about.behaviour}, or none", got=behaviour)
        if asked.profile not in (about.profile, found.profile or about.profile):
            raise UsageError(where, expected=f"--profile {about.profile}, or none", got=own)
    return {asked.behaviour: found}


def is_key(text: str) -> bool:
    """Whether this can be the key of an artifact, or how one begins."""
    return LEAST_KEY <= len(text) <= 64 and HEXADECIMAL.issuperset(text)


def _start(store: Store, meant: Which) -> tuple[Artifact, Name]:
    """The artifact of a key or a tag, and the name it has by that."""
    if meant.tag:
        tag = find_tag(store, meant.tag)
        return tagged(store, tag), tag.name
    artifact = of_key(store, meant.key)
    return artifact, Name(artifact.profile, artifact.behaviour, artifact.phase)


def of_key(store: Store, text: str) -> Artifact:
    """The artifact of a key, or of how one begins. Raises UsageError, MissingError, DamageError."""
    paths = record_paths(store, "artifacts")
    keys = [os.path.basename(path).removesuffix(ENDING) for path in paths]
    like = [key for key in keys if key.startswith(text)]
    if not is_key(text):
        expected = f"at least {LEAST_KEY} hexadecimal digits of a key"
        raise UsageError(f"key {text!r}", expected=expected)
    if len(like) > 1:
        raise UsageError(f"key {text}", expected="digits that one key has", got=some_of(like, MOST, ", "))
    artifact = read_artifact(store, like[0]) if like else None
    if artifact is None:
        raise MissingError(f"key {text} in {store.root}", expected="an artifact", got="none")
    return artifact


def as_words(settings: Mapping[str, object] | Sequence[str]) -> tuple[str, ...]:
    """Settings as `--set` takes them."""
    if not isinstance(settings, Mapping):
        return (settings,) if isinstance(settings, str) else tuple(settings)
    return tuple(
        f"{name}={value if isinstance(value, str) else msgspec.json.encode(value).decode()}"
        for name, value in settings.items()
    )
