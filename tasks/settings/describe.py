"""Every setting of a profile as a build would use it, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from tasks.settings.overrides import split
from tasks.settings.profile import Settings, load_profile, profile_path, read_tables

Origin = Literal["default", "profile", "--set"]


class Setting(msgspec.Struct, frozen=True):
    """One setting; the keys of `profile show --json`."""

    section: str
    field: str
    value: object
    origin: Origin


def describe(settings: Settings, name: str, overrides: Sequence[str] = ()) -> list[Setting]:
    """All settings of a profile, table by table, after the overrides of --set. Raises UsageError."""
    _, profile = load_profile(settings, name, overrides)
    changed = {split(override)[:2] for override in overrides}
    written = read_tables(profile_path(name), name)
    rows = []
    for section in settings.tables:
        for field, value in msgspec.structs.asdict(profile.table(section)).items():
            origin: Origin = "profile" if field in written.get(section, {}) else "default"
            origin = "--set" if (section, field) in changed else origin
            rows.append(Setting(section, field, value, origin))
    return rows
