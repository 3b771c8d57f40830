"""What is here already, and may stay when results travel."""

from __future__ import annotations

import hashlib
import os

import msgspec

from circuitstore.errors import DamageError
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.files import read_bytes
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import intact
from circuitstore.storage.records import BODY, ENDING, TAIL, seal, seal_of
from circuitstore.storage.refs import Name


def whole(store: Store, key: str) -> Artifact | None:
    """The artifact of this key, if it and all objects that it needs are here in full size."""
    try:
        artifact = read_artifact(store, key)
        return artifact if artifact and all(intact(store, name) for name in artifact.objects) else None
    except DamageError:
        return None


def own_record(store: Store, path: str) -> bytes | None:
    """The record at a path here, if its name says what it holds, and it does."""
    if not path.startswith(("pieces/", "actions/")):
        return None
    try:
        raw = read_bytes(store.root, store.path(path))
    except (DamageError, FileNotFoundError):
        return None
    name = os.path.basename(path).removesuffix(ENDING)
    if path.startswith("actions/"):
        return raw if hashlib.sha256(raw).hexdigest() == name else None
    return raw if raw == seal(msgspec.Raw(raw[BODY : -len(TAIL)])) and seal_of(raw) == name else None


def told_pins(kept: object, where: str, other: object, elsewhere: str) -> str:
    """How two pins of the same question differ, of which the first one is kept."""
    repo, revision = getattr(kept, "repo", "?"), getattr(kept, "revision", "?")
    commits = [getattr(pin, "commit", "")[:12] for pin in (kept, other)]
    told = f"{repo} at {revision} is {commits[0]} in {where} and {commits[1]} in {elsewhere}"
    return f"{told}; the pin in {where} is kept"


def told_contents(name: str, where: str) -> str:
    """That a result is kept although the same inputs gave another one elsewhere."""
    return f"{name}: the same inputs gave two results; the one in {where} is kept"


def told_newer(name: Name, where: str) -> str:
    """That a name keeps its meaning."""
    return f"{name} is newer in {where}; it is kept"


def ref_path(name: Name) -> str:
    """Path of a name below a store."""
    return "/".join(("refs", *name)) + ".json"


def piece_path(name: str) -> str:
    """Path of a piece below a store."""
    return f"pieces/{name[:2]}/{name}.json"
