"""The house rules that a machine can check: who imports whom, what is packaged, what is documented."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "circuitstore"
MAY_IMPORT: dict[str, set[str]] = {  # room → rooms of the library it may import
    "errors": set(),
    "_version": set(),
    "memo": set(),
    "statistics": {"errors"},
    "models": {"errors"},
    "transcoders": {"errors", "models", "statistics"},
    "circuits": {"errors", "models", "statistics", "transcoders"},
    "hub": {"errors"},
    "storage": {"errors"},
    "engine": {"errors", "memo", "storage"},
    "pipeline": set(),
    "results": {
        "_version",
        "circuits",
        "engine",
        "errors",
        "pipeline",
        "statistics",
        "storage",
        "transcoders",
    },
    "command": {"_version", "engine", "errors", "pipeline", "results", "storage"},
    "__init__": {"_version", "engine", "pipeline"},
    "__main__": {"command"},
}


def imports(file: Path) -> set[str]:
    """Absolute names of all that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative imports hide who imports whom"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def rooms(names: set[str]) -> set[str]:
    return {
        name.split(".")[1]
        for name in names
        if name.startswith("circuitstore.") and name.split(".")[1] != "__version__"
    }


@pytest.mark.parametrize(
    "file", sorted(LIBRARY.rglob("*.py")), ids=lambda file: str(file.relative_to(LIBRARY))
)
def test_library_rooms_import_only_the_rooms_below(file):
    """errors ← storage ← engine ← command; models knows only errors; only commands know of tasks."""
    room = file.relative_to(LIBRARY).parts[0].removesuffix(".py")
    found = imports(file)
    assert rooms(found) - {room} <= MAY_IMPORT[room]
    if room != "command":
        assert not any(name == "tasks" or name.startswith("tasks.") for name in found)


def test_phases_do_not_import_each_other():
    """A phase names what it reads as parameters; it never reaches into another phase."""
    from tasks import PHASES

    for task in PHASES:
        for other in PHASES:
            found = imports(ROOT / "tasks" / f"{task.name}.py")
            assert not any(
                name == f"tasks.{other.name}" or name.startswith(f"tasks.{other.name}.") for name in found
            )


def test_each_phase_takes_what_its_declaration_says():
    """The function of a phase has the parameters (cells, config, *needs), in order."""
    from tasks import PHASES

    for task in PHASES:
        tree = ast.parse((ROOT / "tasks" / f"{task.name}.py").read_text())
        function = next(
            node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == task.name
        )
        assert [argument.arg for argument in function.args.args] == ["cells", "config", *task.needs]


def test_phases_stand_in_the_order_of_their_needs():
    """What a phase needs stands before it in the contents page, so there are no circles."""
    from tasks import PHASES

    for i, task in enumerate(PHASES):
        later = {other.name for other in PHASES[i:]}
        assert not later & {*task.needs, *task.after}


def test_setup_cfg_lists_every_package():
    """Packages are listed by hand, because tasks/ is mapped into the library."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    folders = {
        file.parent.relative_to(ROOT)
        for top in ("circuitstore", "tasks")
        for file in (ROOT / top).rglob("__init__.py")
    }
    names = {".".join(folder.parts) for folder in folders}
    assert listed == {
        name if name.startswith("circuitstore") else f"circuitstore._bundled.{name}" for name in names
    }


def test_constraints_pin_every_requirement():
    """constraints.txt pins each direct dependency exactly, torch as documented."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    required = (
        config["options"]["install_requires"] + "".join(config["options.extras_require"].values())
    ).split()
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert {name.split(">")[0].lower() for name in required} <= {name.lower() for name in pinned}
    assert pinned["torch"] == "2.13.0"


def test_lint_and_types_are_clean():
    """ruff and mypy find nothing."""
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_is_documented():
    """README or docs name every command of the command line."""
    from circuitstore.command import Commands

    text = "".join(file.read_text() for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    assert [name for name in Commands.homes if f"circuitstore {name}" not in text] == []


def test_every_setting_is_documented():
    """docs/profiles.md names every field of every config struct."""
    from tasks.settings.config import Profile

    text = (ROOT / "docs" / "profiles.md").read_text()
    documented = {
        f"{section}.{field}" for section in Profile.__struct_fields__ for field in _fields(Profile, section)
    }
    assert [
        name
        for name in sorted(documented)
        if name not in text and f"\n    {name.split('.')[1]} =" not in text
    ] == []


def _fields(profile, section: str) -> tuple[str, ...]:
    import msgspec

    return next(
        field.type for field in msgspec.structs.fields(profile) if field.name == section
    ).__struct_fields__


def test_no_file_has_two_jobs():
    """Files of the library and the pipeline stay below 400 lines."""
    files = [file for top in ("circuitstore", "tasks") for file in (ROOT / top).rglob("*.py")]
    assert [str(file) for file in files if len(file.read_text().splitlines()) > 400] == []


def test_python_support_is_stated_once():
    """setup.cfg, ruff and mypy agree on the oldest Python."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["ruff"]["target-version"] == "py311"
    assert tools["mypy"]["python_version"] == "3.11"
    assert "python_requires = >=3.11" in (ROOT / "setup.cfg").read_text()
