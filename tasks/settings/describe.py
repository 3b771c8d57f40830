"""Every setting of a profile as a build would use it, and where it comes from."""

from __future__ import annotations

from typing import Literal

import msgspec

from tasks.settings.config import Profile, load_profile, profile_path

Origin = Literal["default", "profile", "--set"]


class Setting(msgspec.Struct, frozen=True):
    """One setting; the keys of `profile show --json`."""

    section: str
    field: str
    value: object
    origin: Origin


def describe(name: str, settings: tuple[str, ...] = ()) -> list[Setting]:
    """All settings in the order of the profile's tables, `settings` being those of --set. Raises UsageError."""
    _, profile = load_profile(name, settings)
    changed = {setting.partition("=")[0].strip() for setting in settings}
    with open(profile_path(name), "rb") as file:
        tables = msgspec.toml.decode(file.read())
    rows = []
    for section in Profile.__struct_fields__:
        for field, value in msgspec.structs.asdict(getattr(profile, section)).items():
            origin: Origin = "profile" if field in tables.get(section, {}) else "default"
            rows.append(
                Setting(section, field, value, "--set" if f"{section}.{field}" in changed else origin)
            )
    return rows
