"""Attribution graphs of prompts, and the aggregated graph of a behaviour, as records of one form."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from circuitstore.storage.artifact import Artifact
from circuitstore.viewer.bundle import smallest
from circuitstore.viewer.graphs import EMBEDDING, ERROR, FEATURE, LOGIT, graph_record
from tasks.exploring.attention import known
from tasks.exploring.phases import ATTRIBUTE, ATTRIBUTION, CIRCUIT, PAIRS, Built, column
from tasks.parts.turns import turns_of

KINDS = {"feature": FEATURE, "error": ERROR, "embedding": EMBEDDING, "margin": LOGIT}


def of_prompt(built: Built, prompt: str, *, pruned: bool = False) -> dict[str, Any]:
    """The graph of one prompt: `circuitstore.viewer.graphs.graph_record`, with what it is about."""
    graph = built.cell(ATTRIBUTION, prompt)
    row = built.rows[prompt]
    text, turns = str(row.text.values), turns_of(row)
    config = built.artifact(ATTRIBUTION).components.config
    record = graph_record(
        graph,
        pruned=pruned,
        title=prompt,
        text=text,
        asked="" if turns else text,
        answers=[str(row.correct.values), str(row.incorrect.values)],
        partner=str(row.partner.values),
        roles=built.roles.get(prompt, []),
        turns=turns,
        model=built.profile,
        thresholds=[config.get("node_threshold"), config.get("edge_threshold")],
    )
    return {**record, "labels": _labels(built, record["nodes"]), **_attention(built, ATTRIBUTION, graph)}


def of_text(built: Built) -> dict[str, Any]:
    """The graph of one text, which belongs to no behaviour (`circuitstore attribute`)."""
    artifact = built.artifact(ATTRIBUTE)
    asked, config = asked_of(artifact), artifact.components.config
    facts: dict[str, Any] = {"title": built.behaviour, "text": asked["text"], "model": built.profile}
    facts["asked"] = artifact.components.resources["text"]["text"]
    if asked["against"]:
        facts["answers"] = [asked["target"], asked["against"]]
    thresholds = [config.get("node_threshold"), config.get("edge_threshold")]
    graph = built.whole(ATTRIBUTE)
    return graph_record(graph, thresholds=thresholds, **facts, **_attention(built, ATTRIBUTE, graph))


def _attention(built: Built, phase: str, graph: xr.Dataset) -> dict[str, Any]:
    """What the store says of attention in the text of a graph of this phase."""
    resources = built.artifact(phase).components.resources
    return known(built.store, built.profile, graph.input_tokens.values.tolist(), resources)


def asked_of(artifact: Artifact) -> dict[str, str]:
    """What an attribution of one text was asked for: its text, target and against, "" where there is none."""
    asked = artifact.components.resources.get("text", {})
    targets = ", ".join(asked.get("targets", ()))
    said = " · ".join(f"{role}: {content}" for role, content in asked.get("turns", ()))
    text = asked.get("text") or said or f"{len(asked.get('tokens', ()))} tokens"
    return {"text": text, "target": targets, "against": asked.get("against", "")}


def aggregated(built: Built) -> dict[str, Any]:
    """The graph of phase `circuit`: a node is a unit, and what stands for a token is the role of a position.

    Only units at an edge are in it. The margin stands where logits stand.
    """
    circuit = built.whole(CIRCUIT)
    source, target = circuit.edge_source.values, circuit.edge_target.values
    keep = np.zeros(circuit.sizes["unit"], dtype=bool)
    keep[source], keep[target] = True, True
    index = np.cumsum(keep) - 1
    kinds = np.array([KINDS[str(kind)] for kind in circuit.unit_kind.values[keep]])
    roles = _ordered_roles(built, set(map(str, circuit.unit_role.values[keep])))
    layer = circuit.unit_layer.values[keep].copy()
    n_layers = int(layer.max(initial=0)) + 1
    layer[kinds == EMBEDDING], layer[kinds == LOGIT] = -1, n_layers
    place = {role: i for i, role in enumerate(roles)}
    position = [place.get(str(role), len(roles) - 1) for role in circuit.unit_role.values[keep]]
    influence = circuit.influence.values[keep].astype(np.float64)
    order = np.argsort(-influence, kind="stable")
    cumulative = np.empty(len(influence))
    cumulative[order] = np.cumsum(influence[order]) / (influence.sum() or 1.0)
    weight = circuit.edge_weight.values.astype(np.float32)
    total = np.bincount(index[target], np.abs(weight), minlength=int(keep.sum()))
    nodes = {"kind": kinds, "layer": layer, "position": np.array(position)}
    nodes |= {"feature": circuit.unit_feature.values[keep], "original": np.flatnonzero(keep)}
    numbers = {"activation": "mean_activation", "frequency": "kept_frequency"}
    numbers |= {f"{name}_attribution": f"{name}_attribution" for name in ("direct", "total")}
    record: dict[str, Any] = {
        "title": f"{built.behaviour}, all train prompts",
        "text": f"{built.behaviour}: mean over {circuit.sizes['train']} train prompts",
        "aggregated": True,
        "pruned": False,
        "tokens": roles,
        "roles": roles,
        "turns": [],
        "heads": [],
        "looks": [],
        "n_layers": n_layers,
        "model": built.profile,
        "thresholds": [None, None],
        "logits": {"text": ["margin"], "probability": column([1]), "weight": column([1])},
        "nodes": {
            **{name: smallest(values) for name, values in nodes.items()},
            **{name: column(circuit[variable].values[keep]) for name, variable in numbers.items()},
            "influence": column(influence),
            "cumulative": column(cumulative),
            "total": column(total),
            "kept": np.ones(len(kinds), dtype=np.uint8),
        },
        "influence_total": float(influence.sum()),
        "count": {"nodes": len(keep), "edges": len(weight)},
        "edges": {
            "source": smallest(index[source]),
            "target": smallest(index[target]),
            "weight": weight,
            "kept": np.ones(len(weight), dtype=np.uint8),
            "frequency": column(circuit.edge_frequency.values),
        },
        "scores": {},
    }
    return {**record, "labels": _labels(built, record["nodes"])}


def _ordered_roles(built: Built, there: set[str]) -> list[str]:
    """Roles from left to right, by their mean place from the end over the prompts."""
    places: dict[str, list[int]] = {}
    for roles in built.roles.values() if PAIRS in built.phases else ():
        for i, role in enumerate(roles):
            places.setdefault(role, []).append(i - len(roles))
    known = sorted(there - {""}, key=lambda role: (float(np.mean(places.get(role, [0]))), role))
    return known or [""]


def _labels(built: Built, nodes: dict[str, np.ndarray]) -> dict[str, str]:
    """ "LAYER/FEATURE" → label, of the features of a graph."""
    features = nodes["kind"] == FEATURE
    pairs = set(zip(nodes["layer"][features].tolist(), nodes["feature"][features].tolist(), strict=True))
    labels = built.labels
    return {f"{layer}/{feature}": labels[layer, feature] for layer, feature in sorted(pairs & set(labels))}
