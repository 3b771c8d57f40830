"""The graph between supernodes as a picture, in the look of the figures for a printed page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from tasks.drawing import diagram
from tasks.drawing.labels import printed, shortened
from tasks.drawing.paths import input_shares
from tasks.drawing.plate import Plate, provenance, render, settle
from tasks.drawing.style import Look, cut
from tasks.drawing.tables_prompts import Pairs
from tasks.parts.dominant import UNLABELLED
from tasks.settings.phases import Figures

if TYPE_CHECKING:
    import xarray as xr

DRAWN = {"group": "feature", "feature": "feature", "embedding": "embedding", "margin": "margin"}


def picture(
    data: xr.Dataset, roles: dict[str, list[str]], kind: str, behaviour: str, origin: dict[str, str]
) -> bytes:
    """The bytes of a diagram as "png", "svg" or "pdf" of what phase `supernodes` gives.

    `roles` are those of the positions of each prompt. `origin` says what it was drawn from, by phase: content
    hashes. Settings are the defaults of phase `figures`.
    """
    config, look = Figures(), Look()
    with look.applied():
        graph, columns, rows, note = shown(data, Pairs(roles), config)
        caption = (
            "Each box is a group of features, with the label that most of its contribution has, a single "
            "feature, the tokens in a role, or the margin. Columns are roles in the order of the prompt. "
            "Boxes stand at the mean layer and the main role of their features. The width of an edge grows "
            "with the root of what flows along it to the margin, as a share of all that flows into its "
            f"target; its colour is the sign. {note}"
        )
        figure = diagram.draw(look, graph, columns, rows, note)
        plate = settle(Plate("supernodes", f"Supernodes of {behaviour}", caption, figure))
        return render(plate, kind, provenance(plate.name, origin, {}), config.dpi)


def shown(data: xr.Dataset, pairs: Pairs, config: Figures) -> tuple[nx.DiGraph, list[str], list[str], str]:
    """What is drawn: the graph, the names of columns and rows, and what is left out."""
    kinds, roles = data.supernode_kind.values.tolist(), data.supernode_role.values.tolist()
    count, n_layers = len(kinds), int(data.unit_layer.values.max(initial=0)) + 1
    row = _rows(data, n_layers)
    target, source, weight = (data[f"edge_{key}"].values for key in ("target", "source", "weight"))
    share = input_shares(target, weight, count)
    drawable = np.array([each in DRAWN for each in kinds])
    able = drawable[target] & drawable[source] & (row[source] < row[target])
    merit = np.where(data.supernode_kind.values == "margin", np.inf, np.abs(data.supernode_total.values))
    best = np.flatnonzero(drawable)[np.argsort(-merit[drawable], kind="stable")][: config.graph_nodes]
    able &= np.isin(target, best) & np.isin(source, best)
    edges = np.flatnonzero(able)[np.argsort(-np.abs(share[able]), kind="stable")][: config.graph_edges]
    names = sorted({*roles} - {""}, key=lambda role: (pairs.place[role], role))
    graph = nx.DiGraph()
    for i in sorted({*target[edges].tolist(), *source[edges].tolist()}):
        units, name = int(data.supernode_units.values[i]), str(data.supernode_name.values[i])
        label = f"{units} features" if kinds[i] == "group" else diagram.SHORT.get(kinds[i], kinds[i])
        if kinds[i] == "feature":
            label = f"#{int(data.unit_feature.values[data.unit_supernode.values == i][0])}"
        named = kinds[i] in ("group", "feature") and name != UNLABELLED
        graph.add_node(
            i,
            kind=DRAWN[kinds[i]],
            label=label,
            second=shortened(name) if named else "",
            row=int(row[i]),
            column=names.index(roles[i]) if roles[i] else len(names) - 1,
        )
    ends = zip(source[edges].tolist(), target[edges].tolist(), share[edges].tolist(), strict=True)
    graph.add_edges_from((s, t, {"share": value}) for s, t, value in ends)
    note = (
        f"{len(graph):,} of {count:,} supernodes and {len(edges):,} of {len(weight):,} edges are shown; "
        "features outside the circuit and errors are not."
    )
    layers = ["embedding", *(f"layer {layer}" for layer in range(n_layers)), "output"]
    return graph, [cut(printed(name), 14) for name in names] or [""], layers, note


def _rows(data: xr.Dataset, n_layers: int) -> np.ndarray:
    """The row of each supernode: 0 for tokens, then layers, at the mean of its units; the last is output."""
    count = data.sizes["supernode"]
    units = np.bincount(data.unit_supernode.values, minlength=count)
    layers = np.bincount(data.unit_supernode.values, data.unit_layer.values, minlength=count)
    row = np.where(units > 0, 1 + np.round(layers / np.maximum(units, 1)), 0)
    return np.where(data.supernode_kind.values == "margin", n_layers + 1, row).astype(np.int64)
