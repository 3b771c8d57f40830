"""Finding what was built by the names that people give, and what to say when it is not there.

An error names the command that builds what is missing, as it would have to be typed here: with the profile,
the prompts file and the settings that the rest of the same behaviour was built with. A name that nobody
knows is answered with those that there are.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from circuitstore import pipeline
from circuitstore.engine.task import Task
from circuitstore.errors import CircuitstoreError, DamageError, MissingError, UsageError, some_of, unknown
from circuitstore.results.defaults import (
    DEFAULT_PROFILE,
    profile_argument,
    profile_name,
    store_path,
    upstream_urls,
)
from circuitstore.results.which import NEWEST, Which, resolve
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.files import damaged
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named, names, read_ref

if TYPE_CHECKING:
    from circuitstore.storage.remote_upstream import Upstream

OWN_PROFILE = "your own profile is given by its path, FILE.toml"
Path = str | os.PathLike[str]
MOST = 40  # behaviours or phases that an error lists


def to_read(store: Path | None = None, upstream: Path | Sequence[Path] = ()) -> Store:
    """The store that is meant, which must be there unless it has an upstream. Raises StoreError."""
    found = Store(store_path(store), upstream_urls(upstream))
    return found.check_or_new() if found.upstream else found.check()


def find(
    store: Store, profile: str | None, behaviour: str | None, phase: str, meant: Which = NEWEST
) -> dict[str, Artifact]:
    """The artifacts of a phase by behaviour: of the one that is named, else of all that are built.

    They are the newest, unless others are `meant`. `profile` is as it was typed. What is not here is looked
    for upstream, too. Raises UsageError for a name that nobody knows, MissingError with the command that
    builds what is missing, and DamageError.
    """
    if not meant.newest:
        return _meant(store, profile, behaviour, phase, meant)
    wanted, built = profile_name(profile), names(store)
    every = [name.behaviour for name in built if (name.profile, name.phase) == (wanted, phase)]
    chosen = [behaviour] if behaviour else sorted(every)
    if not chosen or chosen[0] not in every:
        if store.upstream and _came(store, Name(wanted, behaviour or "", phase)):
            return find(Store(store.root), profile, behaviour, phase)
        raise _missing(store, profile, behaviour, phase)
    try:
        return {each: named(store, Name(wanted, each, phase)) for each in chosen}
    except MissingError as error:  # a name of something that is gone
        command = build_command(store, profile, behaviour, phase)
        raise MissingError(error.where, got="nothing any more", remedy=f"run `{command}`") from None


def _meant(
    store: Store, profile: str | None, behaviour: str | None, phase: str, meant: Which
) -> dict[str, Artifact]:
    """The artifacts of a key, a tag or settings; those that are not here are looked for upstream."""

    def choose(store: Store) -> dict[str, Artifact]:
        return resolve(store, meant, _typed(profile), behaviour, phase, said=profile is not None)

    try:
        return choose(store)
    except (MissingError, UsageError):
        if not store.upstream or not (came := _upstream(store).chosen(choose)):
            raise
        return came


def _came(store: Store, name: Name) -> bool:
    """Whether a result, without a behaviour those of all, was upstream; it is here then."""
    return _upstream(store).result(name)


def _upstream(store: Store) -> Upstream:
    import warnings

    from circuitstore.storage.remote_upstream import Upstream

    return Upstream(store, lambda text: warnings.warn(text, stacklevel=6))


def build_command(
    store: Store, profile: str | None, behaviour: str | None, phase: str, *settings: str
) -> str:
    """The command that builds a phase of a behaviour, with these settings beside those it was built with."""
    words = ["circuitstore", "build", phase, *about(behaviour, phase)]
    given = {setting.partition("=")[0] for setting in settings}
    tasks = pipeline.load().closure((phase,))
    if _is_profile(profile):
        settings += tuple(pipeline.services().settings.lacking(_typed(profile), (phase,)))
    for setting in (*settings_of(store, profile, behaviour, tasks), *settings):
        if setting in settings or setting.partition("=")[0] not in given:
            words += ["--set", setting]
    return shlex.join([*words, *where(profile, store.root)])


def about(behaviour: str | None, phase: str) -> list[str]:
    """The options that select a behaviour; none for a phase that is about something else."""
    if behaviour is None or pipeline.load().task(phase).about:
        return []
    if behaviour in pipeline.services().settings.behaviours():
        return ["--behaviour", behaviour]
    return ["--prompts", f"{behaviour}.jsonl"]


def where(profile: str | None, store: str) -> list[str]:
    """The options that name a profile and a store, left out where they are what is meant without them."""
    typed = _typed(profile)
    words = ["--profile", typed] if typed != os.environ.get("CIRCUITSTORE_PROFILE", DEFAULT_PROFILE) else []
    return words + (["--store", store] if store != store_path() else [])


def _missing(store: Store, profile: str | None, behaviour: str | None, phase: str) -> CircuitstoreError:
    """The error for what is not built."""
    wanted, built = profile_name(profile), names(store)
    _check_folders(store, wanted, behaviour)
    settings = pipeline.services().settings
    task = pipeline.load().task(phase)  # or UsageError
    if not _is_profile(profile) and wanted not in (profiles := {name.profile for name in built}):
        return unknown("profile", wanted, [*settings.names(), *sorted(profiles)], OWN_PROFILE)
    here = [name.behaviour for name in built if name.profile == wanted]
    known = [*settings.behaviours(), *here]
    somebodys = behaviour in known or os.path.isfile(f"{behaviour}.jsonl")
    if behaviour and not task.about and not somebodys:
        build = f"circuitstore build {phase} --prompts FILE.jsonl"
        return unknown("behaviour", behaviour, known, f"your own prompts are built by {build}")
    if behaviour and task.about and behaviour != task.about:
        expected = f"no behaviour: {phase} is about the profile's {task.about}"
        return UsageError(f"--behaviour {behaviour}", expected=expected)
    got = _beside(built, wanted, behaviour or task.about, phase)
    asked = pipeline.services().of_one_text.get(phase)
    command = f"circuitstore {asked}" if asked else build_command(store, profile, behaviour, phase)
    remedy = f"run `{command}`"
    told = f"{phase} of {behaviour or task.about or 'any behaviour'} (profile {wanted}) in {store.root}"
    return MissingError(told, expected="to be built", got=got, remedy=remedy)


def _check_folders(store: Store, *parts: str | None) -> None:
    """Raise DamageError if something else lies where the refs of these names would be."""
    path = store.path("refs")
    for part in filter(None, parts):
        path = os.path.join(path, part)
        if os.path.islink(path) or (os.path.exists(path) and not os.path.isdir(path)):
            raise damaged(path, "a folder of refs", "something else")


def _beside(built: Sequence[Name], profile: str, behaviour: str, phase: str) -> str:
    """What there is instead: other phases of the behaviour, else other behaviours of the phase."""
    phases = [name.phase for name in built if (name.profile, name.behaviour) == (profile, behaviour)]
    behaviours = [f"{name.profile}/{name.behaviour}" for name in built if name.phase == phase]
    if phases:
        return f"only {some_of(phases, MOST, ', ')} of it"
    return f"{phase} only of {some_of(behaviours, MOST, ', ')}" if behaviours else "nothing of it"


def _is_profile(profile: str | None) -> bool:
    """Whether a profile is one: built in, or a file."""
    typed = _typed(profile)
    return typed in pipeline.services().settings.names() or os.path.isfile(typed)


def _typed(profile: str | None) -> str:
    """A profile as a build takes it. Results are found by the name of a profile's file, too."""
    typed = profile_argument(profile)
    builtin = typed.endswith(".toml") or typed in pipeline.services().settings.names()
    return typed if builtin else f"{typed}.toml"


def settings_of(
    store: Store, profile: str | None, behaviour: str | None, tasks: Sequence[Task]
) -> Iterator[str]:
    """`--set` words for what these phases of a behaviour were built with otherwise than the profile says."""
    if behaviour is None or not _is_profile(profile):
        return
    try:
        rows = pipeline.services().settings.describe(_typed(profile), ())
    except UsageError:
        return
    now = {(row.section, row.field): row.value for row in rows}
    told = set()
    for task in tasks:
        try:
            name = Name(profile_name(profile), behaviour, task.name)
            config = named(store, name).components.config if read_ref(store, name) else {}
        except (MissingError, DamageError):
            continue
        for field, value in config.items():
            setting = (task.table or task.name, field)
            if setting in now and setting not in told and _json(now[setting]) != _json(value):
                told.add(setting)
                yield f"{setting[0]}.{field}={value if isinstance(value, str) else _json(value)}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
