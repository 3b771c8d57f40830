"""What the project's own files say agrees: packages, pins, Python versions, documents of commands and settings."""

from __future__ import annotations

import configparser
import tomllib

import msgspec
from workspace import ROOT

from circuitstore.command import Commands
from tasks import SETTINGS


def setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_setup_cfg_lists_every_package():
    """Packages are listed by hand, because tasks/ is mapped into the library."""
    listed = setup()["options"]["packages"].split()
    folders = {
        file.parent.relative_to(ROOT)
        for top in ("circuitstore", "tasks")
        for file in (ROOT / top).rglob("__init__.py")
    }
    names = {".".join(folder.parts) for folder in folders}
    bundled = {name if name.startswith("circuitstore") else f"circuitstore._bundled.{name}" for name in names}
    assert set(listed) == bundled and len(listed) == len(set(listed))


def test_constraints_pin_every_requirement():
    """constraints.txt pins each direct dependency exactly, torch as documented."""
    config = setup()
    extras = "".join(config["options.extras_require"].values())
    required = (config["options"]["install_requires"] + extras).split()
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {
        name.lower(): version for name, _, version in (line.partition("==") for line in lines) if version
    }
    assert {name.partition(">")[0].partition("[")[0].lower() for name in required} <= set(pinned)
    assert pinned["torch"] == "2.13.0"


def test_python_support_is_stated_once():
    """setup.cfg, ruff and mypy agree on the oldest Python."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["ruff"]["target-version"] == "py311"
    assert tools["mypy"]["python_version"] == "3.11"
    assert "python_requires = >=3.11" in (ROOT / "setup.cfg").read_text()


def test_every_command_is_documented():
    """README or docs name every command of the command line."""
    text = "".join(file.read_text() for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    assert [name for name in Commands.homes if f"circuitstore {name}" not in text] == []


def test_every_setting_is_documented():
    """docs/profiles.md names every field of every table."""
    text = (ROOT / "docs" / "profiles.md").read_text()
    missing = [
        f"{table}.{field.name}"
        for table, section in SETTINGS.tables.items()
        for field in msgspec.structs.fields(section)
        if f"{table}.{field.name}" not in text and f"\n    {field.name} =" not in text
    ]
    assert missing == []
