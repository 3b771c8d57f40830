"""Keys: what a result depends on, as one sha256.

A key covers the name of the phase, its effective settings, the identity of its resources, the content of what
it reads, and its code. Code means the syntax trees of the phase's module and of every module that computes
content which it imports, transitively, found statically. Docstrings, comments and formatting are no part of a
tree. The encoding of a tree is our own, because that of Python (`ast.dump`, `ast.unparse`) differs between
versions, and then two users with equal files would share nothing.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import os
import sys
import sysconfig
from collections.abc import Iterable
from functools import lru_cache

from circuitstore.engine.hidden import hidden_input
from circuitstore.engine.imports import around, imports
from circuitstore.engine.trees import plain_tree
from circuitstore.errors import InputError
from circuitstore.memo import Memo, file_hash
from circuitstore.storage.encoding import digest as digest  # for all who make keys

# The rooms of the library that compute content, and one module; the others carry it.
ROOMS = tuple(f"circuitstore.{room}" for room in ("models", "transcoders", "circuits", "statistics"))
COMPUTE = (*ROOMS, "circuitstore.texts")
# Rooms of a tasks package whose code decides no result: what settings say is in keys by value, labels are
# inputs by their content, and costs, exports and the explorer come after.
DECLARING: tuple[str, ...] = (".settings", ".costs", ".exports", ".exploring", ".labelling", ".variables")
DECLARING += (".inputs.resources",)
STANDARD = sys.stdlib_module_names
CARRYING, ERRORS = ".inputs", "circuitstore.errors"  # messages are no results
MEMO_VERSION = 7  # of what is remembered of a source
TREE_VERSION = 2  # of the encoding of syntax trees; one more whenever it changes


@lru_cache(maxsize=256)
def source_hash(source: bytes) -> str:
    """sha256 of a source's tree. Raises SyntaxError."""
    return digest(f"source {TREE_VERSION}", plain_tree(ast.parse(source)))


def declares(module: str, package: str) -> bool:
    """Whether a module's code is no part of any key."""
    return module in (*ROOMS, package) or any(_within(module, package + room) for room in DECLARING)


def computes(module: str, package: str) -> bool:
    """Whether a module's code belongs into the keys of whatever imports it."""
    inside = any(_within(module, root) for root in (package, *COMPUTE))
    return inside and not declares(module, package)


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


class Code:
    """Fingerprints of the code in a tasks package and in the rooms of the library that compute."""

    def __init__(self, package: str, memo: Memo):
        self.package, self.memo = package, memo
        self._read: dict[str, tuple[str, list[str]]] = {}
        self._outside: dict[str, list[str]] = {}
        self._files: dict[str, str | None] = {}

    def closure(self, *modules: str) -> dict[str, str]:
        """Module → hash of its source's tree, for these modules and all that they import.

        Raises InputError.
        """
        hashes: dict[str, str] = {}
        waiting = [*modules, *around(modules)]
        while waiting:
            module = waiting.pop()
            if module not in hashes and (file := self.locate(module)) is not None:
                hashes[module], imported = self._module(module, file)
                waiting += imported
        return dict(sorted(hashes.items()))

    def declared(self, module: str, names: Iterable[str]) -> dict[str, str]:
        """Path → sha256 of the files that a module declares.

        Paths are those from the folder of the package. Raises InputError.
        """
        return {
            os.path.relpath(path, os.path.dirname(package_folder(self.package))).replace(os.sep, "/"): digest
            for path, digest in ((path, _sha256(path)) for path in declared_paths(module, names))
        }

    def outside(self, module: str) -> list[str]:
        """The top-level names of other packages that a module of a closure may import."""
        return self._outside.get(module, [])

    def locate(self, module: str) -> str | None:
        """File of a module that computes content, else None."""
        if module not in self._files:
            self._files[module] = self._locate(module)
        return self._files[module]

    def _locate(self, module: str) -> str | None:
        if not computes(module, self.package):
            return None
        top, _, inner = module.partition(".")
        base = os.path.join(package_folder(top), *inner.split("."))
        files = (os.path.join(base, "__init__.py"), base.rstrip(os.sep) + ".py")  # as Python chooses
        return next(filter(os.path.isfile, files), None)

    def _module(self, module: str, file: str) -> tuple[str, list[str]]:
        if module not in self._read:
            with open(file, "rb") as stream:
                source = stream.read()
            where = f"{TREE_VERSION} {MEMO_VERSION} {module} {os.path.basename(file)}\n"
            key = "source " + hashlib.sha256(where.encode() + source).hexdigest()
            known = self.memo.get(key)
            if known is None:
                try:
                    tree = ast.parse(source)
                except SyntaxError as error:
                    raise InputError(
                        f"{file}:{error.lineno}", expected="Python source", got=error.msg
                    ) from error
                names, values = imports(module, os.path.basename(file) == "__init__.py", tree)
                covered = [name for name in names if computes(name, self.package)]
                known = [source_hash(source), covered, names, hidden_input(tree), values]
                self.memo.put(key, known)
            self._check(module, file, *known[2:])
            tops = sorted({name.partition(".")[0] for name in known[2]})
            self._outside[module] = [top for top in tops if top not in (self.package, "circuitstore")]
            self._read[module] = known[0], known[1]
        return self._read[module]

    def _check(self, module: str, file: str, names: list[str], hidden: str, values: list[str]) -> None:
        """Refuse code that may use what its key would not cover. Raises InputError."""
        if whole := next((name for name in values if _is_package(name)), ""):
            expected = "imports of single modules, for a package leads to all code in it"
            remedy = f"import what it needs by its name: from {whole}.MODULE import NAME"
            raise InputError(file, expected=expected, got=f"the package {whole}", remedy=remedy)
        if uncovered := self._uncovered(module, names):
            remedy = f"move what it needs into a module of {self.package} that phases share, as in parts/"
            raise InputError(file, expected="imports that a key covers", got=uncovered, remedy=remedy)
        if hidden:
            expected = "code that does what its syntax tree says, which alone is in a key"
            raise InputError(file, expected=expected, got=hidden, remedy="write it as a constant")

    def _uncovered(self, module: str, names: list[str]) -> str:
        """A module that a phase may not import, because no key covers its code; "" if none.

        What turns files into inputs may import all of the library: it only carries what it is given.
        """
        beside = sorted({name.partition(".")[0] for name in names})
        if own := next((name for name in beside if self._lies_beside(name)), ""):
            return f"{own}, which is of this project and lies outside of the package {self.package}"
        if module.startswith(COMPUTE) or _within(module, self.package + CARRYING):
            return ""
        return next((name for name in names if self._is_uncovered(name)), "")

    def _is_uncovered(self, name: str) -> bool:
        """Whether a name of our packages stands in no key: of other rooms, and what a package itself says."""
        if any(_within(name, self.package + room) for room in (*DECLARING, CARRYING)):
            return True
        around = name.rpartition(".")[0]
        if around in ("circuitstore", *ROOMS, self.package) and not _is_module(name):
            return True
        allowed = (ERRORS, *COMPUTE)
        return name.startswith("circuitstore.") and not name.startswith(allowed) and _is_module(name)

    def _lies_beside(self, name: str) -> bool:
        """Whether a module outside of the package is the user's own, and not an installed one."""
        if name in (self.package, "circuitstore"):
            return False
        folder = os.path.dirname(package_folder(self.package))
        if name in STANDARD or _is_installed(folder):
            return False
        base = os.path.join(folder, name)
        return os.path.isfile(base + ".py") or os.path.isfile(os.path.join(base, "__init__.py"))


@lru_cache(maxsize=8)
def _is_installed(folder: str) -> bool:
    """Whether packages are installed into a folder, as those of phases may be."""
    return folder in sysconfig.get_paths().values()


@lru_cache(maxsize=4096)
def _is_module(name: str) -> bool:
    top, *inner = name.split(".")
    base = os.path.join(package_folder(top), *inner)
    return os.path.isfile(base + ".py") or os.path.isdir(base)


@lru_cache(maxsize=4096)
def _is_package(name: str) -> bool:
    top, *inner = name.split(".")
    return os.path.isdir(os.path.join(package_folder(top), *inner))


def declared_paths(module: str, names: Iterable[str]) -> list[str]:
    """The files that a module declares by their paths from its folder. Raises InputError."""
    top, *inner = module.split(".")
    folder = os.path.join(package_folder(top), *inner[:-1])
    paths = []
    for name in names:
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\\" in part for part in parts):
            where = f"files that {module} declares"
            raise InputError(where, expected="names of files in its folder or below", got=repr(name))
        paths.append(os.path.join(folder, *parts))
    return paths


def _sha256(path: str) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise InputError(
            path, expected="a readable file, as declared", got=error.strerror or error
        ) from error


@lru_cache
def package_folder(package: str) -> str:
    """The folder of a package, which is not imported. Raises InputError."""
    spec = importlib.machinery.PathFinder.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise InputError(f"package {package}", expected="a package that can be imported", got="none")
    return str(spec.submodule_search_locations[0])
