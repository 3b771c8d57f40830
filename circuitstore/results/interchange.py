"""Attribution graphs as the JSON of circuit-tracer and Neuronpedia, and as GraphML; and that JSON read back.

The JSON holds what pruning kept. A node is named by what it is: feature `{layer}_{feature}_{position}`, error
`0_{layer}_{position}`, token `E_{token id}_{position}`, logit `{n_layers + 1}_{token id}_{position}`; its
field `feature` is the Cantor pairing of layer and feature, and `influence` the share of influence held by the
node and those above it. An error's name can be that of a feature of layer 0; here it then ends in `-error`,
since a name is given once.

Source: circuit-tracer 0.4.1 (`graph_models`), whose files have these fields, and Neuronpedia's graph schema,
which adds optional ones. The structs below are the schema: what does not fit them is refused with its place
in the file. Imports no torch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from circuitstore._version import __version__
from circuitstore.circuits.nodes import nodes, to_networkx
from circuitstore.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

FORMATS = ("json", "graphml")
FEATURE: Literal["cross layer transcoder"] = (
    "cross layer transcoder"  # the schema calls features of per-layer transcoders so, too
)
Labels = Mapping[tuple[int, int], str]  # (layer, feature) → label


class Node(msgspec.Struct):
    """One node; `layer` is "E" for tokens. `clerp` is its label. Logits have a token_prob, features an
    activation.
    """

    node_id: str
    feature: int | None
    layer: str
    ctx_idx: int
    feature_type: Literal["cross layer transcoder", "mlp reconstruction error", "embedding", "logit"]
    token_prob: float | None = 0.0
    is_target_logit: bool = False
    run_idx: int = 0
    reverse_ctx_idx: int = 0
    jsNodeId: str = ""  # noqa: N815 (the name in the file, as below)
    clerp: str | None = ""
    influence: float | None = None
    activation: float | None = None


class Link(msgspec.Struct):
    """One edge, weight in the unit of the target's pre-activation."""

    source: str
    target: str
    weight: float


class Metadata(msgspec.Struct):
    """What the graph is of. `scan` names model and transcoders, `slug` the graph."""

    slug: str
    scan: str
    prompt_tokens: list[str]
    prompt: str
    transcoder_list: list[str] = []
    node_threshold: float | None = None
    schema_version: int = 1
    info: dict[str, Any] | None = None


class QParams(msgspec.Struct):
    """What a viewer shows at first."""

    pinnedIds: list[str] = []  # noqa: N815
    supernodes: list[list[str]] = []
    linkType: str = "both"  # noqa: N815
    clickedId: str | None = ""  # noqa: N815
    sg_pos: str = ""


class GraphFile(msgspec.Struct):
    """A whole file."""

    metadata: Metadata
    qParams: QParams  # noqa: N815
    nodes: list[Node]
    links: list[Link]


def cantor(layer: int, feature: int) -> int:
    """Layer and feature as one number."""
    return (layer + feature) * (layer + feature + 1) // 2 + feature


def uncantor(paired: int) -> tuple[int, int]:
    """(layer, feature) of such a number."""
    diagonal = (math.isqrt(8 * paired + 1) - 1) // 2
    feature = paired - diagonal * (diagonal + 1) // 2
    return diagonal - feature, feature


def to_file(
    graph: xr.Dataset,
    *,
    slug: str,
    scan: str,
    node_threshold: float | None = None,
    labels: Labels | None = None,
) -> GraphFile:
    """The nodes and edges that pruning kept of a graph of phase `attribution` or of `attribute`; `labels`
    name its features.
    """
    rows = nodes(graph)
    cumulative = graph.node_cumulative.values.tolist()
    made: dict[int, Node] = {}
    taken = {_name(row) for row in rows if row["kept"] and row["kind"] == "feature"}
    first_logit = len(rows) - graph.sizes["logit"]
    for i, row in enumerate(rows):
        if not row["kept"]:
            continue
        node = (
            _logit(graph, i - first_logit)
            if row["kind"] == "logit"
            else _inner(row, graph, cumulative[i], labels or {})
        )
        made[i] = (
            msgspec.structs.replace(node, node_id=node.node_id + "-error") if _clashes(node, taken) else node
        )
    kept = graph.prune_edge_mask.values
    columns = (graph[name].values[kept].tolist() for name in ("edge_source", "edge_target", "edge_weight"))
    tokens = [str(text) for text in graph.token_text.values]
    metadata = Metadata(slug, scan, tokens, "".join(tokens), node_threshold=node_threshold, info=_info())
    links = [
        Link(made[source].node_id, made[target].node_id, weight)
        for source, target, weight in zip(*columns, strict=True)
    ]
    return GraphFile(metadata, QParams(), list(made.values()), links)


def to_bytes(file: GraphFile) -> bytes:
    """The file as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"


def to_graphml(graph: xr.Dataset) -> bytes:
    """What pruning kept, with the attributes of `nodes`; those that a node does not have are left out."""
    import networkx as nx

    network = to_networkx(graph)
    for _, data in network.nodes(data=True):
        for name in [name for name, value in data.items() if value is None]:
            del data[name]
    network.graph["tokens"] = json.dumps(network.graph["tokens"], ensure_ascii=False)
    written = BytesIO()
    nx.write_graphml(network, written, named_key_ids=True)
    return written.getvalue()


def read_file(path: str) -> GraphFile:
    """A graph file, every node named once and every edge between nodes. Raises InputError, naming the place
    in the file.
    """
    try:
        with open(path, "rb") as source:
            found = msgspec.json.decode(source.read(), type=GraphFile)
    except OSError as error:
        raise InputError(path, expected="a readable graph file", got=error.strerror or error) from error
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:  # of which a ValidationError is one
        what, _, place = str(error).partition(" - at ")
        raise InputError(
            f"{path}{' ' + place if place else ''}", expected="a graph as circuit-tracer writes it", got=what
        ) from error
    known: set[str] = set()
    for i, node in enumerate(found.nodes):
        if node.node_id in known:
            raise InputError(f"{path} `$.nodes[{i}]`", expected="every node_id once", got=repr(node.node_id))
        known.add(node.node_id)
        try:
            identity(node)
        except ValueError as error:
            raise InputError(
                f"{path} `$.nodes[{i}]`", expected="a layer, position and feature", got=error
            ) from None
    for i, link in enumerate(found.links):
        if missing := [end for end in (link.source, link.target) if end not in known]:
            raise InputError(f"{path} `$.links[{i}]`", expected="the node_id of a node", got=repr(missing[0]))
    return found


def identity(node: Node) -> tuple[str, int, int, int]:
    """What a node is, in whatever graph: (kind, layer, position, feature or token id), -1 where there is
    none. Raises ValueError.
    """
    if node.feature_type == "mlp reconstruction error":
        return "error", _number(node.layer), node.ctx_idx, -1
    if node.feature_type == "embedding":
        return "embedding", -1, node.ctx_idx, _number(_part(node.node_id, 1))
    if node.feature_type == "logit":
        return "logit", -1, node.ctx_idx, _number(_part(node.node_id, 1))
    layer = _number(node.layer)
    if node.feature is None or node.feature < 0:
        raise ValueError(f"feature {node.feature}")
    paired = uncantor(node.feature)
    return (
        "feature",
        layer,
        node.ctx_idx,
        paired[1] if paired[0] == layer else _number(_part(node.node_id, 1)),
    )


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} in place of a number")
    return int(text)


def _part(name: str, index: int) -> str:
    parts = name.split("_")
    return parts[index] if index < len(parts) else ""


def _name(row: dict[str, Any]) -> str:
    return f"{row['layer']}_{row['feature']}_{row['position']}"


def _clashes(node: Node, taken: set[str]) -> bool:
    return node.feature_type == "mlp reconstruction error" and node.node_id in taken


def _inner(row: dict[str, Any], graph: xr.Dataset, influence: float, labels: Labels) -> Node:
    """A feature, an error or a token."""
    position = row["position"]
    if row["kind"] == "feature":
        layer, feature = row["layer"], row["feature"]
        label = labels.get((layer, feature), "")
        node = Node(
            _name(row),
            cantor(layer, feature),
            str(layer),
            position,
            FEATURE,
            jsNodeId=f"{layer}_{feature}-0",
            clerp=label,
        )
        node.activation = row["activation"]
    elif row["kind"] == "error":
        layer = row["layer"]
        node = Node(
            f"0_{layer}_{position}",
            -1,
            str(layer),
            position,
            "mlp reconstruction error",
            jsNodeId=f"{layer}_{position}-0",
        )
    else:
        token = int(graph.input_tokens.values[position])
        node = Node(
            f"E_{token}_{position}", position, "E", position, "embedding", jsNodeId=f"E_{token}-{position}"
        )
    node.influence = influence
    return node


def _logit(graph: xr.Dataset, index: int) -> Node:
    token, against = int(graph.logit_token_ids.values[index]), int(graph.logit_against_ids.values[index])
    probability, text = float(graph.logit_probabilities.values[index]), str(graph.logit_text.values[index])
    layer, position = int(graph.n_layers) + 1, graph.sizes["position"] - 1
    label = (
        f'Output "{text}" (p={probability:.3f})'
        if against < 0
        else f'Output "{text}" minus that of token {against}'
    )
    return Node(
        f"{layer}_{token}_{position}",
        token,
        str(layer),
        position,
        "logit",
        token_prob=probability,
        is_target_logit=index == 0,
        jsNodeId=f"L_{token}-{position}",
        clerp=label,
    )


def _info() -> dict[str, Any]:
    return {"generator": {"name": "circuitstore", "version": __version__}}


def suffix(path: str) -> str:
    """The format that a file's name asks for. Raises InputError."""
    kind = os.path.splitext(path)[1].removeprefix(".").lower()
    if kind not in FORMATS:
        raise InputError(
            path,
            expected="a name that ends in " + " or ".join("." + known for known in FORMATS),
            got=kind or "no ending",
        )
    return kind
