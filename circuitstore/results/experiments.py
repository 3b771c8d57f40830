"""The experiment table: every result in a store, with the settings that make it another one.

A store keeps what was built with other settings, other prompts or other code, until `gc` deletes what has no
name. The table says what there is, and by which key or tag each result is opened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from circuitstore import pipeline
from circuitstore.errors import UsageError
from circuitstore.storage.artifact import Artifact, ancestry, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.reach import roots
from circuitstore.storage.records import ENDING, read_named, record_paths

TAG = "tag "  # how the name of a tag begins among all names


class Experiment(msgspec.Struct, frozen=True):
    """One result; the keys of `status --all --json`.

    profile, behaviour: those that it was first built for. settings: those of the phase and of all that it was
    made from which are not the defaults, by "table.field". time_ns: when its newest cells were computed, 0 if
    no journal says so. names: the names whose newest result it is. headline: the number of its summary that
    says most, by its name.
    """

    profile: str
    behaviour: str
    phase: str
    key: str
    content: str
    cells: int
    settings: dict[str, Any]
    time_ns: int
    names: list[str]
    tags: list[str]
    headline: dict[str, float]
    summary: dict[str, Any]


class _JournalTime(msgspec.Struct, frozen=True):
    """The part of a journal that says which object was written when."""

    object: str
    time_ns: int


def experiments(
    store: Store, profile: str | None = None, behaviours: Collection[str] = ()
) -> list[Experiment]:
    """Every result of a profile and of some behaviours, without them of all, phase by phase as they are run.

    A result that several names share is there once. Raises DamageError, StoreError.
    """
    order = {task.name: number for number, task in enumerate(pipeline.load().every)}
    named: dict[str, list[str]] = {}
    for name, key in roots(store).items():
        named.setdefault(key, []).append(name)
    found, times = [], dict[str, dict[str, int]]()
    for path in record_paths(store, "artifacts"):
        artifact = read_artifact(store, path.rpartition("/")[2].removesuffix(ENDING))
        if artifact is None:
            continue
        if artifact.phase not in times:
            times[artifact.phase] = _times(store, artifact.phase)
        each = _experiment(store, artifact, named.get(artifact.key, []), times[artifact.phase])
        owners = {(each.profile, each.behaviour), *(tuple(name.split("/")[:2]) for name in each.names)}
        if any(p in (profile or p, "") and (not behaviours or b in behaviours) for p, b in owners):
            found.append(each)
    return sorted(
        found,
        key=lambda each: (each.profile, each.behaviour, order.get(each.phase, len(order)), each.time_ns),
    )


def _experiment(store: Store, artifact: Artifact, named: list[str], times: Mapping[str, int]) -> Experiment:
    settings: dict[str, Any] = {}
    for each in reversed(list(ancestry(store, artifact))):
        settings |= _changed(each)
    return Experiment(
        artifact.profile,
        artifact.behaviour,
        artifact.phase,
        artifact.key,
        artifact.content,
        artifact.count,
        settings,
        max((times.get(name, 0) for name in artifact.objects), default=0),
        [name for name in named if not name.startswith(TAG)],
        [name.removeprefix(TAG) for name in named if name.startswith(TAG)],
        _headline(artifact.summary),
        artifact.summary,
    )


def _changed(artifact: Artifact) -> dict[str, Any]:
    """The settings of a phase that are not the defaults."""
    try:
        task = pipeline.load().task(artifact.phase)
    except UsageError:  # of a pipeline with other phases
        return {}
    default = {field.name: _default(field) for field in msgspec.structs.fields(task.config)}
    return {
        f"{task.table or task.name}.{name}": value
        for name, value in artifact.components.config.items()
        if name not in default or default[name] != value
    }


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """The default of a setting as a record has it; None of one that must be said."""
    value = None if field.default is msgspec.NODEFAULT else field.default
    made = value if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return msgspec.json.decode(msgspec.json.encode(made))


def _times(store: Store, phase: str) -> dict[str, int]:
    """Object → when the first journal that names it was written."""
    found: dict[str, int] = {}
    for path in record_paths(store, "actions", phase):
        journal = read_named(store, path, _JournalTime)
        found[journal.object] = min(journal.time_ns, found.get(journal.object, journal.time_ns))
    return found


def _headline(summary: Mapping[str, Any]) -> dict[str, float]:
    """The first share or mean that a summary gives, else the first count."""
    numbers = {name: value for name, value in summary.items() if type(value) in (int, float)}
    shares = [(name, value) for name, value in numbers.items() if type(value) is float]
    return dict((shares or list(numbers.items()))[:1])
