"""The audit: what is read while cells are computed must be covered by the key.

A key is declared statically, and a phase is a Python function that could read anything. A read that the key
does not cover would file a result under a key that another input has too. So Python's own audit events are
heard (`sys.addaudithook`, PEP 578): `open` for files and for the source of modules, `import` for modules of
machine code. A read that is not covered is refused, and the cell fails with an error that names the file.

A module is executed once a process, perhaps long before the cells that it decides. What is read meanwhile is
remembered with it, and looked at again whenever the module is in a key.

Readers that are not Python's, as those of safetensors and tokenizers, raise no event. They are given links to
the files that are hashed, and to nothing else (`tasks/inputs/files.py`).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from circuitstore.engine.territory import Cover, Kind, folders, kind, source_of
from circuitstore.errors import StaleCodeError, UndeclaredReadError
from circuitstore.memo import file_hash

WRITE_ONLY = os.O_WRONLY | os.O_RDWR
READERS_OF_SOURCE = ("linecache", "tokenize")  # modules that show lines of code, in a warning for instance
WHERE = '(CONTRIBUTING.md, "Files that a key covers")'
REMEDY_FOR_CODE = (
    "move it into the package of the phases and import it by its name; if the name is made at run time, "
    f"list it in MODULES of the behaviour or in modules= of the Task {WHERE}"
)
REMEDY_FOR_INPUT = (
    f"a loader tells the content of what it reads in `identity`, and its path in `sources` {WHERE}"
)
REMEDY_FOR_DATA = (
    "move it into the folder of the module that reads it, "
    f"and list it in FILES of the behaviour or in files= of the Task {WHERE}"
)

_watches: list[Watch] = []
_executing = threading.local()
_remembered: dict[str, str] = {}  # file that a phase or behaviour declares → sha256 when it was first read
_reads: dict[str, dict[str, str]] = {}  # module → file that was read while it was executed → sha256, or ""
_installed: list[bool] = []


class Watch:
    """Reads while cells of one phase are computed.

    Heard are the thread that began it and threads that started since. Others, as a notebook's, go their way.
    """

    def __init__(self, phase: str, cover: Cover):
        self.phase, self.cover = phase, cover
        self.owner = threading.get_ident()
        self._bystanders = {thread.ident for thread in threading.enumerate()} - {self.owner}
        self._refused: list[UndeclaredReadError] = []
        self._allowed: frozenset[str] = frozenset()

    @contextmanager
    def allowing(self, files: Iterable[str]) -> Iterator[None]:
        """Let these files be read inside the block, although the key tells nothing of their content."""
        before, self._allowed = self._allowed, frozenset(map(os.path.realpath, files))
        try:
            yield
        finally:
            self._allowed = before

    def covers(self, path: str) -> bool:
        """Whether a file may be read at present."""
        return self.cover.covers(path) or (bool(self._allowed) and os.path.realpath(path) in self._allowed)

    def hears(self, thread: int) -> bool:
        """Whether a thread's reads are those of this phase."""
        owners = {watch.owner for watch in _watches}
        return thread == self.owner or (thread not in owners and thread not in self._bystanders)

    def see(self, path: str) -> None:
        """Take note of a read. Raises UndeclaredReadError, and remembers it in case the code goes on."""
        if not self.covers(path):
            got = source_of(os.path.abspath(path))
            error = UndeclaredReadError(
                f"phase {self.phase}",
                expected="to read only what its key covers",
                got=got,
                remedy=self._remedy(got),
            )
            self._refused.append(error)
            raise error

    def _remedy(self, path: str) -> str:
        """What to do about a read of this path."""
        if path.endswith(".py"):
            return REMEDY_FOR_CODE
        return REMEDY_FOR_INPUT if self.cover.of_input(path) else REMEDY_FOR_DATA

    def check_imports(self, modules: Iterable[str]) -> None:
        """See again what was read while these modules were executed. Raises UndeclaredReadError."""
        for module in modules:
            for path in _reads.get(module, ()):
                self.see(path)

    def check_remembered(self) -> None:
        """Raise StaleCodeError for a declared file that changed since this process first read it.

        A function may have kept what it read (`functools.lru_cache`), and not read it again.
        """
        for path, content in _remembered.items():
            if self.cover.declares(path) and content != _content(path):
                raise StaleCodeError(
                    path,
                    expected="what it was when this process first read it",
                    got="another content",
                    remedy="restart this process (a notebook's kernel, a worker) and build again",
                )

    def refused(self) -> UndeclaredReadError | None:
        """The first read that was refused since this was last asked, if any was."""
        first = self._refused[0] if self._refused else None
        self._refused.clear()
        return first


@contextmanager
def watching(phase: str, cover: Cover) -> Iterator[Watch]:
    """Hear what is read inside the block."""
    _install()
    watch = Watch(phase, cover)
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


@contextmanager
def executing(module: str) -> Iterator[None]:
    """Remember what this thread reads inside the block, where `module` is executed."""
    _install()
    outer: set[str] | None = getattr(_executing, "paths", None)
    paths: set[str] = set()
    _executing.paths = paths
    try:
        yield
    finally:
        _executing.paths = outer
    territory = folders("", os.getcwd())
    read = {source_of(path) for path in paths}
    own = (path for path in sorted(read) if kind(territory, path) is Kind.PROJECT and os.path.isfile(path))
    _reads[module] = {path: _content(path) for path in own}


def check_reads(modules: Iterable[str]) -> None:
    """Raise StaleCodeError if a file changed since it was read while one of these modules was executed."""
    for module in modules:
        for path, content in _reads.get(module, {}).items():
            if content != _content(path):
                raise StaleCodeError(
                    path,
                    expected=f"what it was when {module} was imported",
                    got="another content",
                    remedy="restart this process (a notebook's kernel, a worker) and build again",
                )


def _content(path: str) -> str:
    """The sha256 of a file; "" for source, which is checked as code, and for a file that is gone."""
    try:
        return "" if path.endswith(".py") else file_hash(path)
    except OSError:
        return ""


def _install() -> None:
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_hook)  # for good, since Python takes none away


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" and event != "import":
        return
    executing: set[str] | None = getattr(_executing, "paths", None)
    if not _watches and executing is None:
        return
    path = _path_read(event, arguments)
    if path is None:
        return
    if executing is not None and path not in executing and not _shows_source(path):
        executing.add(path if os.path.isabs(path) else os.path.abspath(path))
    thread = threading.get_ident()
    for watch in tuple(_watches):
        if path not in _remembered and watch.cover.declares(path):
            _remembered[path] = ""  # hashing reads the file, too
            _remembered[path] = _content(path)
        if not watch.covers(path) and watch.hears(thread) and not _shows_source(path):
            watch.see(path)


def _path_read(event: str, arguments: tuple[object, ...]) -> str | None:
    """The file that an event reads; None for what is only written, and for what is no path."""
    if event == "import":
        named = arguments[1]
    else:
        flags = arguments[2]
        created = isinstance(flags, int) and flags & WRITE_ONLY and flags & (os.O_TRUNC | os.O_EXCL)
        if created or (isinstance(flags, int) and flags & WRITE_ONLY == os.O_WRONLY):
            return None
        named = arguments[0]
    return os.fsdecode(named) if isinstance(named, (str, bytes, os.PathLike)) and named else None


def _shows_source(path: str) -> bool:
    """Whether the read only serves to show a line of code."""
    if not path.endswith((".py", ".pyi")) and not path.startswith("<"):
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") in READERS_OF_SOURCE
