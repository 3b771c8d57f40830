"""One graph as a page: in a notebook cell, in the browser, or as a file. `circuitstore.view`."""

from __future__ import annotations

import html
import os
import tempfile
import webbrowser
from collections.abc import Mapping
from typing import TYPE_CHECKING

from circuitstore.errors import InputError, UsageError
from circuitstore.viewer.bundle import pack
from circuitstore.viewer.graphs import graph_record
from circuitstore.viewer.page import page

if TYPE_CHECKING:
    import xarray as xr

HEIGHT = 760  # pixels of a cell's frame


class View:
    """A page that shows one graph. A notebook shows it in the cell that it is the value of."""

    def __init__(self, page: bytes):
        self.page = page

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write the page to a file, and return its path. Raises InputError."""
        try:
            with open(path, "wb") as file:
                file.write(self.page)
        except OSError as error:
            expected, got = "a file that can be written", error.strerror or error
            raise InputError(os.fspath(path), expected=expected, got=got) from error
        return os.fspath(path)

    def browse(self) -> str:
        """Open the page in the browser, from a temporary file whose path is returned. Raises InputError."""
        folder = tempfile.mkdtemp(prefix="circuitstore-")
        path = self.save(os.path.join(folder, "graph.html"))
        webbrowser.open(f"file://{path}")
        return path

    def _repr_html_(self) -> str:
        source = html.escape(self.page.decode(), quote=True)
        style = f"width: 100%; height: {HEIGHT}px; border: 1px solid #ccc"
        return f'<iframe sandbox="allow-scripts allow-downloads" style="{style}" srcdoc="{source}"></iframe>'


def view(
    graph: xr.Dataset,
    *,
    model: str = "",
    labels: Mapping[tuple[int, int], str] | None = None,
    pruned: bool = False,
) -> View:
    """The explorer's page of an attribution graph, which `circuitstore.attribute` or `open` gave.

    `model` names the profile in calls that are copied out, `labels` are (layer, feature) → label, and
    `pruned` leaves out what pruning did not keep. Raises UsageError for what is no graph.
    """
    if "edge_weight" not in getattr(graph, "variables", ()):
        remedy = "pass what cs.attribute gives, or one graph of cs.open"
        raise UsageError("view", expected="an attribution graph", got=type(graph).__name__, remedy=remedy)
    tokens = [str(text) for text in graph.token_text.values]
    text = "".join(tokens[1:]) or tokens[0]
    named = {f"{layer}/{feature}": label for (layer, feature), label in (labels or {}).items()}
    facts = {"title": "graph", "text": text, "asked": "" if "token_role" in graph else text}
    record = graph_record(graph, pruned=pruned, model=model, labels=named, **facts)
    return View(page(text, {"text/graph": pack(record)}, "#/text/graph"))
