"""What is opened describes itself: texts and units of variables, the nodes of a graph, labels as columns.

None of it is content. It is put on what is opened, so that it can be worded better without any key moving.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from circuitstore import pipeline
from circuitstore.results.arrays import Array, LazyArray
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store

NODE = "node"
NEEDED = {"active_features", "selected_features", "node_influence", "n_layers", "token_text", "logit_text"}
KIND, INDEX, TEXT = np.dtype("<U10"), np.dtype(np.int32), np.dtypes.StringDType()
KINDS = ("feature", "suppressed", "error", "embedding", "logit")
X = TypeVar("X", xr.Dataset, xr.DataTree)


def described(opened: X, phase: str) -> X:
    """The same with `long_name` and `units` on all that the phase's table has; what is stored is kept."""
    describe = pipeline.services().described
    parts = opened.subtree if isinstance(opened, xr.DataTree) else [opened]
    for part in parts:
        for name, variable in part.variables.items():
            if (found := describe(phase, str(name))) is not None:
                text, unit = found
                units = unit or ("1" if variable.dtype.kind in "fiu" else "")
                told = {"long_name": text} | ({"units": units} if units else {})
                variable.attrs = {**told, **variable.attrs}
    return opened


class FeatureLabels:
    """What the features of an artifact's transcoders are called now, by all behaviours of a profile.

    It is looked up once, when it is first asked for.
    """

    def __init__(self, store: Store, profile: str, artifact: Artifact):
        self._store, self._profile = store, profile
        self._transcoders = artifact.components.resources.get("transcoders")

    @cached_property
    def found(self) -> Mapping[tuple[int, int], str]:
        """(layer, feature) → label. Raises DamageError."""
        return pipeline.services().review.labels(self._store, self._profile, "", self._transcoders)


def with_nodes(dataset: xr.Dataset, labels: FeatureLabels) -> xr.Dataset:
    """An attribution graph with coordinates of its nodes; any other dataset as it is.

    On dim `node` are node_kind (one of `KINDS`), node_layer and node_feature (int32, -1 where there is none),
    node_position (int32, 0 is the prepended token), node_token (the text at the position, or the answer of a
    logit) and node_label (of a feature, "" where it has none). They are worked out when one of them is read.
    """
    if not dataset.variables.keys() >= NEEDED or dataset["node_influence"].dims != (NODE,):
        return dataset
    nodes = _Nodes(dataset, labels)
    text = np.result_type(dataset.token_text.dtype, dataset.logit_text.dtype)
    numbers = dict.fromkeys(("layer", "position", "feature"), INDEX)
    kinds = {"kind": KIND, **numbers, "token": text, "label": TEXT}
    columns = {name: LazyArray(_Column(nodes, name, dtype)) for name, dtype in kinds.items()}
    return dataset.assign_coords({f"{NODE}_{name}": (NODE, column) for name, column in columns.items()})


class _Nodes:
    """The nodes of a graph, in their order: features, errors (layer-major), embeddings, logits."""

    def __init__(self, graph: xr.Dataset, labels: FeatureLabels):
        self.graph, self.size, self._labels = graph, graph.sizes[NODE], labels

    def column(self, name: str) -> Array:
        """What each node is, in one respect. Labels are looked up for themselves alone."""
        return self._called if name == "label" else self.columns[name]

    @cached_property
    def _called(self) -> Array:
        """The label of each feature, "" for nodes without one."""
        layers, features = self.columns["layer"].tolist(), self.columns["feature"].tolist()
        labels = self._labels.found
        return np.array([labels.get(each, "") for each in zip(layers, features, strict=True)], dtype=TEXT)

    @cached_property
    def columns(self) -> dict[str, Array]:
        """What each node is, by column; read from the store."""
        graph = self.graph
        chosen = graph.selected_features.values
        layer, position, feature = graph.active_features.values[chosen].T
        silent = np.zeros(len(chosen), dtype=bool)
        if "suppressed" in graph.variables:
            silent = graph.suppressed.values[chosen]
        texts, answers, layers = graph.token_text.values, graph.logit_text.values, int(graph.n_layers)
        at, none = np.arange(len(texts)), np.full(len(texts) + len(answers), -1)
        counts = (len(texts) * layers, len(texts), len(answers))
        return {
            "kind": np.r_[np.where(silent, KINDS[1], KINDS[0]).astype(KIND), np.repeat(KINDS[2:], counts)],
            "layer": np.r_[layer, np.repeat(np.arange(layers), len(texts)), none],
            "position": np.r_[position, np.tile(at, layers + 1), np.full(len(answers), len(texts) - 1)],
            "feature": np.r_[feature, np.full(counts[0], -1), none],
            "token": np.concatenate([texts[position], *[texts] * (layers + 1), answers]),
        }


class _Column(BackendArray):
    """One column of the nodes of a graph."""

    def __init__(self, nodes: _Nodes, name: str, dtype: np.dtype[Any]):
        self._nodes, self._name = nodes, name
        self.shape, self.dtype = (nodes.size,), dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Array:
        values = self._nodes.column(self._name).astype(self.dtype)
        support = indexing.IndexingSupport.OUTER
        chosen: Array = indexing.explicit_indexing_adapter(key, self.shape, support, lambda i: values[i])
        return chosen
