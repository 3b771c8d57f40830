"""Attribution graphs of the store as the JSON of circuit-tracer and Neuronpedia, and as GraphML.

Both hold what pruning kept. In the JSON a node is named by what it is: feature
`{layer}_{feature}_{position}`, error `{layer}_-1_{position}`, token `E_{token id}_{position}`, logit
`{n_layers + 1}_{token id}_{position}`. The label of a suppressed feature says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from circuitstore._version import __version__
from circuitstore.circuits.nodes import nodes, to_networkx
from circuitstore.results.graph_file import (
    ERROR,
    FEATURE,
    GraphFile,
    Link,
    Metadata,
    Node,
    QParams,
    cantor,
    error_id,
)

if TYPE_CHECKING:
    import xarray as xr

NO_TOKEN = 1 << 24  # in place of a token id: beyond every vocabulary, as circuit-tracer numbers such targets
FEATURES = ("feature", "suppressed")  # kinds of nodes that the format knows as features
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Labels = Mapping[tuple[int, int], str]  # (layer, feature) → label


def to_file(
    graph: xr.Dataset,
    *,
    slug: str,
    scan: str,
    node_threshold: float | None = None,
    labels: Labels | None = None,
    subgraph: QParams | None = None,
) -> GraphFile:
    """The nodes and edges that pruning kept of an attribution graph; `labels` name its features.

    `subgraph` has the pinned nodes and supernodes that a viewer shows at first; those of another file are the
    `qParams` of `read_file`.
    """
    rows = nodes(graph)
    made = {i: _node(i, rows, graph, labels or {}) for i, row in enumerate(rows) if row["kept"]}
    kept = graph.prune_edge_mask.values
    columns = (graph[name].values[kept].tolist() for name in ("edge_source", "edge_target", "edge_weight"))
    ends = zip(*columns, strict=True)
    links = [Link(made[source].node_id, made[target].node_id, weight) for source, target, weight in ends]
    tokens = [str(text) for text in graph.token_text.values]
    prompt = str(graph.prompt_text.values) if "prompt_text" in graph else "".join(tokens)
    metadata = Metadata(slug, scan, tokens, prompt, node_threshold=node_threshold, info=_info())
    return GraphFile(metadata, subgraph or QParams(), list(made.values()), links)


def to_graphml(graph: xr.Dataset, labels: Labels | None = None) -> bytes:
    """What pruning kept, with the attributes of `nodes`; those that a node does not have are left out.

    `labels` name the features, as attribute `label`. Characters that XML cannot hold are written as escapes,
    such as \\x1b.
    """
    import networkx as nx

    network = to_networkx(graph)
    for _, data in network.nodes(data=True):
        data["label"] = (labels or {}).get((data["layer"], data["feature"])) or None
        for name in [name for name, value in data.items() if value is None]:
            del data[name]
        data.update({name: _xml(value) for name, value in data.items() if isinstance(value, str)})
    network.graph["tokens"] = json.dumps([_xml(text) for text in network.graph["tokens"]], ensure_ascii=False)
    written = BytesIO()
    nx.write_graphml(network, written, named_key_ids=True)
    return written.getvalue()


def _xml(text: str) -> str:
    """A text with what XML 1.0 cannot hold as escapes. Source: XML 1.0, section 2.2, production Char."""
    return _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], text)


def _node(index: int, rows: list[dict[str, Any]], graph: xr.Dataset, labels: Labels) -> Node:
    """The node of one row."""
    row = rows[index]
    if row["kind"] == "logit":
        return _logit(graph, index - (len(rows) - graph.sizes["logit"]))
    node = _inner(row, graph, labels)
    node.influence = float(graph.node_cumulative.values[index])
    return node


def _name(row: dict[str, Any]) -> str:
    return f"{row['layer']}_{row['feature']}_{row['position']}"


def _inner(row: dict[str, Any], graph: xr.Dataset, labels: Labels) -> Node:
    """A feature, an error or a token."""
    position, layer = row["position"], row["layer"]
    if row["kind"] in FEATURES:
        feature = row["feature"]
        node = Node(_name(row), cantor(layer, feature), str(layer), position, FEATURE)
        node.jsNodeId = f"{layer}_{feature}-0"
        node.clerp, node.activation = labels.get((layer, feature), ""), row["activation"]
        if row["kind"] == "suppressed":
            node.clerp = f"suppressed: {node.clerp}".removesuffix(": ")
        return node
    if row["kind"] == "error":
        name = error_id(layer, position)
        return Node(name, -1, str(layer), position, ERROR, jsNodeId=f"{layer}_-1-{position}")
    token = int(graph.input_tokens.values[position])
    name = f"E_{token}_{position}"
    return Node(name, position, "E", position, "embedding", jsNodeId=f"E_{token}-{position}")


def _logit(graph: xr.Dataset, index: int) -> Node:
    token, against = int(graph.logit_token_ids.values[index]), int(graph.logit_against_ids.values[index])
    probability, text = float(graph.logit_probabilities.values[index]), str(graph.logit_text.values[index])
    layer, position = int(graph.n_layers) + 1, graph.sizes["position"] - 1
    if "target_position" in graph:
        position = int(graph.target_position)
    named = token < 0  # what is no token has a name, and a number that no token has
    token = NO_TOKEN if named else token
    plain, minus = f'Output "{text}" (p={probability:.3f})', f'Output "{text}" minus that of token {against}'
    return Node(
        f"{layer}_{token}_{position}",
        token,
        str(layer),
        position,
        "logit",
        token_prob=probability,
        is_target_logit=index == 0,
        jsNodeId=f"L_{token}-{position}",
        clerp=text if named else plain if against < 0 else minus,
    )


def _info() -> dict[str, Any]:
    return {"generator": {"name": "circuitstore", "version": __version__}}
