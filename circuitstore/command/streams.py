"""Standard output and standard error of the command, made safe for what people do with them.

- *Messages* (stderr) are not results. A build does not end because nobody reads them any more (`2>&1 |
  head`), because the disk of a log is full, or because there is no stderr at all (`2>&-`).
- *Data* (stdout) is a result. What cannot be written is an error, unless a reader had enough.
- A closed standard stream is opened first of all: else the next file that is opened, an array of the store
  perhaps, would take its number, and messages would be written into it.

Source for the last: GNU gnulib, `stdopen`.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Any

from circuitstore.errors import InputError

STDOUT, STDERR = 1, 2
LIBRARIES = r"(transformers|tokenizers|huggingface_hub|torch|zarr|xarray|matplotlib)(\.|$)"


class _Messages(io.FileIO):
    """stderr that loses messages rather than fail."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            _point_at_nothing(STDERR)
            return len(memoryview(data).cast("B"))


class _Data(io.FileIO):
    """stdout whose failures name it. A reader that has gone raises BrokenPipeError, as ever."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            _point_at_nothing(STDOUT)
            raise
        except OSError as error:
            _point_at_nothing(STDOUT)  # else Python would try once more at its end
            expected, got = "a place where output can be written", error.strerror or error
            raise InputError("standard output", expected=expected, got=got) from error


def prepare() -> None:
    """Replace the standard streams of this process. For a process that is nothing but this command.

    Warnings that libraries mean for programmers are kept off stderr; what matters to users is an error here.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", module=LIBRARIES)
    _open_closed()
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    # Paths that are not UTF-8 come out as the bytes that they are.
    sys.stdout = _text(_Data(STDOUT, "wb", closefd=False), encoding, "surrogateescape")
    encoding = sys.stderr.encoding if sys.stderr else "utf-8"
    sys.stderr = _text(_Messages(STDERR, "wb", closefd=False), encoding, "backslashreplace")


def _text(raw: io.RawIOBase, encoding: str, errors: str) -> io.TextIOWrapper:
    interactive = raw.isatty()
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding, errors, line_buffering=interactive or raw.fileno() == STDERR)


def _open_closed() -> None:
    """Open the standard streams that are closed, stdout so that writing fails: what it should say is lost."""
    for number, mode in ((0, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)


def _point_at_nothing(number: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)
