"""Profiles: everything that can be set, by table, and the TOML files that fill the tables.

A phase declares its own struct of settings, so a new phase brings its table along: `Settings` is made from
the phases, and nothing else lists them.
"""

from __future__ import annotations

import codecs
import hashlib
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from circuitstore.engine.task import Task
from circuitstore.errors import UsageError, meant, one_of, unknown
from circuitstore.memo import shared
from tasks.settings.model import Model, Shape, Transcoders, check_location
from tasks.settings.overrides import apply
from tasks.settings.section import Section
from tasks.settings.training import Texts

PROFILES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "profiles")
INPUTS: dict[str, type[Section]] = {
    "model": Model,
    "transcoders": Transcoders,
    "shape": Shape,
    "texts": Texts,
}
REQUIRED = ("model", "transcoders")
OWN = "your own profile is given by its path, FILE.toml"

S = TypeVar("S", bound=Section)
Tables = dict[str, dict[str, Any]]


class Profile(msgspec.Struct, frozen=True):
    """Everything that is set: the inputs, and the tables of the phases by name."""

    model: Model
    transcoders: Transcoders
    shape: Shape
    texts: Texts
    phases: dict[str, Section]

    def of(self, kind: type[S]) -> S:
        """The settings of a phase by their struct. Raises UsageError if no phase has such settings."""
        for section in self.phases.values():
            if isinstance(section, kind):
                return section
        raise UsageError(f"settings {kind.__name__}", expected="a phase that has them", got="none")

    def table(self, name: str) -> Section:
        """One table by its name. Raises UsageError."""
        section = getattr(self, name) if name in INPUTS else self.phases.get(name)
        if section is None:
            raise unknown("table", name, (*INPUTS, *self.phases))
        return section


class Settings(msgspec.Struct, frozen=True):
    """Which tables a profile of this pipeline has.

    sections: the table of each phase → its struct; apart: phases that are about something else than a
    behaviour → what they are about.
    """

    sections: dict[str, type[Section]]
    apart: dict[str, str] = {}

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Settings:
        """The settings of these phases. Raises ValueError if two of them differ about one table."""
        sections: dict[str, Any] = {}
        apart = {}
        for task in tasks:
            table = task.table or task.name
            if table in INPUTS or sections.setdefault(table, task.config) is not task.config:
                raise ValueError(f"phase {task.name}: table {table} is another's; name one of its own")
            if task.about:
                apart[task.name] = task.about
        return cls(sections, apart)

    @property
    def tables(self) -> dict[str, type[Section]]:
        """Every table → its struct, inputs first."""
        return INPUTS | self.sections

    def profile(self, tables: Mapping[str, Any], written_in: str) -> Profile:
        """The profile that these tables say; `written_in` is named in errors. Raises UsageError."""
        where = f"({written_in} or --set)"
        _check_finite(tables, where)
        fields: list[Any] = [(name, kind) for name, kind in self.tables.items() if name in REQUIRED]
        fields += [(name, kind, kind()) for name, kind in self.tables.items() if name not in REQUIRED]
        try:
            whole: Any = msgspec.convert(
                tables, msgspec.defstruct("Profile", fields, frozen=True, forbid_unknown_fields=True)
            )
        except msgspec.ValidationError as error:
            raise self._refused(tables, str(error), where) from error
        for section in REQUIRED:
            check_location(getattr(whole, section), section, where)
        inputs = {name: getattr(whole, name) for name in INPUTS}
        return Profile(**inputs, phases={name: getattr(whole, name) for name in self.sections})

    def _refused(self, tables: Mapping[str, Any], message: str, where: str) -> UsageError:
        """The error for what msgspec says of a value, with the value and the choices there are."""
        what, _, path = message.partition(" - at ")
        setting = re.sub(r"\[.*\]", "", path.strip("`").removeprefix("$.")) or "the profile"
        table, _, field = setting.partition(".")
        value = tables.get(table)
        value = value.get(field) if field and isinstance(value, dict) else value
        got = "another value" if value is None else repr(value)
        expected, remedy = what.removeprefix("Expected ").partition(", got ")[0], ""
        if "unknown field" in what:
            known = self.tables if setting == "the profile" else self.tables[table].__struct_fields__
            got = what.partition("field ")[2].strip("`")
            remedy = meant(got, known)
            expected = one_of(known)
        elif "Invalid enum value" in what:
            kinds = {each.name: each.type for each in msgspec.structs.fields(self.tables[table])}
            choices = [str(choice) for choice in _choices(msgspec.inspect.type_info(kinds[field]))]
            remedy = meant(what.partition("value ")[2].strip("'"), choices)
            expected = ("a list of these: " + ", ".join(choices)) if "[" in path else one_of(choices)
        return UsageError(f"{setting} {where}", expected=expected, got=got, remedy=remedy or None)


def _choices(kind: Any) -> Iterable[object]:
    """The values that a setting, or each item of one, may have."""
    if hasattr(kind, "values"):
        return tuple(kind.values)
    return _choices(getattr(kind, "item_type", None) or kind.type)


def profile_names() -> list[str]:
    """Names of the profiles that come built in."""
    return sorted(name[:-5] for name in os.listdir(PROFILES) if name.endswith(".toml"))


def profile_path(name: str) -> str:
    """The file of a built-in profile, or the file that is named."""
    return name if name.endswith(".toml") else os.path.join(PROFILES, name + ".toml")


def load_profile(
    settings: Settings, name: str, overrides: Sequence[str] = (), replaced: Mapping[str, Any] | None = None
) -> tuple[str, Profile]:
    """(name, profile) of a built-in profile or a TOML file.

    `replaced` are whole tables instead of those in the file; `overrides` ("table.field=value") go last. Paths
    in the file are relative to it. Raises UsageError.
    """
    path = profile_path(name)
    tables = read_tables(path, name) | dict(replaced or {})
    for override in overrides:
        apply(settings.tables, tables, override)
    profile = settings.profile(tables, os.path.basename(path))
    base = os.path.dirname(os.path.abspath(path))
    located = {
        field: msgspec.structs.replace(table, path=_absolute(base, table.path))
        for field, table in (
            ("model", profile.model),
            ("transcoders", profile.transcoders),
            ("texts", profile.texts),
        )
    }
    return os.path.basename(path)[:-5], msgspec.structs.replace(profile, **located)


def read_tables(path: str, name: str) -> dict[str, Any]:
    """A TOML file's tables, remembered by its bytes: importing a parser takes 8 ms. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            source = file.read()
        key = "toml 2 " + hashlib.sha256(source).hexdigest()
        if (tables := shared().get(key)) is None:
            tables = msgspec.toml.decode(source.removeprefix(codecs.BOM_UTF8))
            _check_finite(tables, f"({path})")  # before it is remembered as JSON, which has none
            shared().put(key, tables)
    except FileNotFoundError:
        raise unknown("profile", name, profile_names(), OWN) from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"profile {path}", expected="readable TOML in UTF-8", got=error) from error
    return {name: dict(table) if isinstance(table, dict) else table for name, table in tables.items()}


def _check_finite(value: Any, where: str, setting: str = "") -> None:
    """Raise UsageError for inf and nan, which no setting means."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{setting} {where}", expected="finite numbers", got=value)
    if isinstance(value, dict):
        for name, each in value.items():
            _check_finite(each, where, f"{setting}.{name}".lstrip("."))
    for each in value if isinstance(value, list) else ():
        _check_finite(each, where, setting)


def _absolute(base: str, path: str) -> str:
    return path and os.path.normpath(os.path.join(base, os.path.expanduser(path)))
