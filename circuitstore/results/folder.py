"""Writing results out of the store into a folder of ordinary files.

Beside the files stands `provenance.json`: which artifact they came from, all artifacts above that one with
their code, settings and weights by hash, and the sha256 of each file written. A file that is not listed
there, or that was changed since, is somebody's own. It is never overwritten without being told to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from circuitstore.errors import InputError, UsageError
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.names import FILE_NAME, is_file_name, shown
from circuitstore.storage.refs import Name

LEDGER = "provenance.json"


class Written(msgspec.Struct, frozen=True):
    """One file of an export; `changed` unless it was there with the same bytes."""

    path: str
    changed: bool


def write_files(
    store: Store,
    name: Name,
    artifact: Artifact,
    files: Mapping[str, bytes],
    folder: str,
    *,
    force: bool = False,
) -> list[Written]:
    """Write files made from an artifact, and where they are from.

    Raises InputError for an unwritable folder, for a file in the way that is not from here (unless `force`),
    and for a name that leads out of the folder. In the last two cases nothing is written.
    """
    if wrong := [each for each in files if not is_file_name(each, ending=True) or each == LEDGER]:
        raise InputError(f"a file in {folder}", expected=FILE_NAME, got=shown(wrong[0]))
    ledger: dict[str, Any] = {
        "profile": name.profile,
        "behaviour": name.behaviour,
        name.phase: {"artifact": artifact.key, "content": artifact.content},
        "artifacts": above(store, artifact, {}),
    }
    before = _listed(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        present = {
            each: _hash_of(folder, each) for each in files if os.path.lexists(os.path.join(folder, each))
        }
        if not force:
            _refuse_foreign(folder, files, present, before)
        written = []
        for each, data in files.items():
            changed = present.get(each) != _sha256(data)
            if changed:
                _write(os.path.join(folder, each), data)
            written.append(Written(os.path.join(folder, each), changed))
        others = {
            each: digest
            for each, digest in before.items()
            if each not in files and os.path.isfile(os.path.join(folder, each))
        }
        now = {each: _sha256(data) for each, data in files.items()}
        ledger["files"] = dict(sorted((others | now).items()))
        text = msgspec.json.format(msgspec.json.encode(ledger), indent=1) + b"\n"
        _write(os.path.join(folder, LEDGER), text)
    except OSError as error:
        got = error.strerror or error
        raise InputError(folder, expected="a folder that can be written", got=got) from error
    return written


def is_one_file(destination: str | None, files: Mapping[str, bytes]) -> bool:
    """Whether a destination names the one file to write, by ending as its own name does, and no folder.

    Raises UsageError when it ends so and there are several.
    """
    endings = {os.path.splitext(each)[1] for each in files}
    if (
        not destination
        or os.path.isdir(destination)
        or os.path.splitext(destination)[1] not in endings - {""}
    ):
        return False
    if len(files) > 1:
        remedy = "name a folder, or choose one prompt with --prompt"
        raise UsageError(destination, expected="one file to write", got=len(files), remedy=remedy)
    return True


def write_one(path: str, data: bytes, *, force: bool = False) -> Written:
    """Write one file alone.

    Raises InputError for a place that is not writable, or where another file lies (unless `force`).
    """
    try:
        changed = not os.path.lexists(path) or _hash_of(*os.path.split(path)) != _sha256(data)
        if changed and os.path.lexists(path) and not force:
            remedy = "name another, or pass --force to overwrite"
            raise InputError(
                path, expected="nothing, or what was exported", got="another file", remedy=remedy
            )
        if changed:
            _write(path, data)
    except OSError as error:
        raise InputError(path, expected="a file that can be written", got=error.strerror or error) from error
    return Written(path, changed)


def _refuse_foreign(
    folder: str, files: Mapping[str, bytes], present: Mapping[str, str], before: Mapping[str, str]
) -> None:
    """Raise InputError for files in the way that are not from here.

    A file is from here if it is as it was exported, or as it would be now.
    """
    foreign = [
        each for each, digest in present.items() if digest not in (before.get(each), _sha256(files[each]))
    ]
    if foreign:
        where = f"{', '.join(foreign[:3])}{' …' if len(foreign) > 3 else ''} in {folder}"
        remedy = "name another folder, or pass --force to overwrite"
        got = "files of your own or changed since"
        raise InputError(where, expected="nothing, or what was exported", got=got, remedy=remedy)


def above(store: Store, artifact: Artifact, collected: dict[str, Any]) -> dict[str, Any]:
    """Every artifact that one was made from: phase → key, content and the components of its key."""
    for phase, key in artifact.upstream.items():
        upstream = read_artifact(store, key) if phase not in collected else None
        if upstream is not None:
            collected[phase] = {
                "artifact": key,
                "content": upstream.content,
                "components": upstream.components,
            }
            above(store, upstream, collected)
    return collected


def _listed(folder: str) -> dict[str, str]:
    """File name → sha256 as of the last export into this folder."""
    try:
        with open(os.path.join(folder, LEDGER), "rb") as file:
            return dict(msgspec.json.decode(file.read())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _hash_of(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), "rb") as file:
        return _sha256(file.read())


def _write(path: str, data: bytes) -> None:
    draft = f"{path}.{os.getpid()}.part"
    with open(draft, "wb") as file:
        file.write(data)
    os.replace(draft, path)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
