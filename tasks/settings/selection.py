"""What one build is about: a profile, with a behaviour, a user's own prompts, a single text, or a corpus."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from circuitstore.errors import UsageError, unknown
from circuitstore.storage.layout import safe_name
from tasks.settings.model import location
from tasks.settings.overrides import apply
from tasks.settings.profile import Profile, Settings, load_profile, profile_names
from tasks.settings.section import Section

AIMS = ("feature", "direction", "weights")  # what a text can be explained for in place of answers
BEHAVIOURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "behaviours")


class Text(msgspec.Struct, frozen=True):
    """One text to attribute.

    text, tokens, turns: the text, or its token ids, or (role, content) of each turn of a conversation;
    targets: answers to explain, if any; against: an answer whose logit is subtracted.
    feature, direction, weights: what is explained in place of answers: layer, position and feature; what is
        read of the final norm's output; or answers with the weights of their logits.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    turns: tuple[tuple[str, str], ...] = ()
    targets: tuple[str, ...] = ()
    against: str = ""
    feature: tuple[int, ...] = ()
    direction: tuple[float, ...] = ()
    weights: tuple[tuple[str, float], ...] = ()

    def plain(self) -> dict[str, Any]:
        """As plain data. What is explained in place of answers is there only if it is asked for."""
        fields = msgspec.structs.asdict(self)
        return {name: value for name, value in fields.items() if value or name not in AIMS}


class EditOfText(msgspec.Struct, frozen=True, order=True):
    """A feature's activation that is set in one text, at one position or from start to stop.

    Positions count from 0, negative ones from the end of the text. `position` is None for a range; `stop` is
    None for a range that goes on over what is generated.
    """

    layer: int
    feature: int
    value: float
    position: int | None = None
    start: int | None = None
    stop: int | None = None


class Selection(msgspec.Struct, frozen=True):
    """A profile and what it is used on; plain data that can be sent to other processes."""

    profile_name: str
    profile: Profile
    behaviour: str
    prompts_file: str = ""
    text: Text = Text()
    edits: tuple[EditOfText, ...] = ()

    def config(self, table: str) -> Section:
        """The settings in one table. Raises UsageError."""
        return self.profile.table(table)


def behaviour_names() -> list[str]:
    """The behaviours that come built in, one declaration file each."""
    names = os.listdir(BEHAVIOURS)
    return sorted(name[:-3] for name in names if name.endswith(".py") and not name.startswith("_"))


def select(
    settings: Settings,
    profile: str,
    behaviours: Sequence[str] = (),
    prompts_file: str | None = None,
    overrides: Sequence[str] = (),
    phases: Sequence[str] = (),
) -> list[Selection]:
    """One selection a behaviour (all when none is named), or one for a user's prompts, or for a corpus.

    A corpus is selected by the phases that are about it. Raises UsageError.
    """
    name, loaded = load_profile(settings, profile, overrides)
    if apart := [phase for phase in phases if phase in settings.apart]:
        others = [phase for phase in phases if phase not in apart]
        return [_apart(settings, name, loaded, apart[0], [*others, *behaviours, prompts_file or ""])]
    if prompts_file:
        return [_of_prompts(name, loaded, prompts_file, behaviours)]
    known = behaviour_names()
    for behaviour in behaviours:
        if behaviour not in known:
            own = f"{behaviour}.jsonl"
            remedy = f"--prompts {own}" if os.path.isfile(own) else "--prompts FILE.jsonl"
            raise unknown("behaviour", behaviour, known, f"your own prompts are given by {remedy}")
    return [Selection(name, loaded, behaviour) for behaviour in dict.fromkeys(behaviours or known)]


def _apart(settings: Settings, name: str, profile: Profile, phase: str, others: Sequence[str]) -> Selection:
    about = settings.apart[phase]
    if others := [other for other in others if other and settings.apart.get(other) != about]:
        raise UsageError(
            f"phase {phase}",
            expected="no other phases, behaviours or prompts",
            got=others[0],
            remedy=f"it is about the profile's {about}, not about a behaviour; build it by itself",
        )
    return Selection(name, profile, about)


def _of_prompts(name: str, profile: Profile, file: str, behaviours: Sequence[str]) -> Selection:
    if behaviours:
        expected = "no --behaviour: it is named after the file"
        raise UsageError("--prompts", expected=expected, got=f"--behaviour {behaviours[0]}")
    if not os.path.isfile(file):
        got = "a folder" if os.path.isdir(file) else "no such file"
        raise UsageError(f"--prompts {file}", expected="a JSONL file", got=got)
    behaviour = safe_name(os.path.splitext(os.path.basename(file))[0], "name of the prompts file")
    if behaviour in behaviour_names():
        expected = f"another name than {behaviour}, which is that of a behaviour"
        raise UsageError(f"--prompts {file}", expected=expected, got=behaviour, remedy="rename the file")
    return Selection(name, profile, behaviour, os.path.abspath(file))


def select_text(
    settings: Settings,
    profile: str,
    transcoders: str | None,
    text: Text,
    overrides: Sequence[str] = (),
    edits: Sequence[EditOfText] = (),
) -> Selection:
    """The selection of one text, perhaps with edits, with a profile, or with a model and transcoders.

    With `transcoders` (a folder or repository), `profile` may be a model's folder or repository too. Raises
    UsageError.
    """
    if text.against and len(text.targets) != 1:
        expected = "one --target, from whose logit it is subtracted"
        raise UsageError("--against", expected=expected, got=f"{len(text.targets)} of them")
    if text.targets and (aims := [name for name in AIMS if getattr(text, name)]):
        raise UsageError(
            f"--{aims[0]}", expected="no --target beside it", got=f"--target {text.targets[0]!r}"
        )
    if not (text.text or text.tokens or text.turns):
        raise UsageError("text", expected="at least one token", got="nothing")
    if transcoders is None:
        name, loaded = load_profile(settings, profile, overrides)
    elif not os.path.isdir(profile) and (profile.endswith(".toml") or profile in profile_names()):
        replaced = {"transcoders": location(transcoders)}
        name, loaded = load_profile(settings, profile, overrides, replaced)
    else:
        tables = {"model": location(profile), "transcoders": location(transcoders)}
        for override in overrides:
            apply(settings.tables, tables, override)
        name = os.path.basename(tables["model"].get("path") or tables["model"]["repo"])
        loaded = settings.profile(tables, profile)
    asked: Any = loaded.table("attribution")
    answers = text.targets or any(getattr(text, name) for name in AIMS)
    if asked.targets != "logits" and not answers and not edits:
        raise UsageError(
            f"attribution.targets={asked.targets}",
            expected="answers to explain, which a text by itself has not",
            got="none",
            remedy="name them with --target and --against, or --set attribution.targets=logits",
        )
    edits = tuple(sorted(edits, key=msgspec.json.encode))  # whatever order they were given in
    asked_of = text.plain()
    identity = hashlib.sha256(msgspec.json.encode([asked_of, edits] if edits else asked_of)).hexdigest()
    about = f"text-{identity[:16]}"
    return Selection(safe_name(name, "profile"), loaded, about, text=text, edits=edits)
