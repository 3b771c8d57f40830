"""Tags: names that people give to artifacts, `tags/NAME.json`.

A ref moves with every build. A tag stays, and `gc` keeps what it names.
"""

from __future__ import annotations

import os
import time

import msgspec

from circuitstore.errors import MissingError, UsageError, unknown
from circuitstore.storage.artifact import Artifact, ancestry, read_artifact
from circuitstore.storage.files import damaged
from circuitstore.storage.hold import hold, hold_all
from circuitstore.storage.layout import Store, is_hash, is_name
from circuitstore.storage.records import ENDING, expect, read_record, record_paths, write_record
from circuitstore.storage.refs import Name

FOLDER = ("tags",)


class Tag(msgspec.Struct, frozen=True):
    """A tag by its own name, and what it names.

    That is an artifact by its key and content hash, the name that it had then, and when it was tagged.
    """

    tag: str
    artifact: str
    content: str
    time_ns: int
    profile: str
    behaviour: str
    phase: str

    @property
    def name(self) -> Name:
        """The human name that the artifact had when it was tagged."""
        return Name(self.profile, self.behaviour, self.phase)


def tags(store: Store) -> list[Tag]:
    """All tags, in order of name. Raises DamageError."""
    found = [read_tag(store, path) for path in record_paths(store, *FOLDER, hashed=False)]
    return sorted(found, key=lambda tag: tag.tag)


def read_tag(store: Store, path: str) -> Tag:
    """The tag in a file, which must be its own name. Raises FileNotFoundError, DamageError."""
    tag = read_record(store, path, Tag)
    expect(path, "tag", os.path.basename(path).removesuffix(ENDING), tag.tag)
    if not (is_hash(tag.artifact) and is_hash(tag.content) and all(map(is_name, tag.name))):
        raise damaged(path, "names and hashes", "other text")
    return tag


def find_tag(store: Store, name: str) -> Tag:
    """The tag of this name. Raises UsageError for one that is not there, DamageError."""
    try:
        return read_tag(store, store.tag(name))
    except FileNotFoundError:
        raise unknown("tag", name, [tag.tag for tag in tags(store)]) from None


def tagged(store: Store, tag: Tag) -> Artifact:
    """The artifact that a tag names. Raises MissingError, DamageError."""
    artifact = read_artifact(store, tag.artifact)
    if artifact is None:
        raise MissingError(f"tag {tag.tag} in {store.root}", expected="its artifact", got="nothing any more")
    expect(store.tag(tag.tag), "phase", tag.phase, artifact.phase)
    expect(store.tag(tag.tag), "content", tag.content, artifact.content)
    return artifact


def write_tag(store: Store, name: str, what: Name, artifact: Artifact) -> Tag:
    """Tag an artifact that has a human name. A tag never moves.

    Raises UsageError when there is another tag of that name, MissingError, StoreError.
    """
    path = store.tag(name)
    tag = Tag(name, artifact.key, artifact.content, time.time_ns(), *what)
    try:
        standing = read_tag(store, path)
    except FileNotFoundError:
        pass
    else:
        if (standing.artifact, standing.name) == (tag.artifact, tag.name):
            return standing
        remedy = f"take another name, or run `circuitstore tag --delete {name}` first"
        got = f"{standing.name}, {standing.artifact[:12]}…"
        raise UsageError(f"tag {name}", expected="a new name", got=got, remedy=remedy)
    keys = [each.key for each in ancestry(store, artifact)]
    if not hold_all(map(store.artifact, keys)):  # it has just been collected
        raise MissingError(f"{what} in {store.root}", expected="its artifact", got="nothing any more")
    write_record(store, path, tag)
    return tag


def delete_tag(store: Store, name: str) -> Tag:
    """Delete a tag. What it named stays until it is collected. Raises UsageError, StoreError, DamageError."""
    tag = find_tag(store, name)
    try:
        hold(store.artifact(tag.artifact))  # so that a slip can be mended for as long as a grace period
        os.unlink(store.tag(name))
    except OSError as error:
        raise store.unwritable(error) from error
    return tag
