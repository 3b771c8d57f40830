"""The loopback hub of `hub_server`, which takes commits too: as the real one does, large files by git-lfs."""

from __future__ import annotations

import base64
import hashlib
import json

from hub_server import Hub, Repository, _Handler, _listed

SMALL = 10_000  # bytes; what is larger is uploaded by itself


class WritableHub(Hub):
    """A hub whose repositories can be committed to."""

    def __init__(self) -> None:
        super().__init__()
        self._server.RequestHandlerClass = type("Handler", (_Writing,), {"hub": self})
        self.commits: list[list[str]] = []  # the paths of each commit

    def create(self, repo: str) -> None:
        self.repositories.setdefault(repo, Repository()).commit({".gitattributes": b""})


class _Writing(_Handler):
    hub: WritableHub

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.partition("?")[0].strip("/").split("/")
        self.hub.requests.append(f"POST {self.path}")
        if parts[-4:] == ["info", "lfs", "objects", "batch"]:
            return self._answer_json({"transfer": "basic", "objects": self._batch(json.loads(body))})
        if "preupload" in parts:
            return self._answer_json({"files": [_mode(file) for file in json.loads(body)["files"]]})
        if "commit" in parts:
            return self._commit("/".join(parts[2:4]), [json.loads(line) for line in body.splitlines()])
        return self._send(404, b"", {})

    def do_PUT(self) -> None:  # noqa: N802
        """The content of a large file."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        digest = self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == digest
        self.hub._contents[digest] = content
        self._send(200, b"", {"ETag": '"x"'})

    def _batch(self, asked: dict) -> list[dict]:
        address = f"http://127.0.0.1:{self.hub.port}/lfs"
        return [
            {**each, "actions": {"upload": {"href": f"{address}/{each['oid']}"}}} for each in asked["objects"]
        ]

    def _commit(self, repo: str, lines: list[dict]) -> None:
        held = self.hub.repositories[repo]
        files = dict(held.commits[held.refs["main"]])
        changed = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                changed[value["path"]] = self.hub._contents[value["oid"]]
        commit = held.commit(files | changed)
        self.hub.commits.append(sorted(changed))
        self._answer_json({"commitUrl": f"x/{repo}/commit/{commit}", "commitOid": commit, "hookOutput": ""})

    def _api(self, parts: list[str]) -> None:
        """As the base, and listings of one folder, with its folders or with all that is below."""
        if parts[2:3] != ["tree"] or (found := self._find("/".join(parts[:2]), parts[3])) is None:
            return super()._api(parts)
        _, files = found
        top = "".join(f"{part}/" for part in parts[4:])
        below = {name: content for name, content in files.items() if name.startswith(top)}
        if top and not below:
            return self._error(404, "EntryNotFound")
        folders = {
            name[: at + len(top)]
            for name in below
            for at, letter in enumerate(name[len(top) :])
            if letter == "/"
        }
        rows = [_listed(name, content) for name, content in sorted(below.items())]
        rows += [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in sorted(folders)]
        if "recursive=true" not in self.path.lower():
            rows = [row for row in rows if "/" not in str(row["path"])[len(top) :]]
        return self._json(rows)

    def _answer_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.wfile.write(body)


def _mode(file: dict) -> dict:
    mode = "lfs" if file["size"] > SMALL else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
