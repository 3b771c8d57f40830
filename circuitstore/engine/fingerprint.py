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
from collections.abc import Iterable
from functools import lru_cache

from circuitstore.engine.hidden import FOR_TYPES, hidden_input
from circuitstore.engine.trees import plain_tree
from circuitstore.errors import InputError
from circuitstore.memo import Memo, file_hash
from circuitstore.storage.encoding import digest as digest  # for all who make keys

# The rooms of the library that compute content, and one module; the others carry it.
ROOMS = tuple(f"circuitstore.{room}" for room in ("models", "transcoders", "circuits", "statistics"))
COMPUTE = (*ROOMS, "circuitstore.texts")
# Rooms of a tasks package whose code decides no result: what settings say is in keys by value, and costs and
# exports come after.
DECLARING = (".settings", ".costs", ".exports", ".inputs.resources")
CARRYING, ERRORS = ".inputs", "circuitstore.errors"
MEMO_VERSION = 4  # of what is remembered of a source
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
        self._files: dict[str, str | None] = {}

    def closure(self, *modules: str) -> dict[str, str]:
        """Module → hash of its source's tree, for these modules and all that they import.

        Raises InputError.
        """
        hashes: dict[str, str] = {}
        waiting = [*modules, *_around(modules)]
        while waiting:
            module = waiting.pop()
            if module not in hashes and (file := self.locate(module)) is not None:
                hashes[module], imports = self._module(module, file)
                waiting += imports
        return dict(sorted(hashes.items()))

    def declared(self, module: str, names: Iterable[str]) -> dict[str, str]:
        """Path → sha256 of the files that a module declares.

        Paths are those from the folder of the package. Raises InputError.
        """
        return {
            os.path.relpath(path, os.path.dirname(package_folder(self.package))).replace(os.sep, "/"): digest
            for path, digest in ((path, _sha256(path)) for path in declared_paths(module, names))
        }

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
        files = (base.rstrip(os.sep) + ".py", os.path.join(base, "__init__.py"))
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
                    names = _imports(module, os.path.basename(file) == "__init__.py", source)
                except SyntaxError as error:
                    raise InputError(
                        f"{file}:{error.lineno}", expected="Python source", got=error.msg
                    ) from error
                covered = [name for name in names if computes(name, self.package)]
                known = [source_hash(source), covered, self._uncovered(module, names)]
                known.append(hidden_input(ast.parse(source)))
                self.memo.put(key, known)
            if known[2]:
                remedy = "move what it needs to a room that computes, or import it for types only"
                raise InputError(file, expected="imports that a key covers", got=known[2], remedy=remedy)
            if known[3]:
                expected = "code that does what its syntax tree says, which alone is in a key"
                raise InputError(file, expected=expected, got=known[3], remedy="write it as a constant")
            self._read[module] = known[0], known[1]
        return self._read[module]

    def _uncovered(self, module: str, names: list[str]) -> str:
        """A module that a phase may not import, because no key covers its code; "" if none.

        What turns files into inputs may import all of the library: it only carries what it is given.
        """
        carries = module.startswith(COMPUTE) or _within(module, self.package + CARRYING)
        allowed = (ERRORS, *COMPUTE)
        rooms = [self.package + room for room in DECLARING]
        uncovered = (
            name
            for name in names
            if (name.startswith("circuitstore.") and not name.startswith(allowed) and _is_module(name))
            or any(_within(name, room) for room in rooms)
        )
        return "" if carries else next(uncovered, "")


def _is_module(name: str) -> bool:
    base = os.path.join(package_folder("circuitstore"), *name.split(".")[1:])
    return os.path.isfile(base + ".py") or os.path.isdir(base)


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


def _imports(module: str, is_package: bool, source: bytes) -> list[str]:
    """Absolute names of all that a module may import, at any depth.

    A name that is no module is simply not located.
    """
    here = module if is_package else module.rpartition(".")[0]
    names: set[str] = set()
    tree = ast.parse(source)
    for_types = {id(inner) for node in ast.walk(tree) if _is_for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue  # it is never executed
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ".".join(here.split(".")[: len(here.split(".")) - node.level + 1])
                base = f"{above}.{base}" if base else above
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return sorted(names | _around(names))


def _around(modules: Iterable[str]) -> set[str]:
    """The packages around modules, which run when these are imported."""
    return {name.rsplit(".", depth)[0] for name in modules for depth in range(1, name.count(".") + 1)}


def _is_for_types(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:` without an else."""
    test = node.test if isinstance(node, ast.If) and not node.orelse else None
    return isinstance(test, ast.Name) and test.id == FOR_TYPES
