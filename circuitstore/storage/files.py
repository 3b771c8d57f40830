"""Opening the files of a store: regular files inside it, of bounded size, and nothing else.

A store may come from a stranger, and a disk may fail. No link below the store's own directory is followed, so
that nothing outside it is read. No pipe or device is waited for. Whatever the system refuses is a
`DamageError` that names the file, or an `UnreadableError` where the reason tells nothing of the file, such as
a lack of rights. Only what is not there at all stays a FileNotFoundError: what that means, the caller knows.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat

from circuitstore.errors import DamageError, UnreadableError

MOST_BYTES = 1 << 28  # of a record; the largest hold the cells of a phase, some hundred bytes each
# Opened so, a link is refused and a pipe does not block. Windows has neither flag.
_FLAGS = [getattr(os, f"O_{name}", 0) for name in ("NOFOLLOW", "NONBLOCK", "CLOEXEC", "BINARY")]
# Windows puts these into folders. Records may have such names by the rules for names, and none has.
OF_WINDOWS = {"Thumbs.db", "desktop.ini"}
# What the system refuses because of the file itself, or of what lies on the way to it. All else, as a lack of
# rights, of descriptors or of a connection, tells nothing of the file.
OF_THE_FILE = {errno.EIO, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL}
OF_THE_FILE |= {errno.ENXIO, errno.ENODEV, errno.EOVERFLOW, errno.EFBIG}
OPENING = os.O_RDONLY | sum(_FLAGS)


def damaged(where: str, expected: object, got: object) -> DamageError:
    """The error for a file of the store that is not as it was written."""
    return DamageError(
        where, expected=expected, got=got, remedy="run `circuitstore verify`, then build again"
    )


def kind_of(mode: int) -> str:
    """What a file is, by its mode, for messages."""
    kinds = ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISREG, "a file"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a pipe or device")


def check_folders(root: str, path: str) -> None:
    """Check that all that lies between a store and a path below it are folders, and none of them a link.

    Raises DamageError, UnreadableError, FileNotFoundError (one of them is not there).
    """
    at, folder = root, os.path.dirname(path)
    inside = folder[len(root) + 1 :] if folder.startswith(root + os.sep) else os.path.relpath(folder, root)
    for part in inside.split(os.sep):
        at = f"{at}{os.sep}{part}"
        try:
            mode = os.lstat(at).st_mode if part != "." else stat.S_IFDIR
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise refused(at, error) from error
        if not stat.S_ISDIR(mode):
            raise damaged(at, "a folder", kind_of(mode))


def open_regular(root: str, path: str) -> io.FileIO:
    """Open a regular file below a store. Raises DamageError, UnreadableError, FileNotFoundError."""
    check_folders(root, path)
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode):
            raise damaged(path, "a regular file", kind_of(mode))
        file = io.FileIO(os.open(path, OPENING), closefd=True)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise refused(path, error) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was exchanged since
        file.close()
        raise damaged(path, "a regular file", "another kind of file")
    return file


def read_bytes(root: str, path: str, most: int = MOST_BYTES) -> bytes:
    """All bytes of a small file below a store. Raises DamageError, UnreadableError, FileNotFoundError."""
    with open_regular(root, path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise damaged(path, f"at most {most} bytes", f"{size} bytes")
        return _read(file, path, size)


def read_part(root: str, path: str, start: int, count: int) -> bytes:
    """So many bytes of a file below a store. Raises DamageError, UnreadableError, FileNotFoundError."""
    with open_regular(root, path) as file:
        file.seek(start)
        return _read(file, path, count)


def _read(file: io.FileIO, path: str, count: int) -> bytes:
    """So many bytes from here on: a file that grows meanwhile is not read to its end."""
    try:
        data = file.read(count)
        while len(data) < count and (more := file.read(count - len(data))):
            data += more
    except OSError as error:
        raise refused(path, error) from error
    if len(data) != count:
        raise damaged(path, f"{count} bytes more", f"{len(data)} bytes")
    return data


def sha256_of(root: str, path: str) -> str:
    """sha256 (hexadecimal) of a file below a store.

    Raises DamageError, UnreadableError, FileNotFoundError.
    """
    with open_regular(root, path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise refused(path, error) from error


def listing(root: str, folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder of a store, in order of name; nothing if there is none.

    Raises DamageError, UnreadableError.
    """
    try:
        check_folders(root, os.path.join(folder, "."))
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if e.name not in OF_WINDOWS), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise refused(folder, error) from error


def refused(path: str, error: OSError | ValueError) -> DamageError | UnreadableError:
    """The error for a file that the system does not let be read: UnreadableError where it may be intact."""
    code = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(code) if code else str(error).splitlines()[0]
    if code is None or code in OF_THE_FILE:
        return damaged(path, "a readable file or folder", reason)
    rights = code in (errno.EACCES, errno.EPERM)
    remedy = "its owner can let you read it (docs/sharing.md)" if rights else "try again"
    return UnreadableError(path, expected="a file or folder that can be read", got=reason, remedy=remedy)


def sync(path: str) -> None:
    """Flush a file or a folder to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
