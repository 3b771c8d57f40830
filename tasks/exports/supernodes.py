"""The graph between supernodes, as node-link JSON and as a picture; and the graphs of prompts, grouped.

The JSON is that of `networkx.node_link_graph(data, edges="edges")`. Format "pinned" writes the graph of each
prompt as circuit-tracer and Neuronpedia read it, in which the circuit's features are pinned and its groups
are supernodes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

import circuitstore.results.open as results
from circuitstore.errors import MissingError, UsageError
from circuitstore.results.graph_file import FEATURE, GraphFile, QParams, to_bytes
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.refs import Name
from tasks.exports.graphs import PICTURES, graph_files
from tasks.parts.intervals import plain

if TYPE_CHECKING:
    import xarray as xr

FORMATS = ("json", "pinned", *PICTURES)
NUMBERS = ("units", "first_layer", "last_layer")


def files(
    store: Store,
    name: Name,
    artifact: Artifact,
    formats: tuple[str, ...],
    prompts: tuple[str, ...],
    scan: str = "",
) -> dict[str, bytes]:
    """File name → bytes; JSON when no format is named. Prompts choose among those of "pinned".

    `scan` is what the files of prompts call the model. Raises UsageError for a prompt that there is not, and
    for prompts without "pinned"; MissingError for graphs or roles that are no longer there; DamageError.
    """
    if prompts and "pinned" not in formats:
        raise UsageError("--prompt", expected="with --format pinned only", got=", ".join(formats) or "json")
    data = results.open_key(store, name, artifact.key).load()
    made: dict[str, bytes] = {}
    if "json" in formats or not formats:
        made["supernodes.json"] = json.dumps(node_link(data), ensure_ascii=False, indent=1).encode() + b"\n"
    for kind in PICTURES:
        if kind in formats:
            from tasks.exports.supernode_picture import picture

            roles, origin = _roles(store, artifact), {name.phase: artifact.content}
            made[f"supernodes.{kind}"] = picture(data, roles, kind, name.behaviour, origin)
    if "pinned" in formats:
        for prompt, file in _pinned(store, name, artifact, data, prompts, scan):
            made[f"{prompt}.json"] = to_bytes(file)
    return made


def node_link(data: xr.Dataset) -> dict[str, Any]:
    """The graph of phase `supernodes` as plain data, for networkx."""
    units: list[list[dict[str, Any]]] = [[] for _ in range(data.sizes["supernode"])]
    columns = (data[f"unit_{key}"].values.tolist() for key in ("supernode", "layer", "feature", "role"))
    for supernode, layer, feature, role in zip(*columns, strict=True):
        units[supernode].append({"layer": layer, "feature": feature, "role": role})
    nodes = [
        {
            "id": i,
            **{key: str(data[f"supernode_{key}"].values[i]) for key in ("kind", "name", "role")},
            **{key: int(data[f"supernode_{key}"].values[i]) for key in NUMBERS},
            **{key: plain(float(data[f"supernode_{key}"].values[i])) for key in ("likeness", "total")},
            "members": members,
        }
        for i, members in enumerate(units)
    ]
    ends = zip(*(data[f"edge_{key}"].values.tolist() for key in ("source", "target", "weight")), strict=True)
    return {
        "directed": True,
        "multigraph": False,
        "graph": {"circuit_size": int(data.circuit_size), "unit_of_weights": "nats"},
        "nodes": nodes,
        "edges": [{"source": source, "target": target, "weight": weight} for source, target, weight in ends],
    }


def _pinned(
    store: Store, name: Name, artifact: Artifact, data: xr.Dataset, prompts: tuple[str, ...], scan: str
) -> Iterator[tuple[str, GraphFile]]:
    """(prompt, its graph with the circuit pinned and grouped) of every prompt, or of these."""
    attribution, roles = _upstream(store, artifact, "attribution"), _roles(store, artifact)
    columns = (data[f"unit_{key}"].values.tolist() for key in ("layer", "feature", "role", "supernode"))
    supernode = {
        (layer, feature, role): number for layer, feature, role, number in zip(*columns, strict=True)
    }
    names = data.supernode_name.values.tolist()
    grouped = data.supernode_kind.values == "group"
    of_graphs = Name(name.profile, name.behaviour, "attribution")
    for prompt, file in graph_files(store, of_graphs, attribution, prompts, scan):
        role = roles[prompt]
        groups: dict[int, list[str]] = {}
        for node in file.nodes:
            if node.feature_type == FEATURE:
                layer, feature, _ = map(int, node.node_id.split("_"))
                number = supernode.get((layer, feature, role[node.ctx_idx]))
                if number is not None:
                    groups.setdefault(number, []).append(node.node_id)
        shown = QParams(
            pinnedIds=[node for each in groups.values() for node in each],
            supernodes=[
                [names[number], *each] for number, each in groups.items() if grouped[number] and len(each) > 1
            ],
        )
        yield prompt, msgspec.structs.replace(file, qParams=shown)


def _roles(store: Store, artifact: Artifact) -> dict[str, list[str]]:
    """Prompt → the role of each position. Raises MissingError, DamageError."""
    return {
        str(cell.coords["prompt"]): reader(store, cell.object).cell(cell.row).role.values.tolist()
        for cell in _upstream(store, artifact, "pairs").cells
    }


def _upstream(store: Store, artifact: Artifact, phase: str) -> Artifact:
    """The output of a phase that an artifact was computed from. Raises MissingError, DamageError."""
    found = read_artifact(store, artifact.upstream[phase])
    if found is None:
        raise MissingError(
            f"{phase} of {artifact.behaviour}",
            expected="what supernodes were computed from",
            got="it is not in the store any more",
            remedy=f"run `circuitstore build {phase} --behaviour {artifact.behaviour}`",
        )
    return found
