"""Profiles and selections as commands ask for them (`circuitstore.engine.services.Settings`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tasks.settings.describe import Setting, describe
from tasks.settings.profile import Settings, load_profile, profile_names
from tasks.settings.selection import EditOfText, Selection, Text, behaviour_names, select, select_text


class Service(msgspec.Struct, frozen=True):
    """What can be asked of the settings of one pipeline."""

    settings: Settings

    def names(self) -> list[str]:
        """Names of the profiles that come built in."""
        return profile_names()

    def behaviours(self) -> list[str]:
        """Names of the behaviours that come built in."""
        return behaviour_names()

    def describe(self, profile: str, settings: tuple[str, ...]) -> list[Setting]:
        """Every setting of a profile, and where it comes from. Raises UsageError."""
        return describe(self.settings, profile, settings)

    def select(
        self,
        profile: str,
        behaviours: tuple[str, ...],
        prompts_file: str | None,
        settings: tuple[str, ...],
        phases: tuple[str, ...],
    ) -> Sequence[Selection]:
        """What a build of these phases is about, one selection a behaviour. Raises UsageError."""
        return select(self.settings, profile, behaviours, prompts_file, settings, phases)

    def lacking(self, profile: str, phases: tuple[str, ...]) -> list[str]:
        """`--set` words that building these phases needs and a profile does not say. Raises UsageError."""
        trains = any(phase in self.settings.apart for phase in phases)
        loaded = load_profile(self.settings, profile)[1]
        return ["texts.path=FILE"] if trains and not loaded.texts.path else []

    def select_text(
        self,
        profile: str,
        transcoders: str | None,
        text: str | tuple[int, ...] | tuple[tuple[str, str], ...],
        targets: tuple[str, ...],
        against: str,
        settings: tuple[str, ...],
        edits: Sequence[Mapping[str, Any]] = (),
        aim: Mapping[str, Any] | None = None,
    ) -> Selection:
        """What an attribution of one text, or an intervention in it, is about. Raises UsageError."""
        given: dict[str, Any] = {"text" if isinstance(text, str) else "tokens": text}
        if not isinstance(text, str) and text and isinstance(text[0], tuple):
            given = {"turns": text}
        asked = Text(**given, targets=targets, against=against, **(aim or {}))
        wanted = [msgspec.convert(edit, EditOfText) for edit in edits]
        return select_text(self.settings, profile, transcoders, asked, settings, wanted)
