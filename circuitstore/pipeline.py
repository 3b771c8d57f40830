"""Finding the pipeline: the `tasks` package that belongs to this installation.

In a checkout and an editable install `tasks` lies beside `circuitstore`. A wheel carries it inside, so that
site-packages gains only one name.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from typing import TYPE_CHECKING

from circuitstore.errors import UsageError

if TYPE_CHECKING:
    from circuitstore.engine.services import Services
    from circuitstore.engine.task import Pipeline

PACKAGE = "tasks"


def load() -> Pipeline:
    """The pipeline of this installation.

    Raises UsageError when another module of the user's has the name `tasks`.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    bundled = os.path.join(here, "_bundled")
    root = bundled if os.path.isdir(bundled) else os.path.dirname(here)
    if PACKAGE not in sys.modules and not _finds(root):  # also where a module of that name lies before it
        sys.path.insert(0, root)
    try:
        package = importlib.import_module(PACKAGE)
    except ValueError as error:  # what a declaration of phases raises
        raise UsageError(f"the phases in {os.path.join(root, PACKAGE)}", got=error) from error
    if os.path.realpath(os.path.dirname(package.__file__ or "")) != os.path.realpath(
        os.path.join(root, PACKAGE)
    ):
        remedy = f"rename {package.__file__}, for one process has one module of a name"
        where = f"module {PACKAGE}"
        raise UsageError(where, expected=f"the one in {root}", got=package.__file__, remedy=remedy)
    pipeline: Pipeline = package.PIPELINE
    return pipeline


def _finds(root: str) -> bool:
    """Whether Python would import the package from this folder."""
    spec = importlib.machinery.PathFinder.find_spec(PACKAGE)
    origin = spec.origin if spec is not None and spec.origin else ""
    return os.path.realpath(os.path.dirname(origin)) == os.path.realpath(os.path.join(root, PACKAGE))


def services() -> Services:
    """What commands need of the pipeline beside its phases. Raises UsageError."""
    serves: Services = load().serves
    return serves
