"""One attribution graph of any text, cached like everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from circuitstore import pipeline
from circuitstore.results.asking import Asked, Path, question
from circuitstore.results.targets import Feature, checked

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray


def attribute(
    text: Asked,
    *,
    model: Path | None = None,
    transcoders: Path | None = None,
    target: str | Sequence[str] = (),
    against: str = "",
    feature: Feature | None = None,
    direction: Path | Sequence[float] | NDArray[np.floating] | None = None,
    weights: Mapping[str, float] | None = None,
    max_logits: int = 10,
    logit_prob: float = 0.95,
    max_feature_nodes: int | None = None,
    full: bool = False,
    store: Path | None = None,
    settings: Sequence[str] = (),
) -> xr.Dataset:
    """The attribution graph of a text, of token ids (position,), or of a conversation.

    Token ids begin with the prepended special token. A conversation is a sequence of turns, such as
    {"role": "user", "content": "…"}. The model's own chat template writes it out, up to where the answer
    begins, and token_role (position,) says whose each token is, "" for those of the template.

    `model` is a profile, or together with `transcoders` the folder of a model. Either may be a repository of
    the Hugging Face hub, "OWNER/NAME", "OWNER/NAME/SUBFOLDER" or "OWNER/NAME@REVISION", where there is no
    folder of that name.

    Explained are the logits of `target`: one or more answers of one token each. With `against`, it is the
    logit of the one target less that of this answer. Without a target, it is the fewest tokens that hold
    `logit_prob`, at most `max_logits`.

    One number can be explained in the place of logits. `feature` (layer, position, feature) is the
    pre-activation of a feature, active or not; position 0 is the prepended token, -1 the last one.
    `direction` (d_model,), an array or a file that holds one, is its product with the final norm's output at
    the last position. `weights`, such as {" are": 1.0, " is": -0.5}, is the sum of these logits, each less
    the mean. The edges into it, its bias and what is left out sum to its value, node_preactivation[-1].

    `max_feature_nodes` keeps only the most influential features as nodes.

    The variables are those of a graph in the store (`circuitstore.open`). With `full` every edge is there,
    also as the dense adjacency_matrix (node_target, node_source) float32 and prune_edge_matrix, whose rows
    are targets. The graph is kept in the store: the same question is answered once. Raises UsageError,
    InputError, LimitError, ModelError, StoreError.
    """
    from circuitstore.results.html import GraphDataset

    one_text = pipeline.services().one_text
    limits = (*one_text.limits(max_logits, float(logit_prob), max_feature_nodes), *settings)
    aim = checked(feature, direction, weights)
    asked = question(text, model, transcoders, store, target=target, against=against, aim=aim)
    graph = asked.answer(one_text.phase, limits)
    if full and float(graph.kept_weight) < 1:
        graph = asked.answer(one_text.phase, (*limits, *one_text.every_edge))
    return GraphDataset.of(with_matrix(graph.load()) if full else graph)


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
