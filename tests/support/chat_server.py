"""An OpenAI-compatible endpoint on this machine, whose answers a test chooses and counts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Chat:
    """Its address, what `answer` says to the text of a question, and all that was asked."""

    def __init__(self, answer: Callable[[str], object]):
        self.answer, self.asked, self.keys, self.url = answer, [], [], ""


@contextmanager
def serving(answer: Callable[[str], object]) -> Iterator[Chat]:
    """Answers until the block ends. A status in place of a text is an error; bytes are sent as they are."""
    chat = Chat(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            chat.asked.append(body)
            chat.keys.append(self.headers["Authorization"])
            said = chat.answer(body["messages"][0]["content"]) if self.path == "/v1/chat/completions" else 404
            self.send_response(said if isinstance(said, int) else 200)
            self.end_headers()
            choices = {"choices": [{"message": {"role": "assistant", "content": said}}]}
            self.wfile.write(said if isinstance(said, bytes) else json.dumps(choices).encode())

        def log_message(self, *words: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    chat.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield chat
    finally:
        server.shutdown()
        server.server_close()
