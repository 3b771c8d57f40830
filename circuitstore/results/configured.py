"""The result that was built with some settings.

A name is that of the newest result, and a result states only the name that it was first built for. So what
counts as a behaviour's is what was built for it, and what was made from the same inputs as its newest
results: behaviours that are declared alike, and profiles of equal settings, share their artifacts.

A setting may have changed a phase without changing its output. What was computed from that output stands for
both settings, although it states only the first of them: each phase that it read may be any artifact of the
same content.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from circuitstore import pipeline
from circuitstore.errors import MissingError, UsageError, some_of, unknown
from circuitstore.results.defaults import profile_name
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.records import ENDING, record_paths
from circuitstore.storage.refs import Name, names, read_ref

MOST = 5  # results that an error lists
Settings = dict[str, Any]  # "table.field" → value


def with_settings(
    store: Store, words: Sequence[str], profile: str, behaviour: str | None, phase: str
) -> dict[str, Artifact]:
    """For each behaviour, or the one that is named, the artifact that was built with these `--set` words.

    `profile` is as it was typed. Raises UsageError, MissingError, DamageError.
    """
    built = _Built(store, profile_name(profile), _values(profile, words))
    chosen = [behaviour] if behaviour else built.behaviours(phase)
    found = {name: one for name in chosen if (one := built.one(name, phase)) is not None}
    if not found:
        told = " ".join(f"--set {word}" for word in words)
        where = f"{phase} of {behaviour or 'any behaviour'} with {told}"
        got, remedy = built.instead(chosen, phase)
        raise MissingError(where, expected="a result", got=got, remedy=remedy)
    return found


def _values(profile: str, words: Sequence[str]) -> Settings:
    """What `--set` words set. Raises UsageError for settings that there are not."""
    named = [word.partition("=")[0].strip() for word in words]
    rows = pipeline.services().settings.describe(profile, tuple(words))
    values = {f"{row.section}.{row.field}": row.value for row in rows}
    if wrong := [name for name in named if name not in values]:
        raise unknown("setting", wrong[0], values)
    return {name: _plain(values[name]) for name in named}


class _Built:
    """All that is built in a store, as one profile sees it that looks for some settings."""

    def __init__(self, store: Store, profile: str, wanted: Settings):
        self.profile, self.wanted = profile, wanted
        keys = (os.path.basename(path).removesuffix(ENDING) for path in record_paths(store, "artifacts"))
        self._artifacts = {key: each for key in keys if (each := read_artifact(store, key)) is not None}
        self._alike: dict[tuple[str, str], list[Artifact]] = {}
        for each in self._artifacts.values():
            self._alike.setdefault((each.phase, each.content), []).append(each)
        refs = {name: read_ref(store, name) for name in names(store) if name.profile == profile}
        self._newest = {name: self._artifacts.get(ref.artifact) for name, ref in refs.items() if ref}
        self._agreeing: dict[str, set[str] | None] = {}
        self._inputs: dict[str, dict[str, list[object]]] = {}

    def behaviours(self, phase: str) -> list[str]:
        """The behaviours that have results of a phase."""
        own = {each.behaviour for each in self._of_phase(phase) if self._is_own(each, each.behaviour)}
        return sorted(own | {name.behaviour for name in self._newest if name.phase == phase})

    def one(self, behaviour: str, phase: str) -> Artifact | None:
        """The one result of a behaviour that was built with these settings: the newest, if it is one.

        Raises UsageError where several were and none of them is the newest.
        """
        several = [each for each in self._of_phase(phase) if self._has(each) and self._is_of(each, behaviour)]
        newest = self._newest.get(Name(self.profile, behaviour, phase))
        if newest in several:
            return newest
        if len(several) > 1:
            keys = some_of([each.key[:12] for each in several], MOST, ", ")
            got = f"{len(several)} with these: keys {keys}"
            remedy = "say more settings, or name one with --key (`key=`)"
            raise UsageError(f"{phase} of {behaviour}", expected="one result", got=got, remedy=remedy)
        return several[0] if several else None

    def instead(self, behaviours: Sequence[str], phase: str) -> tuple[str, str | None]:
        """What these behaviours have of a phase instead, and whose result has the settings."""
        every = self._of_phase(phase)
        own = [each for each in every if any(self._is_of(each, name) for name in behaviours)]
        told = [f"{each.key[:12]} ({self._stated(each)})" for each in own]
        others = [f"{each.profile}/{each.behaviour} ({each.key[:12]})" for each in every if self._has(each)]
        remedy = f"built with these is that of {some_of(others, MOST, ', ')}" if others else None
        return some_of(told, MOST) if told else "none at all", remedy

    def _of_phase(self, phase: str) -> list[Artifact]:
        return [each for each in self._artifacts.values() if each.phase == phase]

    def _is_own(self, artifact: Artifact, behaviour: str) -> bool:
        """Whether an artifact was first built for this profile and a behaviour. Version 1 has no profile."""
        return artifact.behaviour == behaviour and artifact.profile in ("", self.profile)

    def _is_of(self, artifact: Artifact, behaviour: str) -> bool:
        """Whether an artifact was built for a behaviour, or from the inputs of its newest results."""
        inputs = self._inputs_of(behaviour)
        alike = (each.components.resources in inputs.get(each.phase, ()) for each in self._above(artifact))
        return self._is_own(artifact, behaviour) or all(alike)

    def _inputs_of(self, behaviour: str) -> dict[str, list[object]]:
        """Phase → inputs that no phase computes, of the newest results of a behaviour and all above them."""
        if behaviour not in self._inputs:
            found = self._inputs[behaviour] = {}
            for name, newest in self._newest.items():
                for each in self._above(newest) if newest and name.behaviour == behaviour else ():
                    found.setdefault(each.phase, []).append(each.components.resources)
        return self._inputs[behaviour]

    def _above(self, artifact: Artifact) -> Iterator[Artifact]:
        """An artifact and all that it states it was made from, each once."""
        waiting, seen = [artifact], {artifact.key}
        while waiting:
            each = waiting.pop(0)
            yield each
            above = [key for key in each.upstream.values() if key in self._artifacts and key not in seen]
            seen.update(above)
            waiting += [self._artifacts[key] for key in above]

    def _has(self, artifact: Artifact) -> bool:
        """Whether an artifact stands for all of the settings."""
        return self._agreement(artifact) == self.wanted.keys()

    def _agreement(self, artifact: Artifact) -> set[str] | None:
        """Which of the settings an artifact was built with; None if one of them is another there."""
        if artifact.key not in self._agreeing:
            self._agreeing[artifact.key] = set()  # of one that says it was made from itself
            self._agreeing[artifact.key] = self._agreement_of(artifact)
        return self._agreeing[artifact.key]

    def _agreement_of(self, artifact: Artifact) -> set[str] | None:
        own = {name: value for name, value in _own(artifact).items() if name in self.wanted}
        if any(value != self.wanted[name] for name, value in own.items()):
            return None
        found = set(own)
        for alike in (self._alike.get(each, []) for each in artifact.components.upstream.items()):
            agreeing = [each for each in map(self._agreement, alike) if each is not None]
            if alike and not agreeing:
                return None
            found.update(*agreeing)
        return found

    def _stated(self, artifact: Artifact) -> str:
        """What an artifact, and those it states it was made from, were built with of the settings."""
        every = {name: value for each in self._above(artifact) for name, value in _own(each).items()}
        told = [f"{name}={every[name]}" for name in self.wanted if name in every]
        return ", ".join(told) or "without such a setting"


def _own(artifact: Artifact) -> Settings:
    """The settings of the phase itself."""
    try:
        table = pipeline.load().task(artifact.phase).table or artifact.phase
    except UsageError:  # of a pipeline with other phases
        return {}
    return {f"{table}.{field}": _plain(value) for field, value in artifact.components.config.items()}


def _plain(value: object) -> Any:
    """A value as JSON gives it back."""
    return msgspec.json.decode(msgspec.json.encode(value))
