"""circuitstore: which features of a language model carry a behaviour, computed once and kept.

    import circuitstore as cs
    ds = cs.open("features", behaviour="plural")    # xarray, lazy, labelled
    ds.activation.sel(layer=3, feature=[3, 981])    # reads only that

Importing this imports neither torch nor xarray; what needs them imports them when it is called.
"""

from __future__ import annotations

from typing import Any

from circuitstore import pipeline
from circuitstore._version import __version__
from circuitstore.engine.loading import watch

__all__ = [
    "__version__",
    "attention",
    "attribute",
    "audit",
    "build",
    "generate",
    "graph",
    "heads",
    "intervene",
    "open",
    "refs",
    "view",
]

_HOMES = {
    "open": "circuitstore.results.open",
    "refs": "circuitstore.results.open",
    "attribute": "circuitstore.results.one_text",
    "graph": "circuitstore.results.graphs",
    "attention": "circuitstore.results.attention",
    "heads": "circuitstore.results.attention",
    "audit": "circuitstore.results.audit",
    "build": "circuitstore.results.building",
    "intervene": "circuitstore.results.edited",
    "generate": "circuitstore.results.edited",
    "view": "circuitstore.viewer.show",
}


watch(pipeline.PACKAGE)  # before anything that computes is imported: a key must know by which source it was


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
