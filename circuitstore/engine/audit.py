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

import functools
import os
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from circuitstore.engine import heard
from circuitstore.engine.fingerprint import package_folder
from circuitstore.engine.heard import READS, Read
from circuitstore.engine.remedies import remedy_for
from circuitstore.engine.territory import OWN, PATHS, Cover, folders, in_packages, kind, source_of, whole
from circuitstore.errors import InputError, StaleCodeError, UndeclaredReadError
from circuitstore.memo import file_hash


class _Here(threading.local):
    """What this thread is doing: the reads of the module that it executes, and whether it looks at a read."""

    reads: set[Read] | None = None
    looking = False


_watches: list[Watch] = []
_here = _Here()
_remembered: dict[str, str] = {}  # file of data of the package of the phases → sha256 when first in use
_package = ""  # the package of the phases, when its first module is executed
_packages: tuple[str, ...] = ()  # the folder of that package, by its path and by what the path leads to
_alone = threading.RLock()  # phases share loaded models and the settings of torch: one computes at a time
_reads: dict[str, dict[Read, str]] = {}  # module → what was read while it was executed → sha256, or ""
_workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()  # started by code of phases, at any time
_installed: list[bool] = []
_known: set[str] = set()  # files, by whole paths, whose reads all watches of now have let pass


class Watch:
    """Reads while cells of one phase are computed.

    Heard are the thread that began it, threads that code of phases started, and threads that these started.
    Others, as a notebook's or a server's, go their way.
    """

    def __init__(self, phase: str, cover: Cover):
        self.phase, self.cover = phase, cover
        self.owner = threading.get_ident()
        others = (thread for thread in threading.enumerate() if thread.ident != self.owner)
        self._bystanders = weakref.WeakSet(thread for thread in others if thread not in _workers)
        self._refused: list[UndeclaredReadError] = []
        self._allowed: frozenset[str] = frozenset()
        self._loading = False

    @contextmanager
    def allowing(self, files: Iterable[str]) -> Iterator[None]:
        """Let these files be read inside the block, although the key tells nothing of their content.

        A loader may also list the folders of inputs, as it did to tell their identity.
        """
        before = self._allowed, self._loading
        self._allowed, self._loading = frozenset(map(os.path.realpath, files)), True
        try:
            yield
        finally:
            self._allowed, self._loading = before

    def covers(self, read: Read) -> bool:
        """Whether a file may be read at present, or the names in a folder."""
        if self.cover.covers(read.path, read.text) or self._is_allowed(read.path):
            return True
        return self._loading and os.path.isdir(read.path) and self.cover.of_input(read.path)

    def _is_allowed(self, path: str) -> bool:
        return bool(self._allowed) and os.path.realpath(path) in self._allowed

    def hears(self, thread: int) -> bool:
        """Whether a thread's reads are those of this phase."""
        if thread == self.owner:
            return True
        # A thread that has ended leaves its number to others.
        others = {each.ident for each in self._bystanders if each.is_alive()}
        return thread not in others and all(thread != watch.owner for watch in _watches)

    def follow(self, starter: int, started: threading.Thread) -> None:
        """Take note of a thread that is about to start."""
        if self.hears(starter):
            _workers.add(started)
        else:
            self._bystanders.add(started)

    def see(self, read: Read) -> None:
        """Take note of a read. Raises UndeclaredReadError, and remembers it in case the code goes on."""
        if not self.covers(read):
            path = source_of(whole(read.path))
            error = UndeclaredReadError(
                f"phase {self.phase}",
                expected="to read only what its key covers",
                got=f"the names in {path}" if os.path.isdir(path) else path,
                remedy=remedy_for(self.cover, path, read.text),
            )
            self._refused.append(error)
            raise error

    def check_imports(self, modules: Iterable[str]) -> None:
        """See again what was read while these modules were executed. Raises UndeclaredReadError."""
        for module in modules:
            for read in _reads.get(module, ()):
                self.see(read)

    def check_remembered(self) -> None:
        """Raise StaleCodeError for a declared file that changed since this process first had use for it.

        That is when it was first read, as far as that could be heard, and at the latest when it was first in
        a key. A function may have kept what it read (`functools.lru_cache`), and not read it again.
        """
        for path in self.cover.declared:
            content = _content(path, text=True)
            if content != _remembered.setdefault(path, content):
                raise _changed(path, "when this process first read it")

    def refused(self) -> UndeclaredReadError | None:
        """The first read that was refused since this was last asked, if any was."""
        first = self._refused[0] if self._refused else None
        self._refused.clear()
        return first


@contextmanager
def watching(phase: str, cover: Cover) -> Iterator[Watch]:
    """Hear what is read inside the block. Another thread that computes waits until it ends."""
    _install()
    with _alone:
        watch = Watch(phase, cover)
        _watches.append(watch)
        _known.clear()
        try:
            yield watch
        finally:
            _watches.remove(watch)
            _known.clear()


@contextmanager
def executing(module: str) -> Iterator[None]:
    """Remember what this thread reads inside the block, where `module` is executed."""
    _install()
    outer: set[Read] | None = _here.reads
    _here.reads = reads = set[Read]()
    try:
        yield
    finally:
        _here.reads = outer
    _keep(module, reads)


def _keep(module: str, reads: set[Read]) -> None:
    """Remember what was read of the user's code and data while `module` was executed."""
    territory = folders(_package, os.getcwd())
    there = [each for each in sorted(reads) if os.path.exists(each.path)]
    own = (each for each in there if {kind(territory, way(each.path)) for way in PATHS} & {*OWN})
    _reads[module] = {each: _content(*each) for each in own}


def check_reads(modules: Iterable[str]) -> None:
    """Raise StaleCodeError if a file changed since it was read while one of these modules was executed."""
    for module in modules:
        for read, content in _reads.get(module, {}).items():
            if content != _content(*read):
                raise _changed(read.path, f"when {module} was imported")


def _changed(path: str, since: str) -> StaleCodeError:
    remedy = "restart this process (a notebook's kernel, a worker) and build again"
    return StaleCodeError(path, expected=f"what it was {since}", got="another content", remedy=remedy)


def _content(path: str, text: bool) -> str:
    """The sha256 of a file; "" for source that is read as code, for a folder, and for what is gone."""
    try:
        return "" if path.endswith(".py") and not text else file_hash(path)
    except OSError:
        return ""


def remember(package: str) -> None:
    """From now on remember what files of data in the folder of the package of the phases were first."""
    global _package, _packages
    if not _packages:
        try:
            folder = package_folder(package)
        except InputError:  # a user's own module has that name, and who needs the package says so
            return
        _package = package
        _packages = tuple(
            os.path.join(each, "") for each in {os.path.abspath(folder), os.path.realpath(folder)}
        )
        _install()


def _install() -> None:
    """Hear what is read and which threads start, for good, since Python takes no audit hook away."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_hook)
        start = threading.Thread.start

        @functools.wraps(start)  # Python 3.11 raises no event when a thread starts
        def follow_and_start(thread: threading.Thread) -> None:
            _follow(thread)
            start(thread)

        threading.Thread.start = follow_and_start  # type: ignore[assignment]


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    """Hear a read, unless this module makes it while it looks at another one."""
    if event not in READS or _here.looking or (event == "import" and arguments[1] is None):  # a search
        return
    _here.looking = True
    try:
        _look(event, arguments)
    finally:
        _here.looking = False


def _look(event: str, arguments: tuple[object, ...]) -> None:
    executing: set[Read] | None = _here.reads
    if event == "open":  # most reads by far, and most of them again and again
        named = arguments[0]
        if isinstance(named, int) or (type(named) is str and _passes(named, executing is None)):
            return
    if _packages and event in heard.OPENS:
        _remember(event, arguments)
    if not _watches and executing is None:
        return
    read = heard.read(event, arguments, __file__)
    if read is None:
        return
    if executing is not None:
        executing.add(Read(source_of(whole(read.path)), read.text))
    thread = threading.get_ident()
    watches = tuple(_watches)
    for watch in watches:
        if not watch.covers(read) and watch.hears(thread):
            watch.see(read)
    plain = event == "open" and os.path.isabs(read.path) and not read.path.endswith(heard.SOURCE)
    passed = plain and watches and all(watch.cover.covers(read.path) for watch in watches)
    if passed and os.path.exists(read.path):  # else it may be another file at the next look
        _known.add(read.path)


def _passes(path: str, known: bool) -> bool:
    """Whether a file needs no look: one that passed before, if those count, or a file of a package.

    A link is looked at, for it may lead anywhere.
    """
    if known and path in _known:
        return True
    if not in_packages(path[: path.rfind(os.sep)], _package):
        return False
    return not any(path.startswith(watch.cover.given) for watch in _watches) and not os.path.islink(path)


def _remember(event: str, arguments: tuple[object, ...]) -> None:
    """Take note of the first read of a file of data in the package of the phases, at any time."""
    named = heard.named(event, arguments)
    plain = named.startswith("/") and "/." not in named and "//" not in named
    if not named or (plain and not named.startswith(_packages)):
        return  # most files lie elsewhere, as can be seen without making a path of it
    path = whole(named)
    read = heard.read(event, arguments, __file__) if path.startswith(_packages) else None
    if read is None or (path.endswith(heard.SOURCE) and not read.text):
        return
    if (real := os.path.realpath(path)) not in _remembered:
        _remembered[real] = _content(real, text=True)


def _follow(thread: threading.Thread) -> None:
    """Take note of a thread that is about to start."""
    if _here.reads is not None:
        _workers.add(thread)
    for watch in tuple(_watches):
        watch.follow(threading.get_ident(), thread)
