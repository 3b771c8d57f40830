"""Attribution graphs as datasets, as rows and as networkx graphs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import circuitstore.results.open as results
from circuitstore import pipeline
from circuitstore.circuits.nodes import nodes, to_networkx
from circuitstore.results.find import to_read
from circuitstore.results.which import NEWEST, Which, which

if TYPE_CHECKING:
    import networkx as nx
    import xarray as xr

PROVENANCE = ("phase", "profile", "behaviour", "key", "content", "settings", "upstream")
__all__ = ["dataset", "graph", "nodes", "to_networkx"]


def graph(
    prompt: str,
    *,
    behaviour: str,
    store: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    settings: Mapping[str, object] | Sequence[str] = (),
    key: str | None = None,
    tag: str | None = None,
    pruned: bool = True,
) -> nx.DiGraph:
    """The attribution graph of one prompt of a behaviour, see `to_networkx`.

    It is the newest, unless `settings`, `key` or `tag` say otherwise (`circuitstore.open`). What it is stands
    in the attributes of the graph.

    Raises MissingError, UsageError, DamageError.
    """
    from circuitstore.results.html import GraphNetwork

    kept = dataset(prompt, behaviour, store, profile, which(key, tag, settings))
    made = GraphNetwork(to_networkx(kept, pruned=pruned))
    made.graph.update({name: kept.attrs[name] for name in PROVENANCE if name in kept.attrs})
    return made


def dataset(
    prompt: str,
    behaviour: str,
    store: str | os.PathLike[str] | None,
    profile: str | None,
    meant: Which = NEWEST,
) -> xr.Dataset:
    """The same graph as the store keeps it. Raises MissingError, UsageError, DamageError."""
    phase = pipeline.services().graphs
    return results.open_one(to_read(store), phase, behaviour, {"prompt": prompt}, profile, meant)
