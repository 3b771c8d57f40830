"""Finding the pipeline: the `tasks` package that belongs to this installation.

In a checkout and an editable install `tasks` lies beside `circuitstore`; a wheel carries it inside, so that
site-packages gains only one name.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

PACKAGE = "tasks"


def load() -> ModuleType:
    """Import the tasks package."""
    here = os.path.dirname(os.path.abspath(__file__))
    bundled = os.path.join(here, "_bundled")
    root = bundled if os.path.isdir(bundled) else os.path.dirname(here)
    if root not in sys.path:
        sys.path.insert(0, root)
    return importlib.import_module(PACKAGE)
