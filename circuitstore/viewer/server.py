"""The explorer on this machine: a server that only this machine reaches, and only with the right address.

It listens on loopback. Who asks must name it by its own address (`Host`), may not come from another site
(`Origin`, `Sec-Fetch-Site`), and must know the token that is part of the address it prints. Without an author
it changes nothing; with one it takes decisions on labels and nothing else.

Sources: OWASP cheat sheets on cross-site request forgery and DNS rebinding; RFC 6750 for the token.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec

from circuitstore.errors import CircuitstoreError, InputError, first_line
from circuitstore.viewer.bundle import pack
from circuitstore.viewer.page import page, policy

LOOPBACK, MOST_SENT = "127.0.0.1", 1 << 16  # bytes of a decision
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
BYTES, TEXT = "application/octet-stream", "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """What a reviewer calls a feature; empty where nobody did."""

    label: str
    author: str
    note: str


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """What a reviewer decided, and what was said of the feature when it was decided."""

    behaviour: str
    layer: int
    feature: int
    label: str
    note: str
    before: Label


Decide = Callable[[Decision, str], tuple[bool, Label]]


class Explorer(ThreadingHTTPServer):
    """A server of records.

    `get` gives the record of a key. `decide` takes a decision of `author` and tells whether it was stored,
    and the label that counts now. Raises InputError when the port is taken.
    """

    daemon_threads = True

    def __init__(self, get: Callable[[str], Any], decide: Decide, *, author: str = "", port: int = 0):
        self.get, self.decide, self.author = get, decide, author
        self.token, self.lock = secrets.token_urlsafe(24), threading.Lock()
        try:
            super().__init__((LOOPBACK, port), Handler)
        except OSError as error:
            got = error.strerror or error
            raise InputError(f"port {port}", expected="one that is free", got=got) from error

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that this server answers to."""
        return tuple(f"{name}:{self.server_address[1]}" for name in (LOOPBACK, "localhost"))

    def address(self, start: str = "") -> str:
        """The address to open, `start` being what is shown first."""
        return f"http://{self.hosts[0]}/?token={quote(self.token)}{start}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that goes away is no error."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Explorer
    protocol_version = "HTTP/1.1"
    timeout = 60
    server_version, sys_version = "circuitstore", ""

    def do_GET(self) -> None:
        """Answer with the page, or with a record."""
        path = urlsplit(self.path).path
        if not self._allowed():
            return
        if path == "/":
            records = {"access": pack({"author": self.server.author})}
            self._try(lambda: (HTTPStatus.OK, page("circuitstore", records, served=True), HTML))
        elif path.startswith("/api/record/"):
            key = "/".join(map(unquote, path.removeprefix("/api/record/").split("/")))
            self._try(lambda: (HTTPStatus.OK, pack(self.server.get(key)), BYTES))
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"no such page", TEXT)

    def do_POST(self) -> None:
        """Take a decision on a label."""
        if not self._allowed():
            return
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        length = self.headers.get("Content-Length", "")
        if urlsplit(self.path).path != "/api/review":
            self._refuse(HTTPStatus.NOT_FOUND, "no such page")
        elif not self.server.author:
            remedy = "circuitstore view --review --author NAME"
            self._refuse(HTTPStatus.FORBIDDEN, f"read only: start it with `{remedy}`")
        elif kind != "application/json" or not length.isdecimal() or int(length) > MOST_SENT:
            self._refuse(HTTPStatus.BAD_REQUEST, f"expected JSON of at most {MOST_SENT} bytes")
        else:
            self._try(lambda: self._decided(self.rfile.read(int(length))))

    def _decided(self, body: bytes) -> tuple[HTTPStatus, bytes, str]:
        decision = msgspec.json.decode(body, type=Decision)
        stored, now = self.server.decide(decision, self.server.author)
        status = HTTPStatus.OK if stored else HTTPStatus.CONFLICT
        return status, msgspec.json.encode(now), "application/json"

    def _allowed(self) -> bool:
        """Whether to answer at all; if not, it has been refused."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if host not in self.server.hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name")
        elif origin not in (None, f"http://{host}") or site not in ("none", "same-origin"):
            self._refuse(HTTPStatus.FORBIDDEN, "asked from another site")
        elif not hmac.compare_digest(self._token().encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that `circuitstore view` printed")
        else:
            return True
        return False

    def _token(self) -> str:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer":
            return token
        return parse_qs(urlsplit(self.path).query).get("token", [""])[0]

    def _try(self, make: Callable[[], tuple[HTTPStatus, bytes, str]]) -> None:
        """Answer with what is made; the text of an error is the answer if it fails. One at a time."""
        try:
            with self.server.lock:
                answer = make()
        except (CircuitstoreError, msgspec.DecodeError, UnicodeDecodeError) as error:
            answer = HTTPStatus.BAD_REQUEST, str(error).encode("utf-8", "replace"), TEXT
        except Exception as error:  # a fault of ours must not end the server
            text = f"{type(error).__name__}: {first_line(error)}"
            answer = HTTPStatus.INTERNAL_SERVER_ERROR, text.encode("utf-8", "replace"), TEXT
        self._answer(*answer)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # what else was sent is not read
        self._answer(status, why.encode(), TEXT)

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        safe = f"{policy(served=True)}; frame-ancestors 'none'"
        sent = {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": safe}
        for name, value in (HEADERS | sent).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet: addresses hold the token."""
