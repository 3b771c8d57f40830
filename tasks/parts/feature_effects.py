"""What zeroing a feature does to features downstream of it, beside what the attribution graph predicts.

Sources and targets are drawn at random, once from all features of a graph and once from those that pruning
kept. Definitions and source are in `circuitstore.circuits.feature_effects` and docs/interventions.md.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from circuitstore.circuits.batching import EDITED_RUNS
from circuitstore.circuits.feature_effects import FeatureGraph
from circuitstore.circuits.intervene import intervene
from tasks.parts.runs import NOTHING

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.models.capture import Capture
    from circuitstore.models.load import LanguageModel
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Interventions

AMONG = ("graph", "pruned")
EFFECT_REGIMES = ("constrained", "frozen_attention", "free")
DIMS = ("among", "pair")


def feature_effects(
    config: Interventions,
    graph: xr.Dataset,
    model: LanguageModel,
    transcoders: Transcoders,
    tokens: list[int],
    base: Capture,
    generator: np.random.Generator,
) -> dict[str, tuple[Any, ...]]:
    """The variables of one prompt: `tokens` (position,) and `base`, its unedited run with patterns.

    Axes are (among, pair); a pair is a source and a target. Values are NaN and -1 where a graph has fewer
    pairs.

        feature_source, feature_target      int32: rows of the graph's active_features
        feature_layers                      int32: layers from the source to the target
        feature_influence, feature_direct   float32: the share of the target's activation that is predicted to
                                            be lost
        feature_response                    (…, effect_regime) float32: the same, by the replacement model
        feature_effect                      (…, effect_regime) float32: the share that is lost, measured
        feature_activation                  float32: activation of the target

    What zeroing each source does to the answer, (among, effect_source):

        source_node                                int32: row of active_features
        source_influence, source_direct, source_activation   float32: influence of the node in its graph, Σ
                                                   |edge to a logit| · its weight, and activation
        source_kl                                  (…, effect_regime) float32, nats: KL(model ‖ edited) of
                                                   the next token
    """
    features = _features(graph, transcoders)
    pairs = _drawn(config, features, graph.prune_node_mask.values[: len(features.layer)], generator)
    known = pairs[..., 0] >= 0
    source, target = pairs[known].T
    divergence = np.zeros((len(features.layer), len(EFFECT_REGIMES)))
    shares = {name: np.zeros(len(source)) for name in ("influence", "direct")}
    shares |= {name: np.zeros((len(source), len(EFFECT_REGIMES))) for name in ("response", "effect")}
    if len(source):
        zeroed, column = np.unique(source, return_inverse=True)
        read, entry = np.unique(target, return_inverse=True)
        shares["influence"] = features.influence(zeroed)[target, column]
        shares["direct"] = features.direct(zeroed)[target, column]
        measure = _Measure(features, graph, model, transcoders, tokens, base, read)
        for r, regime in enumerate(EFFECT_REGIMES):
            held = (
                features.layer[zeroed] + config.effect_range
                if regime == "constrained"
                else np.full(len(zeroed), -1)
            )
            shares["response"][:, r] = features.response(zeroed, held)[target, column]
            lost, divergence[zeroed, r] = measure.lost(zeroed, regime, held)
            shares["effect"][:, r] = lost[column, entry]
    row = np.append(graph.selected_features.values, -1)
    layers = np.where(known, features.layer[pairs[..., 1]] - features.layer[pairs[..., 0]], -1)
    variables: dict[str, tuple[Any, ...]] = {
        "feature_source": (DIMS, row[pairs[..., 0]].astype(np.int32)),
        "feature_target": (DIMS, row[pairs[..., 1]].astype(np.int32)),
        "feature_layers": (DIMS, layers.astype(np.int32)),
        "feature_activation": (
            DIMS,
            np.append(features.activation, np.nan)[pairs[..., 1]].astype(np.float32),
        ),
        **_sources(config, graph, features, pairs, divergence),
    }
    for name, values in shares.items():
        whole = np.full((*known.shape, *values.shape[1:]), np.nan, dtype=np.float32)
        whole[known] = values
        variables[f"feature_{name}"] = ((*DIMS, "effect_regime")[: whole.ndim], whole)
    return variables


def _sources(
    config: Interventions,
    graph: xr.Dataset,
    features: FeatureGraph,
    pairs: np.ndarray,
    divergence: np.ndarray,
) -> dict[str, tuple[Any, ...]]:
    """What is known of every source, from pairs (among, pair, 2) and KL (feature_node, effect_regime)."""
    dims, count = ("among", "effect_source"), len(features.layer)
    node = np.full((len(AMONG), config.effect_sources), -1)
    for row, sources in zip(node, pairs[..., 0], strict=True):
        drawn = np.unique(sources[sources >= 0])
        row[: len(drawn)] = drawn
    target, edge_source = graph.edge_target.values, graph.edge_source.values
    first_logit = graph.sizes["node"] - graph.sizes["logit"]
    out = (target >= first_logit) & (edge_source < count)
    weight = np.abs(graph.edge_weight.values[out].astype(np.float64))
    weight *= graph.logit_weights.values[target[out] - first_logit]
    columns = {
        "influence": graph.node_influence.values[:count],
        "direct": np.bincount(edge_source[out], weight, minlength=count),
        "activation": features.activation,
    }
    return {
        "source_node": (dims, np.append(graph.selected_features.values, -1)[node].astype(np.int32)),
        **{f"source_{n}": (dims, np.append(x, np.nan)[node].astype(np.float32)) for n, x in columns.items()},
        "source_kl": (
            (*dims, "effect_regime"),
            np.append(divergence, np.full((1, len(EFFECT_REGIMES)), np.nan), 0)[node].astype(np.float32),
            {"units": "nats"},
        ),
    }


def _features(graph: xr.Dataset, transcoders: Transcoders) -> FeatureGraph:
    """The feature nodes of a stored graph; edges that were not stored count as none."""
    layer, position, feature = graph.active_features.values[graph.selected_features.values].T
    target, source = graph.edge_target.values, graph.edge_source.values
    weight = graph.edge_weight.values.astype(np.float64)
    count = len(layer)
    threshold = np.zeros(count)
    for index in np.unique(layer).tolist():
        here = layer == index
        threshold[here] = transcoders.layer(index).threshold_of(feature[here]).cpu().numpy()
    inner = (target < count) & (source < count)
    return FeatureGraph(
        layer=layer,
        position=position,
        activation=graph.activation_values.values[graph.selected_features.values].astype(np.float64),
        threshold=threshold,
        entering=np.asarray(np.bincount(target, np.abs(weight), minlength=count)[:count], dtype=np.float64),
        edges=sparse.csr_array((weight[inner], (target[inner], source[inner])), shape=(count, count)),
    )


def _drawn(
    config: Interventions, features: FeatureGraph, kept: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Random pairs of feature nodes, source and target: (among, pair, 2) int64, -1 for none.

    First `effect_sources` sources are drawn, then `effect_pairs` of all pairs that they have with nodes
    downstream. `kept` (feature_node,) bool are the nodes that pruning kept.
    """
    result = np.full((len(AMONG), config.effect_pairs, 2), -1)
    for among, inside in zip(result, (np.ones(len(kept), dtype=bool), kept), strict=True):
        nodes = generator.permutation(np.flatnonzero(inside)).tolist()
        below = ((node, np.flatnonzero(features.downstream(node) & inside)) for node in nodes)
        sources = islice(((node, targets) for node, targets in below if len(targets)), config.effect_sources)
        none = np.zeros((0, 2), dtype=np.int64)
        pairs = np.concatenate([none, *(np.insert(t[:, None], 0, node, axis=1) for node, t in sources)])
        chosen = np.sort(generator.permutation(len(pairs))[: config.effect_pairs])
        among[: len(chosen)] = pairs[chosen]
    return result


class _Measure:
    """How much of their activation the feature nodes `read` (n,) lose when others are zeroed."""

    def __init__(
        self,
        features: FeatureGraph,
        graph: xr.Dataset,
        model: LanguageModel,
        transcoders: Transcoders,
        tokens: list[int],
        base: Capture,
        read: np.ndarray,
    ):
        self.model, self.transcoders, self.tokens, self.base = model, transcoders, tokens, base
        self.nodes = graph.active_features.values[graph.selected_features.values]  # layer, position, feature
        self.layers = [
            (layer, np.flatnonzero(features.layer[read] == layer))
            for layer in np.unique(features.layer[read]).tolist()
        ]
        self.read, self.activation = self.nodes[read], features.activation[read]

    def lost(self, zeroed: np.ndarray, regime: str, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The share of its activation that each node loses when each of `zeroed` is set to 0.

        `held` is the layer to which each run is constrained, -1 for none. Returns (zeroed, read) float64, and
        KL(model ‖ edited model) of the next token in nats, (zeroed,) float64.
        """
        # The unedited run stands beside the others: in half precision a run made elsewhere would differ from
        # them mostly by rounding.
        variants = [NOTHING, *(np.array([[*self.nodes[node], 0.0]]) for node in zeroed)]
        held = np.append(-1, held)
        after, logs = [], []
        for start in range(0, len(variants), EDITED_RUNS):
            part = slice(start, start + EDITED_RUNS)
            run = intervene(
                self.model,
                self.transcoders,
                self.tokens,
                variants[part],
                regime="free" if regime == "free" else "frozen_attention",
                constrained=held[part].tolist(),
                base=self.base,
                last_only=True,
            )
            assert run.mlp_input is not None
            after.append(self._activations(run.mlp_input))
            logs.append(run.logits[:, -1].double().log_softmax(1).cpu())
        values, log = np.concatenate(after), torch.cat(logs)
        divergence = (log[0].exp() * (log[0] - log[1:])).sum(1).clamp(min=0).numpy()
        return np.asarray((values[0] - values[1:]) / self.activation), divergence

    def _activations(self, mlp_input: torch.Tensor) -> np.ndarray:
        """Activations of the nodes read, (run, read) float64, from (run, layer, position, d_model)."""
        result = np.zeros((len(mlp_input), len(self.read)))
        for layer, here in self.layers:
            _, position, feature = self.read[here].T
            x = mlp_input[:, layer, torch.from_numpy(position)].transpose(0, 1)  # (read, run, d_model)
            result[:, here] = self.transcoders.layer(layer).activations_of(x, feature).T.cpu().numpy()
        return result
