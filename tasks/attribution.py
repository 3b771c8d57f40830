"""Phase `attribution`: one attribution graph for each prompt, exact in the frozen replacement model.

The features come from phase `features`, so no encoder is read again. Where that phase has no layer or
position there are no features, and the whole MLP output is an error node. The mathematics is in
`circuitstore.circuits.graph`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitstore.circuits.graph import attribute
from tasks.parts.graph_features import features_of
from tasks.parts.stored_graph import arguments, dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import xarray as xr

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Attribution


def attribution(
    cells: list[Coords],
    config: Attribution,
    prompts: Upstream,
    features: Upstream,
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each prompt.

    Axis `node` runs over features, errors (layer-major), embeddings and logits, in this order.

    The prompt and its features:

        input_tokens, token_text   (position,) int64 and text
        prompt_text            text: all tokens together, as the tokenizer's decoder writes them
        active_features            (active_feature, column) int64: layer, position, feature; sorted
        activation_values          (active_feature,) float32
        selected_features          (feature_node,) int64: the rows of active_features that are nodes
        n_layers                   int32

    The explained logits:

        logit_token_ids, logit_text   (logit,) int64 and text
        logit_against_ids             (logit,) int64: the token subtracted; -1 is the vocabulary's mean
        logit_probabilities           (logit,) float32; 1 for a difference
        logit_weights                 (logit,) float32: what influence begins from: the probability, or of
                                      answers that were asked for the share of each

    Nodes. For every feature and logit, the sum of the edges into it + unstored + bias + omitted =
    pre-activation:

        node_preactivation, node_bias, node_omitted   (node,) float32
        node_unstored                      (node,) float32: the sum of the edges into it that are not stored
        node_influence, node_cumulative    (node,) float32
        prune_node_mask                    (node,) bool
        direct_attribution, total_attribution, gradient_attribution, integrated_attribution   (node,)
                float32, nats: what the node contributes to the margin by its edge alone, by all paths through
                features, by the gradient of the real model, and by its integral
                (`circuitstore.circuits.margin`)

    Edges, by target, then source. Stored are those that pruning keeps, and the strongest others
    (`edge_min_share`, `edge_top_k`, `max_edges`):

        edge_target, edge_source   (edge,) int32
        edge_weight                (edge,) float32
        prune_edge_mask            (edge,) bool

    The graph as a whole:

        replacement_score, completeness_score   float64
        kept_weight               float64: the share of all absolute weight that stored edges hold
        identity_error            float64: the largest error of the sum above, as a share of its scale
        gradient_direct_spearman  float64: rank correlation of gradient and direct attribution over features

    With methods "gradient" and "integrated", `circuitstore.circuits.gradient_graph` gives edges and pruning.
    Then no identity holds, and its error is NaN.

    Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Attribution" and "Pruning".
    """
    for cell in cells:
        prompt = prompts.one(cell)
        tokens = prompt.tokens.values.tolist()
        margin = (int(prompt.correct_id), int(prompt.incorrect_id))
        graph = attribute(
            model,
            transcoders,
            tokens,
            features=features_of(features.all(cell), model.n_layers, len(tokens)),
            difference=margin if config.targets == "difference" else None,
            targets=margin if config.targets == "answers" else None,
            margin=margin,
            **arguments(config),
        )
        yield cell, dataset(graph, model, prompt.token_text.values, config)


def summary(cells: Iterable[tuple[Coords, xr.Dataset]], config: Attribution) -> dict[str, object]:
    """Means over prompts of both scores and of the agreement of methods; the largest identity error."""
    names = ("replacement_score", "completeness_score", "gradient_direct_spearman", "identity_error")
    numbers = [[float(graph[name]) for name in names] for _, graph in cells]  # one graph in memory at a time
    graphs = np.array(numbers)
    return {
        "graphs": len(graphs),
        **dict(zip(names[:3], graphs[:, :3].mean(0).tolist(), strict=True)),
        names[3]: float(graphs[:, 3].max()),
    }
