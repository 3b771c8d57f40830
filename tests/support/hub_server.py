"""A Hugging Face hub on loopback: the requests that huggingface_hub makes to list and download, answered as
the real one does.

Weights are kept as by git-lfs: `resolve` answers with a redirect to another host (`localhost` instead of
`127.0.0.1`), the sha256 in X-Linked-Etag. Every request is counted; files can be cut off once, altered on the
way, or gated.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin")


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """Commits by hash, each its files by name; refs name commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A new commit of a branch; returns its hash."""
        listed = sorted((name, blob_id(content)) for name, content in files.items())
        commit = hashlib.sha1(json.dumps([len(self.commits), listed]).encode()).hexdigest()
        self.commits[commit], self.refs[branch] = files, commit
        return commit


class Hub:
    """The server, on a port of its own, from `with` to the end of the block or `stop`."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []  # "METHOD path"; a range is appended
        self.cut: set[str] = set()  # names of files whose next download breaks off half way
        self.altered: set[str] = set()  # names of files that arrive with one byte changed
        self.full = ""  # the token that opens gated repositories
        self._contents: dict[str, bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def add(self, repo: str, folder: Path, extra: dict[str, bytes] | None = None) -> str:
        """A repository with the files of a folder; returns its first commit."""
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return self.repositories.setdefault(repo, Repository()).commit(files | (extra or {}))

    def environment(self, home: Path) -> dict[str, str]:
        """Variables for a client with a cache of its own. Loopback is never asked for through a proxy."""
        return {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_TOKEN": "",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def downloads(self) -> list[str]:
        """Names of the files whose content was asked for."""
        return [
            line.split("#")[1].split()[0] for line in self.requests if line.startswith("GET") and "#" in line
        ]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None: ...

    def _answer(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        asked = self.headers.get("Range")
        name = (
            "/".join(parts[4:])
            if parts[2:3] == ["resolve"]
            else "/".join(parts[2:])
            if parts[0] == "cdn"
            else ""
        )
        self.hub.requests.append(
            f"{self.command} {self.path}" + (f" #{name}" if name else "") + (f" {asked}" if asked else "")
        )
        if parts[0] == "cdn":
            return self._content("/".join(parts[2:]), self.hub._contents[parts[1]], {})
        if parts[:2] == ["api", "models"]:
            return self._api(parts[2:])
        if parts[2:3] != ["resolve"]:
            return self._error(404, "EntryNotFound")
        return self._resolve("/".join(parts[:2]), parts[3], name)

    def _api(self, parts: list[str]) -> None:
        if (found := self._find("/".join(parts[:2]), "/".join(parts[3:]) or "main")) is None:
            return None
        commit, files = found
        if parts[2:3] == ["tree"]:
            return self._json([_listed(name, content) for name, content in files.items()])
        repo = "/".join(parts[:2])
        siblings = [{"rfilename": name} for name in files]
        return self._json(
            {
                "id": repo,
                "modelId": repo,
                "sha": commit,
                "private": False,
                "tags": [],
                "downloads": 0,
                "siblings": siblings,
            }
        )

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        if (found := self._find(repo, revision)) is None:
            return None
        commit, files = found
        if (
            self.hub.repositories[repo].gated
            and self.headers.get("Authorization") != f"Bearer {self.hub.full}"
        ):
            return self._error(401, "GatedRepo")
        if name not in files:
            return self._error(404, "EntryNotFound")
        content = files[name]
        if not name.endswith(LARGE):
            return self._content(name, content, {"ETag": f'"{blob_id(content)}"', "X-Repo-Commit": commit})
        digest = hashlib.sha256(content).hexdigest()
        self.hub._contents[digest] = content
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(content)),
        }
        return self._send(
            302, b"", headers | {"Location": f"http://localhost:{self.hub.port}/cdn/{digest}/{name}"}
        )

    def _find(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if repo not in self.hub.repositories:
            return self._error(401, "RepoNotFound")
        held = self.hub.repositories[repo]
        commit = held.refs.get(revision, revision)
        return (
            (commit, held.commits[commit]) if commit in held.commits else self._error(404, "RevisionNotFound")
        )

    def _content(self, name: str, content: bytes, headers: dict[str, str]) -> None:
        if name in self.hub.altered:
            content = content[:-1] + bytes([content[-1] ^ 1])
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1, len(content)) if last else len(content)
        part = (start, stop) != (0, len(content))
        if part:
            headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
        rest = content[start:stop]
        if self.command == "GET" and name in self.hub.cut:
            self.hub.cut.discard(name)
            self._head(200, headers | {"Content-Length": str(len(rest))})
            self.wfile.write(rest[: len(rest) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self._send(206 if part else 200, rest, headers)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, headers | {"Content-Length": str(len(body))})
        if self.command == "GET":
            self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Connection", "close")  # so that a stopped server answers no kept connection either
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _listed(name: str, content: bytes) -> dict[str, object]:
    row: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": blob_id(content)}
    if name.endswith(LARGE):
        row["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return row
