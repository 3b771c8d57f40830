"""One attribution graph of any text, cached like everything else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import circuitstore.results.open as results
from circuitstore import pipeline
from circuitstore.results.defaults import profile_argument, store_path

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.engine.planner import Step
    from circuitstore.engine.runner import PhaseReport


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
    """The attribution graph of a text, or of token ids (position,).

    Token ids begin with the prepended special token.

    `model` is a profile, or together with `transcoders` the folder of a model. Either may be a repository of
    the Hugging Face hub, "OWNER/NAME", "OWNER/NAME/SUBFOLDER" or "OWNER/NAME@REVISION", where there is no
    folder of that name.

    Explained are the logits of `target`: one or more answers of one token each. With `against`, it is the
    logit of the one target less that of this answer. Without a target, it is the fewest tokens that hold
    `logit_prob`, at most `max_logits`. `max_feature_nodes` keeps only the most influential features as nodes.

    The variables are those of a graph in the store (`circuitstore.open`). With `full` every edge is there,
    also as the dense adjacency_matrix (node_target, node_source) float32 and prune_edge_matrix, whose rows
    are targets. The graph is kept in the
    store: the same question is answered once. Raises UsageError, ModelError, StoreError.
    """
    one_text = pipeline.services().one_text
    limits = (*one_text.limits(max_logits, float(logit_prob), max_feature_nodes), *settings)
    question = _Question(
        text if isinstance(text, str) else tuple(int(token) for token in text),
        profile_argument(model),
        None if transcoders is None else os.fspath(transcoders),
        tuple(answer for answer in ((target,) if isinstance(target, str) else target) if answer),
        against,
        store_path(store),
    )
    graph = question.answer(limits)
    if full and float(graph.kept_weight) < 1:
        graph = question.answer((*limits, *one_text.every_edge))
    return with_matrix(graph.load()) if full else graph


def with_matrix(graph: xr.Dataset) -> xr.Dataset:
    """The graph with its edges as dense matrices too.

    These are adjacency_matrix and prune_edge_matrix (node_target, node_source).
    """
    import numpy as np

    count = graph.sizes["node"]
    matrix, kept = np.zeros((count, count), dtype=np.float32), np.zeros((count, count), dtype=bool)
    where = graph.edge_target.values, graph.edge_source.values
    matrix[where], kept[where] = graph.edge_weight.values, graph.prune_edge_mask.values
    dims = ("node_target", "node_source")
    return graph.assign(adjacency_matrix=(dims, matrix), prune_edge_matrix=(dims, kept))


class _Question:
    """What is asked of one text, to be answered with one set of settings or another."""

    def __init__(
        self,
        text: str | tuple[int, ...],
        model: str,
        transcoders: str | None,
        targets: tuple[str, ...],
        against: str,
        store: str,
    ):
        self.asked = model, transcoders, text, targets, against
        self.store = store

    def answer(self, settings: tuple[str, ...]) -> xr.Dataset:
        """The graph with these settings, computed if the store does not have it."""
        from circuitstore.engine.planner import Planner
        from circuitstore.engine.runner import Options, build
        from circuitstore.storage.layout import Store

        services, phase = pipeline.services(), pipeline.services().one_text.phase
        selection = services.settings.select_text(*self.asked, settings)
        planner = Planner(pipeline.load(), Store(self.store).check_or_new())
        build(planner, [selection], (phase,), Silent(), Options())
        behaviour, profile = selection.behaviour, selection.profile_name
        graph = results.open(phase, behaviour=behaviour, store=self.store, profile=profile)
        return graph.drop_vars("position")  # within a graph, positions count from the prepended token


class Silent:
    """A reporter for scripts: only warnings are worth a word."""

    def begin(self, step: Step) -> None: ...

    def progress(self, cells: int) -> None: ...

    def end(self, report: PhaseReport) -> None: ...

    def warn(self, text: str) -> None:
        import warnings

        warnings.warn(text, stacklevel=3)
