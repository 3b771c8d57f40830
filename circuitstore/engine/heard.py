"""What Python's audit events say of reading: which file, and whether its text or only its code.

Source is covered by keys as a syntax tree, which is less than its text. Importing makes no more of it. What
else reads it could depend on comments or line numbers, and so reads it as any other file.
"""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import NamedTuple

LISTINGS = ("os.listdir", "os.scandir")
BY_NAME = ("os.link", "sqlite3.connect")  # of a file, before what is read of it raises no event
OPENS = ("open", *BY_NAME)
READS = frozenset({*OPENS, "import", *LISTINGS})
WRITE_ONLY = os.O_WRONLY | os.O_RDWR
SOURCE = (".py", ".pyi", ".pyc")
IMPORTING = "importlib._bootstrap_external"
FINDERS = (
    IMPORTING,
    "importlib.metadata",
    "importlib_metadata",
    "pkg_resources",
)  # they list all of sys.path
SHOWING = ("linecache", "tokenize")  # modules that show lines of code, in a warning for instance
ENGINE = ("circuitstore.engine.", "circuitstore.memo")  # hashes source, to see whether it is what was loaded


class Read(NamedTuple):
    """A file or folder that is read, and whether a source is read as text."""

    path: str
    text: bool


def read(event: str, arguments: tuple[object, ...], hearing: str) -> Read | None:
    """What an event reads. None for what is only written, for what is no path, and for what tools look up.

    hearing: the file of the code that hears events, whose frames do not count.
    """
    if event in LISTINGS:
        path = "." if arguments[0] is None else _path(arguments[0])
        return Read(path, False) if path and not _looks_up(_name(_reader(hearing))) else None
    if event in BY_NAME:
        path = named(event, arguments) or None
    else:
        path = _path(arguments[1]) if event == "import" else _opened(arguments)
    if path is None or not path.endswith(SOURCE):
        shown = path is None or (path.startswith("<") and not os.path.exists(path))  # as "<string>"
        return None if path is None or shown else Read(path, False)
    reader = _reader(hearing)
    if _name(reader) in SHOWING:
        return None
    return Read(path, event == "open" and not _imports(reader))


def named(event: str, arguments: tuple[object, ...]) -> str:
    """The path that an event of `OPENS` names; "" for none. A database may be named by a URI."""
    path = _path(arguments[0]) or ""
    if event != "sqlite3.connect" or not path.startswith("file:"):
        return path
    from urllib.parse import unquote, urlsplit  # here, for it takes milliseconds that every start would cost

    return unquote(urlsplit(path).path)


def _opened(arguments: tuple[object, ...]) -> str | None:
    """The file that is opened to be read."""
    flags = arguments[2]
    written = isinstance(flags, int) and flags & WRITE_ONLY
    made = isinstance(flags, int) and flags & (os.O_TRUNC | os.O_EXCL)
    return None if written and (made or written == os.O_WRONLY) else _path(arguments[0])


def _path(named: object) -> str | None:
    return os.fsdecode(named) if isinstance(named, (str, bytes, os.PathLike)) and named else None


def _reader(hearing: str) -> FrameType | None:
    """The frame that caused an event."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in (__file__, hearing):
        frame = frame.f_back
    return frame


def _looks_up(reader: str) -> bool:
    """Whether a module lists folders to find modules and packages, or to know what is an input."""
    return reader in FINDERS or reader.startswith(ENGINE)


def _imports(reader: FrameType | None) -> bool:
    """Whether code is loaded, or hashed as the engine does.

    `get_data` of a loader is called for other purposes, too (`pkgutil.get_data`, `get_source`).
    """
    name = _name(reader)
    if name.startswith(ENGINE):
        return True
    caller = reader.f_back if reader is not None else None
    called = caller is not None and caller.f_code.co_name == "get_code"
    return called and name == IMPORTING and _name(caller) in (IMPORTING, "circuitstore.engine.loading")


def _name(frame: FrameType | None) -> str:
    return str(frame.f_globals.get("__name__", "")) if frame is not None else ""
