"""The graph file of circuit-tracer and Neuronpedia: its schema, reading and writing.

The structs below are the schema. A file that does not fit them is refused, with the place in the file. A
feature's field `feature` is the Cantor pairing of layer and feature. `influence` is the share of all
influence that a node and those above it hold.

Source: circuit-tracer (`graph_models`), whose files have these fields, and Neuronpedia's graph schema 1.0.0,
which adds optional ones. Errors are named as circuit-tracer names them from 0.5.1 on. Imports no torch.
"""

from __future__ import annotations

import math
import os
import re
from typing import Any, Literal

import msgspec

from circuitstore.errors import InputError

FORMATS = ("json", "graphml")
# The schema calls the features of per-layer transcoders so, too.
FEATURE: Literal["cross layer transcoder"] = "cross layer transcoder"
ERROR: Literal["mlp reconstruction error"] = "mlp reconstruction error"


class Node(msgspec.Struct):
    """One node; `layer` is "E" for tokens, and a text or an integer for others.

    `clerp` is its label. Logits have a token_prob, features an activation.
    """

    node_id: str
    feature: int | None
    layer: str | int
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
    schema_version: int | str | None = 1
    info: dict[str, Any] | None = None
    generation_settings: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    pruning_settings: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


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


def to_bytes(file: GraphFile) -> bytes:
    """The file as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"


def read_file(path: str) -> GraphFile:
    """A graph file in which every node is named once and every edge runs between nodes.

    Raises InputError, naming the place in the file.
    """
    try:
        with open(path, "rb") as source:
            file = msgspec.json.decode(source.read(), type=GraphFile)
    except OSError as error:
        raise InputError(path, expected="a readable graph file", got=error.strerror or error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what, _, at = str(error).partition(" - at ")
        where = f"{path} {at}" if at else path
        raise InputError(where, expected="a graph as circuit-tracer writes it", got=what) from error
    _separate(file)
    _check_nodes(path, file)
    known = {node.node_id for node in file.nodes}
    for i, link in enumerate(file.links):
        if missing := [end for end in (link.source, link.target) if end not in known]:
            raise InputError(f"{path} `$.links[{i}]`", expected="the node_id of a node", got=repr(missing[0]))
    return file


def error_id(layer: object, position: int) -> str:
    """The name of an error node, as circuit-tracer gives it from 0.5.1 on."""
    return f"{layer}_-1_{position}"


def _separate(file: GraphFile) -> None:
    """Rename errors whose name is also a feature's, as in files of circuit-tracer before 0.5.1.

    No edge ends at an error. Of two edges from such a name to the same node, the first is the feature's and
    the second the error's, which is the order in which they are written. A single one counts as the
    feature's.
    """
    features = {node.node_id for node in file.nodes if node.feature_type == FEATURE}
    renamed = {}
    for node in file.nodes:
        if node.feature_type == ERROR and node.node_id in features:
            renamed[node.node_id] = error_id(node.layer, node.ctx_idx)
            node.node_id = renamed[node.node_id]
    seen = set()
    for link in file.links if renamed else ():
        if link.source in renamed:
            ends = link.source, link.target
            link.source = renamed[link.source] if ends in seen else link.source
            seen.add(ends)


def _check_nodes(path: str, file: GraphFile) -> None:
    known: set[str] = set()
    for i, node in enumerate(file.nodes):
        where = f"{path} `$.nodes[{i}]`"
        if node.node_id in known:
            raise InputError(where, expected="every node_id once", got=repr(node.node_id))
        known.add(node.node_id)
        try:
            identity(node)
        except ValueError as error:
            raise InputError(where, expected="a layer, position and feature", got=error) from None


def identity(node: Node) -> tuple[str, int, int, int]:
    """What a node is, in whatever graph: (kind, layer, position, feature or token id).

    A number is -1 where there is none.

    Raises ValueError.
    """
    if node.feature_type == ERROR:
        return "error", _number(node.layer), node.ctx_idx, -1
    if node.feature_type in ("embedding", "logit"):
        return node.feature_type, -1, node.ctx_idx, _number(_part(node.node_id, 1))
    layer = _number(node.layer)
    if node.feature is None or node.feature < 0:
        raise ValueError(f"feature {node.feature}")
    paired_layer, paired_feature = uncantor(node.feature)
    feature = paired_feature if paired_layer == layer else _number(_part(node.node_id, 1))
    return "feature", layer, node.ctx_idx, feature


def token_texts(file: GraphFile) -> dict[int, str]:
    """Token id → text, of the tokens that are nodes, as far as the file tells it."""
    tokens, texts = file.metadata.prompt_tokens, dict[int, str]()
    for node in file.nodes:
        answer = re.match(r'Output "(.*)" ', node.clerp or "", re.DOTALL)
        if node.feature_type == "logit" and answer:
            texts[identity(node)[3]] = answer[1]
        elif node.feature_type == "embedding" and 0 <= node.ctx_idx < len(tokens):
            texts[identity(node)[3]] = tokens[node.ctx_idx]
    return texts


def _number(text: str | int) -> int:
    if isinstance(text, int) and text >= 0:
        return text
    if not str(text).isdecimal():
        raise ValueError(f"{text!r} in place of a number")
    return int(text)


def _part(name: str, index: int) -> str:
    parts = name.split("_")
    return parts[index] if index < len(parts) else ""


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
