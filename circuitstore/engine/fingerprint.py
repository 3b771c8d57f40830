"""Keys: what a result depends on, as one sha256.

A key covers the task's name, its effective configuration, the identity of its resources, the content of what
it reads, and its code. Code means the normalised source (`ast.unparse` without docstrings, so neither
comments nor formatting count) of the phase's module and of every module that computes content which it
imports, transitively, found statically.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import os
import struct
from functools import lru_cache

import msgspec

from circuitstore.errors import InputError
from circuitstore.memo import Memo

# The rooms of the library that compute content; the others carry it.
ROOMS = tuple(f"circuitstore.{room}" for room in ("models", "transcoders", "circuits"))
COMPUTE = (*ROOMS, "circuitstore.statistics")
DECLARING = (
    ".settings",
    ".inputs.resources",
    ".inputs.places",
    ".inputs.trained_on",
    ".costs",
    ".exports",
)  # rooms of a tasks package that declare: what they say is in keys by value


def encode(value: object) -> bytes:
    """Plain data as canonical bytes: every value carries its type and length, so no two values share an
    encoding.

    Raises TypeError for anything but None, bool, int, float, str, bytes, list, tuple, dict with text keys,
    msgspec.Struct.
    """
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, int):
        return _tagged(b"i", str(value).encode())
    if isinstance(value, float):
        return _tagged(b"f", value.hex().encode())
    if isinstance(value, str):
        return _tagged(b"s", value.encode())
    if isinstance(value, bytes):
        return _tagged(b"b", value)
    if isinstance(value, (list, tuple)):
        return _tagged(b"l", b"".join(map(encode, value)))
    if isinstance(value, msgspec.Struct):
        return encode({name: getattr(value, name) for name in value.__struct_fields__})
    if isinstance(value, dict):
        if any(not isinstance(name, str) for name in value):
            raise TypeError("only text keys have a canonical order")
        return _tagged(b"d", b"".join(encode(name) + encode(value[name]) for name in sorted(value)))
    raise TypeError(f"no canonical encoding for {type(value).__name__}")


def _tagged(tag: bytes, body: bytes) -> bytes:
    return tag + struct.pack("<Q", len(body)) + body


def digest(kind: str, value: object) -> str:
    """sha256 (hexadecimal) of plain data; `kind` keeps hashes of different meaning apart."""
    return hashlib.sha256(encode([f"circuitstore {kind} 1", value])).hexdigest()


def normalised(source: bytes) -> str:
    """Source without docstrings, comments and formatting, equal across Python versions."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@lru_cache(maxsize=256)
def source_hash(source: bytes) -> str:
    """sha256 of the normalised source."""
    return hashlib.sha256(normalised(source).encode()).hexdigest()


def declares(module: str, package: str) -> bool:
    """Whether a module's code is no part of any key."""
    return module in (*ROOMS, package) or any(_within(module, package + room) for room in DECLARING)


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


class Code:
    """Fingerprints of the code in a tasks package and in the rooms of the library that compute."""

    def __init__(self, package: str, memo: Memo):
        self.package, self.memo = package, memo
        self._read: dict[str, tuple[str, list[str]]] = {}
        self._files: dict[str, str | None] = {}

    def closure(self, *modules: str) -> dict[str, str]:
        """Module → hash of its normalised source, for these modules and all that they import."""
        found: dict[str, str] = {}
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            if module not in found and (file := self.locate(module)) is not None:
                found[module], imports = self._module(module, file)
                waiting += imports
        return dict(sorted(found.items()))

    def locate(self, module: str) -> str | None:
        """File of a module that computes content, else None."""
        if module not in self._files:
            self._files[module] = self._locate(module)
        return self._files[module]

    def _locate(self, module: str) -> str | None:
        if declares(module, self.package):
            return None
        for root in (self.package, *COMPUTE):
            if module == root or module.startswith(root + "."):
                base = os.path.join(_folder(root), *module[len(root) + 1 :].split("."))
                for file in (base.rstrip(os.sep) + ".py", os.path.join(base, "__init__.py")):
                    if os.path.isfile(file):
                        return file
        return None

    def _module(self, module: str, file: str) -> tuple[str, list[str]]:
        if module not in self._read:
            with open(file, "rb") as stream:
                source = stream.read()
            key = (
                "source "
                + hashlib.sha256(f"{module} {os.path.basename(file)}\n".encode() + source).hexdigest()
            )
            known = self.memo.get(key)
            if known is None:
                try:
                    names = _imports(module, os.path.basename(file) == "__init__.py", source)
                except SyntaxError as error:
                    raise InputError(
                        f"{file}:{error.lineno}", expected="Python source", got=error.msg
                    ) from error
                known = [
                    source_hash(source),
                    [name for name in names if name.startswith((self.package, *COMPUTE))],
                ]
                self.memo.put(key, known)
            self._read[module] = known[0], known[1]
        return self._read[module]


@lru_cache
def _folder(root: str) -> str:
    spec = importlib.machinery.PathFinder.find_spec(root.partition(".")[0])
    assert spec is not None and spec.submodule_search_locations is not None
    return os.path.join(spec.submodule_search_locations[0], *root.split(".")[1:])


def _imports(module: str, is_package: bool, source: bytes) -> list[str]:
    """Absolute names of all that a module may import, at any depth; a name that is no module is simply not
    located.
    """
    here = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ".".join(here.split(".")[: len(here.split(".")) - node.level + 1])
                base = f"{above}.{base}" if base else above
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    parents = {
        name.rsplit(".", depth)[0] for name in found for depth in range(1, name.count(".") + 1)
    }  # their __init__ run too
    return sorted(found | parents)
