"""`--set table.field=value`: one setting that has the last word over a profile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from circuitstore.errors import UsageError, unknown
from tasks.settings.model import LOCATION
from tasks.settings.section import Section

NO_SETTINGS = "it has no settings"


def apply(known: Mapping[str, type[Section]], tables: dict[str, Any], override: str) -> None:
    """Write one override into the tables of a profile; `known` are all tables and their structs.

    Raises UsageError for a table or field that does not exist. The value is checked with the profile.
    """
    table, field, text = split(override)
    if table not in known:
        raise unknown(f"phase in --set {override}:", table, known)
    kinds = {each.name: each.type for each in msgspec.structs.fields(known[table])}
    if field not in kinds:
        raise unknown(f"setting of {table} in --set {override}:", field, kinds, "" if kinds else NO_SETTINGS)
    value = _value(text.strip(), is_text=kinds[field] is str)
    if (table, field) == ("texts", "path") and value:
        value = os.path.abspath(os.path.expanduser(str(value)))  # relative to where it is typed
    written = tables.get(table, {})
    if not isinstance(written, dict):
        raise UsageError(f"{table} of the profile", expected="a table", got=repr(written))
    values = dict(written)
    if field in ("path", "repo") and "repo" in kinds:
        # Also when the profile names a repository and this a folder, or the other way round.
        values = {name: kept for name, kept in values.items() if name not in LOCATION}
    tables[table] = values | {field: value}


def split(override: str) -> tuple[str, str, str]:
    """(table, field, value as text) of an override. Raises UsageError."""
    target, equals, text = override.partition("=")
    table, dot, field = target.strip().partition(".")
    if not (equals and dot and field):
        remedy = "for example --set baseline.gate=0.7"
        raise UsageError(f"--set {override}", expected="phase.field=value", remedy=remedy)
    return table, field, text


def _value(text: str, *, is_text: bool) -> object:
    """The value as TOML says it; a bare word needs no quotes, nor does a text that looks like a number."""
    try:
        value: object = msgspec.toml.decode(f"value = {text}")["value"]
    except (msgspec.DecodeError, ValueError):  # a number of thousands of digits is the latter
        return text
    return text if is_text and not isinstance(value, str) else value
