"""Attribution graphs as rows and as networkx graphs, from the datasets that `open` and `attribute` give."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from circuitstore.circuits.nodes import nodes, to_networkx
from circuitstore.errors import UsageError
from circuitstore.results.open import open as open_phase

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
    """The attribution graph of one prompt of a behaviour, see `to_networkx`. Raises MissingError, UsageError,
    DamageError.
    """
    return to_networkx(dataset(prompt, behaviour=behaviour, store=store, profile=profile), pruned=pruned)


def dataset(
    prompt: str, *, behaviour: str, store: str | os.PathLike[str] | None = None, profile: str | None = None
) -> xr.Dataset:
    """The same graph as phase `attribution` keeps it. Raises MissingError, UsageError, DamageError."""
    tree = open_phase("attribution", behaviour=behaviour, store=store, profile=profile)
    if prompt not in tree.children:
        known = ", ".join(list(tree.children)[:3])
        raise UsageError(
            f"prompt {prompt!r} of {behaviour}",
            expected=f"one of its {len(tree.children)} prompts ({known}, …)",
        )
    return tree[prompt].to_dataset()
