"""A whole store, or a part of one, as a zip file: written here; read like any other place."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, cast

from circuitstore.errors import LimitError, StoreError, first_line
from circuitstore.storage.remote import Group
from circuitstore.storage.remote_fsspec import Remote
from circuitstore.storage.remote_work import Crew


class _Zip(Remote):
    """A new zip file, which takes the place of an earlier one and keeps what that has.

    Nothing is compressed: what is large in a store is compressed already.
    """

    def __init__(self, name: str, file: zipfile.ZipFile, earlier: zipfile.ZipFile | None):
        self.name, self._file, self._earlier, self.threads = name, file, earlier, 1

    def sizes(self, folder: str = "") -> dict[str, int]:
        below = f"{folder}/" if folder else ""
        infos = self._earlier.infolist() if self._earlier else []
        return {each.filename: each.file_size for each in infos if each.filename.startswith(below)}

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        if path not in self.sizes():
            raise FileNotFoundError(path)
        with cast(zipfile.ZipFile, self._earlier).open(path) as file:
            yield cast(BinaryIO, file)

    def send_all(self, groups: Sequence[Group], crew: Crew) -> None:
        for group in groups:
            for path, file in group.files.items():
                self._file.write(file, path)
                crew.on_bytes(os.path.getsize(file))

    def put(self, files: Mapping[str, bytes]) -> None:
        for path, raw in files.items():
            self._file.writestr(path, raw)

    def keep(self) -> None:
        """Take over what the earlier file has under other names. Raises LimitError, OSError, BadZipFile."""
        new = set(self._file.namelist())
        old = {path: size for path, size in self.sizes().items() if path not in new}
        free = shutil.disk_usage(os.path.dirname(os.path.abspath(self.name))).free
        if sum(old.values()) > free:
            expected = f"at most the {free} bytes that are free there"
            raise LimitError(self.name, expected=expected, got=f"{sum(old.values())} bytes")
        for path in old:
            with self.open(path) as source, self._file.open(path, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)


@contextmanager
def zipped(path: str) -> Iterator[Remote]:
    """A place to push to, which is a zip file at this path once the block ends. Raises StoreError."""
    draft = f"{os.path.abspath(path)}.{os.getpid()}.part"
    try:
        with open(draft, "xb") as out, ExitStack() as stack:
            earlier = stack.enter_context(zipfile.ZipFile(path)) if os.path.lexists(path) else None
            with zipfile.ZipFile(out, "w") as file:
                made = _Zip(path, file, earlier)
                yield made
                made.keep()
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, path)
    except zipfile.BadZipFile as error:
        raise StoreError(path, expected="a zip file that is whole", got=first_line(error)) from error
    except OSError as error:
        raise StoreError(path, expected="a file that can be written", got=error.strerror or error) from error
    finally:
        if os.path.lexists(draft):
            os.remove(draft)
