"""One attribution graph of any text, cached like everything else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from circuitstore import pipeline
from circuitstore.results.open import open as open_phase
from circuitstore.results.open import profile_name, store_path

if TYPE_CHECKING:
    import xarray as xr

EVERY_EDGE = (
    "attribution.max_edges=9000000000000000000",
    "attribution.edge_min_share=0",
    "attribution.edge_top_k=0",
)


def attribute(
    text: str | Sequence[int],
    *,
    model: str | os.PathLike[str] | None = None,
    transcoders: str | os.PathLike[str] | None = None,
    target: str | Sequence[str] = (),
    against: str = "",
    max_logits: int = 10,
    logit_prob: float = 0.95,
    max_feature_nodes: int | None = None,
    full: bool = False,
    store: str | os.PathLike[str] | None = None,
    settings: Sequence[str] = (),
) -> xr.Dataset:
    """The attribution graph of a text, or of token ids (position,) that begin with the prepended special
    token.

    `model` is a profile, or with `transcoders` a model's folder; either may be a repository of the Hugging
    Face hub, "OWNER/NAME", "OWNER/NAME/SUBFOLDER" or "OWNER/NAME@REVISION", where there is no folder of that
    name. Explained are the logits of `target`, one or more answers of one token each, or the one less
    `against`; without any, the fewest tokens that hold `logit_prob`, at most `max_logits`.
    `max_feature_nodes` keeps only the most influential features as nodes. Variables are those of phase
    `attribution`; with `full` every edge is there, also as adjacency_matrix (node_target, node_source)
    float32 and prune_edge_matrix, rows are targets. Kept in the store: the same question is answered once.
    Raises UsageError, ModelError, StoreError.
    """
    from circuitstore.engine.planner import Planner
    from circuitstore.engine.runner import Options, build
    from circuitstore.storage.layout import Store

    tasks: Any = pipeline.load()
    selection: Any = tasks.settings.selection
    opened = Store(store_path(store)).check_or_new()
    numbers = [f"attribution.max_logits={max_logits}", f"attribution.logit_prob={float(logit_prob)}"]
    numbers += [f"attribution.max_feature_nodes={max_feature_nodes}"] if max_feature_nodes is not None else []
    targets = (target,) if isinstance(target, str) else tuple(target)
    asked = {"text": text} if isinstance(text, str) else {"tokens": tuple(int(token) for token in text)}
    name = os.fspath(model) if model is not None else os.environ.get("CIRCUITSTORE_PROFILE") or profile_name()
    question = selection.Text(**asked, targets=tuple(answer for answer in targets if answer), against=against)

    def answered(*more: str) -> xr.Dataset:
        folder = os.fspath(transcoders) if transcoders is not None else None
        chosen = selection.select_text(tasks.SETTINGS, name, folder, question, (*numbers, *settings, *more))
        build(Planner(tasks.PIPELINE, opened), [chosen], ("attribute",), _Silent(), Options())
        graph = open_phase(
            "attribute", behaviour=chosen.behaviour, store=opened.root, profile=chosen.profile_name
        )
        return graph.drop_vars("position")  # within a graph, positions are counted from the prepended token

    graph = answered()
    if full and float(graph.kept_weight) < 1:
        graph = answered(*EVERY_EDGE)
    return with_matrix(graph.load()) if full else graph


def with_matrix(graph: xr.Dataset) -> xr.Dataset:
    """The graph with its edges as dense matrices too: adjacency_matrix and prune_edge_matrix (node_target,
    node_source).
    """
    import numpy as np

    count = graph.sizes["node"]
    matrix, kept = np.zeros((count, count), dtype=np.float32), np.zeros((count, count), dtype=bool)
    where = graph.edge_target.values, graph.edge_source.values
    matrix[where], kept[where] = graph.edge_weight.values, graph.prune_edge_mask.values
    dims = ("node_target", "node_source")
    return graph.assign(adjacency_matrix=(dims, matrix), prune_edge_matrix=(dims, kept))


class _Silent:
    """A reporter for scripts: only warnings are worth a word."""

    def begin(self, step: Any) -> None: ...

    def progress(self, cells: int) -> None: ...

    def end(self, report: Any) -> None: ...

    def warn(self, text: str) -> None:
        import warnings

        warnings.warn(text, stacklevel=3)
