"""Loading the code that computes content, always from its source, and remembering which source that was.

Python trusts bytecode whose time stamp (in seconds) and size match: a file edited twice within a second can
run its old code. A long-lived worker or notebook keeps old code too. Either would file old results under a
new key.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from types import ModuleType

from circuitstore.engine.fingerprint import COMPUTE, declares, source_hash
from circuitstore.errors import StaleCodeError

_sources: dict[str, bytes] = {}


class _SourceLoader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str):
        path = self.get_filename(fullname)
        _sources[fullname] = self.get_data(path)
        return self.source_to_code(_sources[fullname], path)


class _SourceFinder:
    """Finds modules that compute content, and nothing else."""

    def __init__(self, package: str):
        self.package = package

    def find_spec(self, fullname, path=None, target=None):
        computes = fullname.startswith((*COMPUTE, self.package + "."))
        if not computes or declares(fullname, self.package):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _SourceLoader(fullname, spec.loader.path)
        return spec


def watch(package: str) -> None:
    """From now on load the modules of this tasks package, and of `circuitstore.models`, from source."""
    if not any(isinstance(finder, _SourceFinder) and finder.package == package for finder in sys.meta_path):
        sys.meta_path.insert(0, _SourceFinder(package))


def load_module(name: str, expected: dict[str, str]) -> ModuleType:
    """Import a phase's module and check it, see `check_loaded`. Raises StaleCodeError."""
    module = importlib.import_module(name)
    check_loaded(expected)
    return module


def check_loaded(expected: dict[str, str]) -> None:
    """All code of a key that this process has loaded is the code the key was made from.

    `expected` is module → hash of its normalised source, as `Code.closure` gives. Raises StaleCodeError.
    """
    for module, wanted in expected.items():
        if module in sys.modules and (module not in _sources or source_hash(_sources[module]) != wanted):
            raise StaleCodeError(
                f"module {module}",
                expected="the source that the key was made from",
                got="other code in memory",
                remedy="restart this process (a notebook's kernel, a worker) and build again",
            )
