"""Profiles and selections as commands ask for them (`circuitstore.engine.services.Settings`)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tasks.settings.describe import Setting, describe
from tasks.settings.profile import Settings, profile_names
from tasks.settings.selection import Selection, Text, behaviour_names, select, select_text


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

    def select_text(
        self,
        profile: str,
        transcoders: str | None,
        text: str | tuple[int, ...],
        targets: tuple[str, ...],
        against: str,
        settings: tuple[str, ...],
    ) -> Selection:
        """What an attribution of one text is about. Raises UsageError."""
        asked = Text(text=text) if isinstance(text, str) else Text(tokens=text)
        asked = msgspec.structs.replace(asked, targets=targets, against=against)
        return select_text(self.settings, profile, transcoders, asked, settings)
