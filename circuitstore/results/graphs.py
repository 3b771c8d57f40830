"""Attribution graphs as datasets, as rows and as networkx graphs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import circuitstore.results.open as results
from circuitstore import pipeline
from circuitstore.circuits.nodes import nodes, to_networkx
from circuitstore.errors import UsageError

if TYPE_CHECKING:
    import networkx as nx
    import xarray as xr

__all__ = ["dataset", "graph", "nodes", "to_networkx"]


def graph(
    prompt: str,
    *,
    behaviour: str,
    store: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    pruned: bool = True,
) -> nx.DiGraph:
    """The attribution graph of one prompt of a behaviour, see `to_networkx`.

    Raises MissingError, UsageError, DamageError.
    """
    return to_networkx(dataset(prompt, behaviour=behaviour, store=store, profile=profile), pruned=pruned)


def dataset(
    prompt: str, *, behaviour: str, store: str | os.PathLike[str] | None = None, profile: str | None = None
) -> xr.Dataset:
    """The same graph as the store keeps it. Raises MissingError, UsageError, DamageError."""
    phase = pipeline.services().graphs
    tree: Any = results.open(phase, behaviour=behaviour, store=store, profile=profile)
    if prompt not in tree.children:
        known = ", ".join(list(tree.children)[:3])
        count = len(tree.children)
        raise UsageError(
            f"prompt {prompt!r} of {behaviour}", expected=f"one of its {count} prompts ({known}, …)"
        )
    kept: xr.Dataset = tree.children[prompt].to_dataset()
    return kept
