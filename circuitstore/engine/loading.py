"""Loading the code that computes content, and remembering from which source each module was loaded.

Python trusts bytecode whose time stamp (in seconds) and size match: a file edited twice within a second can
run its old code. A long-lived worker or notebook keeps old code too. Either would file old results under a
new key. So modules that compute are found by `_SourceFinder`: it remembers the source, and keeps compiled
code with the hash of its source, so that old code is noticed.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import marshal
import os
import sys
from collections.abc import Mapping, Sequence
from types import CodeType, ModuleType

from circuitstore.engine import audit
from circuitstore.engine.fingerprint import computes, package_folder, source_hash
from circuitstore.errors import StaleCodeError
from circuitstore.memo import cache_folder, file_hash

HASH_BYTES = hashlib.sha256().digest_size
_sources: dict[str, bytes] = {}


class _SourceLoader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = bytes(self.get_data(path))
        # The first source counts: when a module is loaded again, others go on with what they took of it.
        _sources.setdefault(fullname, source)
        code = _kept(path, source)
        if code is None:
            code = compile(source, path, "exec", dont_inherit=True)
            _keep(path, source, code)
        return code

    def exec_module(self, module: ModuleType) -> None:
        again = module.__name__ in _sources
        try:
            with audit.executing(module.__name__):
                super().exec_module(module)
        except BaseException:
            if not again:  # nobody has anything of a module that failed
                _sources.pop(module.__name__, None)
            raise


class _SourceFinder:
    """Finds modules that compute content, and nothing else."""

    def __init__(self, package: str):
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not computes(fullname, self.package):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        audit.remember(self.package)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _SourceLoader(fullname, spec.loader.path)
        return spec


def watch(package: str) -> None:
    """From now on remember the source of every module that computes.

    These are the modules of this tasks package and of the library.

    `circuitstore` calls this when it is imported, before anything that computes can be.
    """
    sys.meta_path.insert(0, _SourceFinder(package))


def load_module(name: str, expected: Mapping[str, str]) -> ModuleType:
    """Import a phase's module and check it, see `check_loaded`. Raises StaleCodeError."""
    module = importlib.import_module(name)
    check_loaded(expected)
    return module


def check_loaded(expected: Mapping[str, str]) -> None:
    """All code of a key that this process has loaded is the code the key was made from.

    `expected` is module → hash of its source's tree, and declared file → hash, as `Code.closure` and
    `Code.declared` give. Raises StaleCodeError.
    """
    for module, wanted in expected.items():
        if "/" in module:
            _check_declared(module, wanted)
            continue
        if module in _sources and source_hash(_sources[module]) == wanted:
            continue
        if module not in _sources and module not in sys.modules:
            continue
        first = "" if module in _sources else f" and import circuitstore before {module}"
        raise StaleCodeError(
            f"module {module}",
            expected="the source that the key was made from",
            got="other code in memory" if not first else "code that was loaded before it could be checked",
            remedy=f"restart this process (a notebook's kernel, a worker){first} and build again",
        )
    audit.check_reads(expected)


def _check_declared(name: str, wanted: str) -> None:
    """A file that a phase declares has the content that the key was made from. Raises StaleCodeError."""
    top, *_ = parts = name.split("/")
    path = os.path.join(os.path.dirname(package_folder(top)), *parts)
    try:
        content = file_hash(path)
    except OSError:
        content = ""
    if content != wanted:
        expected, got = "the content that the key was made from", "another content, or no file"
        raise StaleCodeError(path, expected=expected, got=got, remedy="build again")


def _kept(path: str, source: bytes) -> CodeType | None:
    """The compiled code of this very source, if it was kept."""
    try:
        with open(_compiled_path(path), "rb") as file:
            stamp, code = file.read(HASH_BYTES), file.read()
        compiled = marshal.loads(code) if stamp == _stamp(source, code) else None
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return compiled if isinstance(compiled, CodeType) else None


def _keep(path: str, source: bytes, code: CodeType) -> None:
    """Keep compiled code, with the hash of its source in front."""
    final = _compiled_path(path)
    draft = f"{final}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(final), exist_ok=True)
        with open(draft, "wb") as file:
            compiled = marshal.dumps(code)
            file.write(_stamp(source, compiled) + compiled)
        os.replace(draft, final)
    except OSError:
        return  # a read-only home only makes the next start slower


def _stamp(source: bytes, compiled: bytes) -> bytes:
    """What stands before compiled code: the hash of both, so that neither can be another."""
    return hashlib.sha256(hashlib.sha256(source).digest() + compiled).digest()


def _compiled_path(path: str) -> str:
    """Where the compiled code of a file is kept.

    It is one file a path and interpreter, so that they do not pile up.
    """
    compiler = importlib.util.MAGIC_NUMBER + bytes([sys.flags.optimize])
    name = hashlib.sha256(b"\0".join((compiler, os.fsencode(path)))).hexdigest()
    return os.path.join(cache_folder(), "code", name[:32])
