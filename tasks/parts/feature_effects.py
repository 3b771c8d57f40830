"""What zeroing a feature does to the features downstream of it, beside what the attribution graph predicts.

Sources and targets are drawn at random, alike from all of a graph's features and from those that pruning
kept; definitions and the source are those of `circuitstore.circuits.feature_effects` and
docs/interventions.md.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch
import xarray as xr
from scipy import sparse

from circuitstore.circuits.feature_effects import FeatureGraph
from circuitstore.circuits.intervene import intervene
from circuitstore.models.capture import Capture

AMONG = ("graph", "pruned")
EFFECT_REGIMES = ("constrained", "frozen_attention", "free")
DIMS = ("among", "pair")
CHUNK = 64  # features zeroed at once; fixed, since it decides the last bits


def feature_effects(
    config,
    graph: xr.Dataset,
    model,
    transcoders,
    tokens: list[int],
    base: Capture,
    generator: np.random.Generator,
) -> dict[str, tuple]:
    """Variables over `DIMS`, a pair being a source and a target, NaN and -1 where a graph has fewer of them.

    feature_source, feature_target int32: rows of the graph's active_features; feature_layers int32: from the
    source's layer to the target's; feature_influence, feature_direct float32, feature_response,
    feature_effect (…, effect_regime) float32: predicted and measured share of the target's activation that is
    lost.
    """
    features = _features(graph, transcoders)
    pairs = _drawn(config, features, graph.prune_node_mask.values[: len(features.layer)], generator)
    known = pairs[..., 0] >= 0
    source, target = pairs[known].T
    found = {name: np.zeros(len(source)) for name in ("influence", "direct")}
    found |= {name: np.zeros((len(source), len(EFFECT_REGIMES))) for name in ("response", "effect")}
    if len(source):
        zeroed, column = np.unique(source, return_inverse=True)
        read, place = np.unique(target, return_inverse=True)
        found["influence"] = features.influence(zeroed)[target, column]
        found["direct"] = features.direct(zeroed)[target, column]
        measure = _Measure(features, graph, model, transcoders, tokens, base, read)
        for r, regime in enumerate(EFFECT_REGIMES):
            held = (
                features.layer[zeroed] + config.effect_range
                if regime == "constrained"
                else np.full(len(zeroed), -1)
            )
            found["response"][:, r] = features.response(zeroed, held)[target, column]
            found["effect"][:, r] = measure.lost(zeroed, regime, held)[column, place]
    row = np.append(graph.selected_features.values, -1)
    layers = np.where(known, features.layer[pairs[..., 1]] - features.layer[pairs[..., 0]], -1)
    variables: dict[str, tuple] = {
        "feature_source": (DIMS, row[pairs[..., 0]].astype(np.int32)),
        "feature_target": (DIMS, row[pairs[..., 1]].astype(np.int32)),
        "feature_layers": (DIMS, layers.astype(np.int32)),
    }
    for name, values in found.items():
        whole = np.full((*known.shape, *values.shape[1:]), np.nan, dtype=np.float32)
        whole[known] = values
        variables[f"feature_{name}"] = ((*DIMS, "effect_regime")[: whole.ndim], whole)
    return variables


def _features(graph: xr.Dataset, transcoders) -> FeatureGraph:
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
        entering=np.bincount(target, np.abs(weight), minlength=count)[:count],
        edges=sparse.csr_array((weight[inner], (target[inner], source[inner])), shape=(count, count)),
    )


def _drawn(config, features: FeatureGraph, kept: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(among, pair, 2) feature nodes, source and target, -1 for none: drawn from all pairs of which the
    source is one of the `effect_sources` that were drawn before.
    """
    result = np.full((len(AMONG), config.effect_pairs, 2), -1)
    for among, inside in zip(result, (np.ones(len(kept), dtype=bool), kept), strict=True):
        nodes = generator.permutation(np.flatnonzero(inside)).tolist()
        below = ((node, np.flatnonzero(features.downstream(node) & inside)) for node in nodes)
        sources = islice(((node, targets) for node, targets in below if len(targets)), config.effect_sources)
        pairs = np.concatenate(
            [
                np.zeros((0, 2), dtype=np.int64),
                *(np.insert(t[:, None], 0, node, axis=1) for node, t in sources),
            ]
        )
        chosen = np.sort(generator.permutation(len(pairs))[: config.effect_pairs])
        among[: len(chosen)] = pairs[chosen]
    return result


class _Measure:
    """How much of their activation the feature nodes ``read`` lose when others are zeroed."""

    def __init__(
        self,
        features: FeatureGraph,
        graph: xr.Dataset,
        model,
        transcoders,
        tokens: list[int],
        base: Capture,
        read: np.ndarray,
    ):
        self.model, self.transcoders, self.tokens, self.base = model, transcoders, tokens, base
        self.places = graph.active_features.values[graph.selected_features.values]  # layer, position, feature
        self.layers = [
            (layer, np.flatnonzero(features.layer[read] == layer))
            for layer in np.unique(features.layer[read]).tolist()
        ]
        self.read, self.activation = self.places[read], features.activation[read]

    def lost(self, zeroed: np.ndarray, regime: str, held: np.ndarray) -> np.ndarray:
        """Share of its activation that each node read loses when each of ``zeroed`` is set to 0: (zeroed,
        read) float64.
        """
        nothing = np.zeros(
            (0, 4)
        )  # run beside the others, or in half precision differences would be mostly rounding
        variants = [nothing, *(np.array([[*self.places[node], 0.0]]) for node in zeroed)]
        held = np.append(-1, held)
        after = []
        for start in range(0, len(variants), CHUNK):
            part = slice(start, start + CHUNK)
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
        values = np.concatenate(after)
        return (values[0] - values[1:]) / self.activation

    def _activations(self, mlp_input: torch.Tensor) -> np.ndarray:
        """Of the features read: mlp_input (run, layer, position, d_model) → (run, read) float64."""
        result = np.zeros((len(mlp_input), len(self.read)))
        for layer, here in self.layers:
            _, position, feature = self.read[here].T
            x = mlp_input[:, layer, torch.from_numpy(position)].transpose(0, 1)  # (read, run, d_model)
            result[:, here] = self.transcoders.layer(layer).activations_of(x, feature).T.cpu().numpy()
        return result
