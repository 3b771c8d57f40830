"""Places that fsspec reaches: buckets, other hosts, memory, zip files.

A file appears in them whole or not at all, by what the service promises or by a rename. Each error of a
library comes out as one StoreError.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from circuitstore.errors import CircuitstoreError, MissingError, StoreError, UsageError, first_line
from circuitstore.storage.remote import BLOCK, Group, StoppedError, is_zip, shown

if TYPE_CHECKING:
    from circuitstore.storage.remote_work import Crew

EXTRAS = {  # protocol → the extra with what fsspec needs for it
    "s3": "s3",
    "s3a": "s3",
    "ssh": "ssh",
    "sftp": "ssh",
}
# Where a file that is written appears at once and whole. Elsewhere it is written below tmp/ and renamed.
AT_ONCE = {"s3", "s3a", "gs", "gcs", "abfs", "az", "memory", "hf", "zip"}
ONE_AT_A_TIME = {"ssh", "sftp", "zip"}  # their connection, or their file, is no thing for several threads
THREADS = 16


class Remote:
    """A place that fsspec reaches."""

    def __init__(self, url: str):
        self.name = shown(url)
        with self._reaching(""):
            self.fs, self.path = _connect(url)
        protocols = {self.fs.protocol} if isinstance(self.fs.protocol, str) else set(self.fs.protocol)
        self.renames = not protocols & AT_ONCE
        self.threads = 1 if protocols & ONE_AT_A_TIME else THREADS
        self._made: set[str] = set()

    def sizes(self, folder: str = "") -> dict[str, int]:
        top = self._at(folder)
        with self._reaching(folder):
            self.fs.invalidate_cache(top)
            try:
                found = self.fs.find(top, detail=True)
            except FileNotFoundError:
                return {}
            root = len(self._root())
            return {
                path[root:]: int(info.get("size") or 0)
                for path, info in found.items()
                if path.startswith(self._root()) and info.get("type") == "file"
            }

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        with self._reaching(path):
            file = self.fs.open(self._at(path), "rb", **self._options())
        try:
            yield _Mapped(self, path, file)  # type: ignore[misc]
        finally:
            file.close()

    def send(self, group: Group, on_bytes: Callable[[int], None]) -> None:
        """Write files, in order, each appearing whole. Raises StoreError, StoppedError."""
        if self.renames and group.folder:
            self._send_folder(group, on_bytes)
            return
        for path, file in group.files.items():
            on_bytes(0)
            target = self._scratch() if self.renames else self._at(path)
            with self._reaching(path, writing=True):
                self._make(os.path.dirname(target))
                self.fs.put_file(file, target)
                if self.renames:
                    self._make(os.path.dirname(self._at(path)))
                    self.fs.mv(target, self._at(path))
            on_bytes(os.path.getsize(file))

    def send_all(self, groups: Sequence[Group], crew: Crew) -> None:
        """Write groups of files, several at once. Raises StoreError, StoppedError."""
        crew.files(lambda group: self.send(group, crew.on_bytes), groups)

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write small files. Raises StoreError."""
        for path, raw in files.items():
            with self._reaching(path, writing=True):
                self._make(os.path.dirname(self._at(path)))
                self.fs.pipe_file(self._at(path), raw)

    def _send_folder(self, group: Group, on_bytes: Callable[[int], None]) -> None:
        """A folder that appears at once, unless something lies there already: then file by file."""
        draft = self._scratch()
        final = self._at(group.folder)
        with self._reaching(group.folder, writing=True):
            if self.fs.exists(final):
                self.send(Group(group.files), on_bytes)
                return
        for path, file in group.files.items():
            target = draft + path[len(group.folder) :]
            on_bytes(0)
            with self._reaching(path, writing=True):
                self._make(os.path.dirname(target))
                self.fs.put_file(file, target)
            on_bytes(os.path.getsize(file))
        with self._reaching(group.folder, writing=True):
            self._make(os.path.dirname(final))
            self.fs.mv(draft, final)

    def _scratch(self) -> str:
        return self._at(f"tmp/push-{os.urandom(8).hex()}")

    def _make(self, folder: str) -> None:
        if self.renames and folder not in self._made:  # elsewhere folders are only parts of names
            self.fs.makedirs(folder, exist_ok=True)
            self._made.add(folder)

    def _root(self) -> str:
        return self.path.rstrip("/") + "/" if self.path else ""

    def _at(self, path: str) -> str:
        return (self._root() + path).rstrip("/") if path else self.path

    def _options(self) -> dict[str, Any]:
        return {} if self.threads == 1 else {"block_size": BLOCK}

    @contextmanager
    def _reaching(self, path: str, *, writing: bool = False) -> Iterator[None]:
        """Make StoreError of whatever a library raises in this block.

        What is not there stays a FileNotFoundError, unless it is what was to be written to.
        """
        where = f"{self.name}/{path}" if path else self.name
        try:
            yield
        except (CircuitstoreError, StoppedError):
            raise
        except ImportError as error:
            extra = EXTRAS.get(self.name.partition(":")[0])
            remedy = f'pip install "circuitstore[{extra}]"' if extra else None
            raise UsageError(
                where, expected="what reaches it", got=first_line(error), remedy=remedy
            ) from error
        except Exception as error:
            if isinstance(error, FileNotFoundError) and not writing:
                raise
            got = f"{type(error).__name__}: {first_line(error)}"
            remedy = "mend the connection or the rights, then do the same again: what is there stays"
            raise StoreError(where, expected="a place that answers", got=got, remedy=remedy) from error


class _Mapped:
    """A file whose errors are those of its place."""

    def __init__(self, place: Remote, path: str, file: Any):
        self._place, self._path, self._file = place, path, file

    def read(self, count: int) -> bytes:
        with self._place._reaching(self._path):
            data: bytes = self._file.read(count)
            return data


def _ssh_options() -> dict[str, Any]:
    """Options by which only hosts are connected to that the command ssh would connect to without a question.

    fsspec by itself trusts whatever host answers.
    """
    import paramiko

    class KnownHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            file = os.path.expanduser("~/.ssh/known_hosts")
            known = paramiko.HostKeys(file if os.path.isfile(file) else None)
            if not known.check(hostname, key):
                got = f"a {key.get_name()} key that {file} does not have"
                remedy = "connect once with the command ssh, which asks whether you trust the host"
                raise StoreError(f"host {hostname}", expected="a known host", got=got, remedy=remedy)

    return {"host_key_policy": KnownHosts}


def _connect(url: str) -> Any:
    """(file system, path) of a URL."""
    from fsspec.core import url_to_fs

    if is_zip(url) and not os.path.isfile(url):
        raise MissingError(url, expected="a zip file", got="no such file")
    options = _ssh_options() if url.partition(":")[0] in ("ssh", "sftp") else {}
    try:
        return url_to_fs(f"zip://::{os.path.abspath(url)}" if is_zip(url) else url, **options)
    except ValueError as error:
        raise UsageError(
            shown(url), expected="an address that fsspec knows", got=first_line(error)
        ) from error
