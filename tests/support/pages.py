"""Pages of the explorer, opened, watched and asked."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from workspace import BEHAVIOUR, run

WAIT = 60_000  # ms; machines are shared
LISTEN = """() => {
  const draw = CanvasRenderingContext2D.prototype.fillText;
  window.said = [];
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.said.push([text, this.fillStyle]);
    return draw.call(this, text, ...rest);
  };
}"""


class Shown:
    """One page in a window of its own, with all that it asked for and all that went wrong."""

    def __init__(self, chrome: Any, address: str, **window: Any):
        self.context = chrome.new_context(viewport={"width": 1280, "height": 900}, **window)
        self.context.set_default_timeout(WAIT)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("dialog", lambda dialog: (self.problems.append(dialog.message), dialog.dismiss()))
        self.page.goto(address)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def close(self) -> None:
        """Close the window."""
        self.context.close()

    def text(self, selector: str) -> str:
        """The text of the first element that a selector finds."""
        return str(self.page.locator(selector).first.inner_text())

    def drawn(self) -> Shown:
        """The page, once its picture has its edges."""
        self.page.wait_for_selector(".picture[data-drawn]")
        return self

    def written(self) -> list[tuple[str, str]]:
        """The words of a graph's picture and their colours, as it is drawn once more with a node chosen."""
        self.page.evaluate(LISTEN)
        self.page.locator(".picture").focus()
        self.page.keyboard.press("ArrowDown")
        self.page.wait_for_function("window.said.length")
        return [(text, colour) for text, colour in self.page.evaluate("window.said")]

    def counts(self) -> tuple[int, int]:
        """How many nodes and edges of a graph are shown."""
        words = self.page.locator(".heading dd").last.inner_text().replace(",", " ").split()
        return int(words[0]), int(words[2])

    def score(self, name: str) -> float:
        """A score of what is shown."""
        return float(self.text(f"[data-score={name}]"))

    def slide(self, name: str, value: float) -> None:
        """Move a slider."""
        self.page.locator(f"input[name={name}]").fill(str(value))


def exported_pages(built: Any, folder: Path, *words: str) -> Path:
    """The folder into which `export page` wrote the small store's behaviour."""
    where = ["-b", BEHAVIOUR, "--profile", built.profile, "--store", built.store]
    outcome = run("export", "page", folder, *where, *words)
    assert outcome.code == 0, outcome.err
    return folder


def unpacked(data: bytes) -> Any:
    """What `circuitstore.viewer.bundle.pack` packed, read as its description says."""
    plain = zlib.decompress(data)
    (length,) = struct.unpack_from("<I", plain)
    first = 4 + length

    def arrays(value: Any) -> Any:
        if isinstance(value, dict) and "$" in value:
            return np.frombuffer(plain, "<" + value["$"], value["n"], first + value["at"])
        if isinstance(value, dict):
            return {name: arrays(each) for name, each in value.items()}
        return list(map(arrays, value)) if isinstance(value, list) else value

    return arrays(msgspec.json.decode(plain[4:first]))
