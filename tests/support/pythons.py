"""The interpreters of other versions that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

NAMED = "CIRCUITSTORE_PYTHONS"  # a variable that names further interpreters, as PATH names folders
MINORS = (11, 12, 13)


@cache
def interpreters() -> list[str]:
    """Versions of Python that this project supports: those that are named, of pyenv, and on PATH."""
    named = [path for path in os.environ.get(NAMED, "").split(os.pathsep) if path]
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    pyenv = [str(path) for path in sorted(home.glob("3.1[123].*/bin/python"))]
    on_path = [path for minor in MINORS if (path := shutil.which(f"python3.{minor}"))]
    return [*named, *pyenv, *on_path]


@cache
def with_packages(python: str, minor: int) -> bool:
    """Whether an interpreter is Python 3.MINOR and has what a build with nothing to do imports."""
    check = f"import click, msgspec, yaml, sys; sys.exit(sys.version_info[:2] != (3, {minor}))"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
