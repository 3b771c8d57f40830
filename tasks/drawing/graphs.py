"""Attribution graphs of prompts, and the circuit of a behaviour, as diagrams of influential nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from circuitstore.circuits.nodes import nodes as node_rows
from tasks.drawing import diagram, numerals, paths, style, turns
from tasks.drawing.labels import SIGNS, printed
from tasks.drawing.paths import input_shares
from tasks.drawing.plate import Plate
from tasks.drawing.tables_features import Interpretation
from tasks.drawing.tables_graphs import Circuit, Graphs
from tasks.drawing.tables_prompts import Baseline, Pairs, Prompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from matplotlib.figure import Figure

    from tasks.settings.phases import Figures

LOGITS = 5  # most logits shown
LONGEST = 40  # characters of a token below a column, where there is room
HOW_TO_READ = (
    "Each box is a transcoder feature (layer by height, #index), a reconstruction error, a token embedding "
    f"or a logit with its probability; {SIGNS}. Edges run upwards, from source to target. The width of an "
    "edge grows with the root of its direct effect as a share of all that enters its target, by absolute "
    "value; its colour is the sign. “…” marks tokens left out."
)
SUPPRESSED = (
    " A dotted box is a suppressed feature: active in the minimal pair, silent here. Edges into it are what "
    "silences it; edges out of it are what its silence contributes."
)
Short = Callable[[int, int], str]  # (layer, feature) → its label, as diagrams print it


def examples(
    look: style.Look,
    config: Figures,
    prompts: Prompts,
    baseline: Baseline,
    attribution: Graphs,
    interpretation: Interpretation,
) -> Iterator[Plate]:
    """A diagram of the pruned graph of each example prompt."""
    for number, (name, graph) in enumerate(attribution.graphs.items(), 1):
        i = prompts.ids.index(name)
        drawn, note = shown(graph, config, interpretation.short)
        kind, _ = prompts.usual
        among = f" among prompts with {kind}, which are most of it" if kind else ""
        if not drawn.edges:
            continue
        caption = (
            f"Prompt {name} ({prompts.split[i]}): “{prompts.text[i]}”; margin of "
            f"“{style.token(prompts.correct[i])}” over “{style.token(prompts.incorrect[i])}” "
            f"{numerals.printed(baseline.margin[i])} nats. "
            f"{HOW_TO_READ}{turns.told(prompts.turns[i])}{interpretation.told(_features(drawn))} {note} "
            f"{_scored(graph)} The prompt was chosen because its margin is nearest the "
            f"median of its split{among}, or as the minimal pair of that one."
        )
        figure = diagram_of(look, graph, drawn, note, prompts.turns[i])
        yield Plate(f"graph-{number}", f"Attribution graph of {name}", caption, figure)


def _scored(graph: xr.Dataset) -> str:
    """The sentence of both scores, of the whole graph and, where edges are direct, of what pruning keeps."""
    whole = f"{float(graph.completeness_score):.2f}, replacement {float(graph.replacement_score):.2f}"
    if not np.isfinite(graph.identity_error):
        return f"Completeness of the whole graph {whole}."
    part = paths.numbers(graph, graph.prune_edge_mask.values)
    pruned = f"{part.completeness:.2f} and {part.replacement:.2f}"
    return f"Completeness of the whole graph {whole}; of the pruned one {pruned}."


def shown(graph: xr.Dataset, config: Figures, short: Short) -> tuple[nx.DiGraph, str]:
    """The part of a pruned graph that is drawn, and the sentences that say how large a part it is."""
    drawn, hidden_nodes, hidden_edges = selected(graph, config.graph_nodes, config.graph_edges, short)
    note = (
        f"{len(drawn):,} of {len(drawn) + hidden_nodes:,} nodes and {drawn.number_of_edges():,} of "
        f"{drawn.number_of_edges() + hidden_edges:,} edges of the pruned graph are shown; "
        f"{hidden_nodes:,} nodes and {hidden_edges:,} edges are hidden."
    )
    if (held := float(graph.kept_weight)) < 1:
        note += f" Stored edges hold {held:.0%} of all weight."
    return drawn, note


def diagram_of(
    look: style.Look, graph: xr.Dataset, drawn: nx.DiGraph, note: str, roles: Sequence[str] = ()
) -> Figure:
    """The diagram of the part of a graph that `shown` gives; `roles` (position,) are those of a chat."""
    tokens = [style.token(str(text), LONGEST) for text in graph.token_text.values]
    rows = ["embedding", *(f"layer {layer}" for layer in range(int(graph.n_layers))), "logits"]
    return diagram.draw(look, drawn, tokens, rows, note, roles)


def selected(
    graph: xr.Dataset, most_nodes: int, most_edges: int, short: Short
) -> tuple[nx.DiGraph, int, int]:
    """The part of a pruned graph that is shown, and how many nodes and edges it hides.

    Shown are all logits (at most `LOGITS`), then nodes by influence. Every shown node keeps its strongest
    edge to a shown node; then come edges by their share of what enters the target.
    """
    rows = node_rows(graph)
    count = len(rows)
    target, source = graph.edge_target.values, graph.edge_source.values
    share = input_shares(target, graph.edge_weight.values, count)
    kept_nodes = [i for i, row in enumerate(rows) if row["kept"]]
    kept_edges = np.flatnonzero(graph.prune_edge_mask.values)
    logits_first = count - graph.sizes["logit"]
    probability = dict(enumerate(graph.logit_probabilities.values.tolist(), logits_first))
    differences = set((logits_first + np.flatnonzero(graph.logit_against_ids.values >= 0)).tolist())
    logits = sorted(probability, key=lambda i: -probability[i])[:LOGITS]
    others = sorted(
        (i for i in kept_nodes if rows[i]["kind"] != "logit"), key=lambda i: (-rows[i]["influence"], i)
    )
    chosen = {*logits, *others[: max(most_nodes - len(logits), 1)]}
    drawn = _strongest(target, source, share, kept_edges, chosen, most_edges)
    result = nx.DiGraph()
    ends = {int(end) for e in drawn for end in (target[e], source[e])}
    for i in sorted(
        ends, key=lambda i: (rows[i]["layer"] or 0, rows[i]["position"], -rows[i]["influence"], i)
    ):
        below = "− other" if i in differences else f"p = {probability.get(i, 0):.2f}"
        result.add_node(i, **_node(rows[i], int(graph.n_layers), below, short))
    result.add_edges_from((int(source[e]), int(target[e]), {"share": float(share[e])}) for e in drawn)
    return result, len(kept_nodes) - len(result), len(kept_edges) - len(drawn)


def _features(drawn: nx.DiGraph) -> list[tuple[int, int]]:
    """(layer, feature) of the features that are drawn, each once."""
    units = [unit for _, unit in drawn.nodes(data="unit") if unit is not None]
    return list(dict.fromkeys(units))


def _node(row: dict[str, Any], n_layers: int, below: str, short: Short) -> dict[str, Any]:
    """The attributes that `diagram` reads, of a row of `circuitstore.circuits.nodes`.

    `below` stands below the token of a logit.
    """
    kind, second = row["kind"], ""
    if kind in ("feature", "suppressed"):
        label, second = f"#{row['feature']}", short(row["layer"], row["feature"])
    elif kind == "logit":
        label, second = style.token(row["token"], 14), below
    else:
        label = diagram.SHORT.get(kind, kind)
    height = {"embedding": 0, "logit": n_layers + 1}.get(kind)
    return {
        "kind": kind,
        "label": label,
        "second": second,
        "unit": (row["layer"], row.get("feature")) if kind in ("feature", "suppressed") else None,
        "row": row["layer"] + 1 if height is None else height,
        "column": row["position"],
    }


def aggregated(
    look: style.Look,
    config: Figures,
    pairs: Pairs,
    circuit: Circuit,
    interpretation: Interpretation,
) -> Iterator[Plate]:
    """The circuit of the behaviour: units of all train graphs by position role and layer."""
    data = circuit.data
    kind, role = data.unit_kind.values, data.unit_role.values
    target, source = data.edge_target.values, data.edge_source.values
    share = input_shares(target, data.edge_weight.values, len(kind))
    kept = np.flatnonzero((data.kept_frequency.values > 0) | (kind == "margin"))
    chosen = _units(circuit, kept, target, source, np.abs(share), config.graph_nodes)
    drawn = _strongest(target, source, share, np.arange(len(share)), chosen, config.graph_edges)
    if not drawn:
        return
    columns = sorted(
        {str(name) for name in role if name}, key=lambda name: (pairs.place.get(name, 1.0), name)
    )
    last = columns.index("last") if "last" in columns else len(columns) - 1
    n_layers = int(data.unit_layer.values.max()) + 1
    result = nx.DiGraph()
    for i in sorted({int(end) for e in drawn for end in (target[e], source[e])}):
        layer, feature = int(data.unit_layer.values[i]), int(data.unit_feature.values[i])
        label = f"#{feature}" if kind[i] == "feature" else diagram.SHORT.get(str(kind[i]), str(kind[i]))
        row = {"embedding": 0, "margin": n_layers + 1}.get(str(kind[i]), layer + 1)
        column = columns.index(str(role[i])) if role[i] else last
        second = interpretation.short(layer, feature) if kind[i] == "feature" else ""
        unit = (layer, feature) if kind[i] == "feature" else None
        result.add_node(i, kind=str(kind[i]), label=label, second=second, row=row, column=column, unit=unit)
    result.add_edges_from((int(source[e]), int(target[e]), {"share": float(share[e])}) for e in drawn)
    hidden, unseen = len(kept) - len(result), len(share) - len(drawn)
    note = (
        f"{len(result):,} of {len(kept):,} units and {len(drawn):,} of {len(share):,} edges of the "
        "aggregated "
        f"graph are shown; {hidden:,} units and {unseen:,} edges are hidden."
    )
    rows = ["embedding", *(f"layer {layer}" for layer in range(n_layers)), "output"]
    caption = (
        f"{_merged(data.sizes['train'])}: a unit is a feature, a "
        "reconstruction error or an embedding in a position role (columns, in the order of the prompt; "
        "“contrast” is where the minimal pair differs, “slot” a word that varies). Units with the largest "
        "mean contribution to the margin are shown, and the embeddings that feed them most; "
        f"{SIGNS}.{interpretation.told(_features(result))} Edges run upwards. The width of an edge grows "
        "with the root of its mean weight as a "
        f"share of all that enters its target; its colour is the sign. {note} “…” marks roles left out. "
        f"{_together(data, list(result))}"
    )
    figure = diagram.draw(look, result, [printed(name) for name in columns], rows, note)
    yield Plate("circuit", "Attribution graphs of the train prompts, aggregated", caption, figure)


def _merged(count: int) -> str:
    """Whose graph it is."""
    return (
        f"The attribution graphs of {count} train prompts in one"
        if count > 1
        else ("The attribution graph of the one train prompt")
    )


def _together(data: xr.Dataset, shown: list[int]) -> str:
    """The sentence that says how far the units that are shown are those of one prompt; "" for one prompt."""
    if data.sizes["train"] < 2:
        return ""
    frequency = data.active_frequency.values[shown][data.unit_kind.values[shown] == "feature"]
    if not len(frequency) or frequency.min() == 1:
        return "All features that are shown are active in every one of them."
    return (
        "Features of different prompts stand side by side: those that are shown are active in "
        f"{frequency.min():.0%} to {frequency.max():.0%} of them."
    )


def _units(
    circuit: Circuit,
    kept: np.ndarray,
    target: np.ndarray,
    source: np.ndarray,
    share: np.ndarray,
    most: int,
) -> set[int]:
    """The units that are shown, at most `most` of those `kept` (n,).

    These are the margin, then features and errors by their contribution to it. A fifth of the room is for the
    embeddings that feed these most, by the size of their `share` (edge,).
    """
    data = circuit.data
    kind = data.unit_kind.values[kept]
    merit = np.where(kind == "margin", np.inf, circuit.merit[kept])
    inner = kept[kind != "embedding"]
    chosen = set(inner[np.argsort(-merit[kind != "embedding"], kind="stable")][: most - most // 5].tolist())
    feeds = np.bincount(source, share * np.isin(target, list(chosen)), minlength=data.sizes["unit"])
    embeddings = kept[kind == "embedding"]
    return chosen | set(embeddings[np.argsort(-feeds[embeddings], kind="stable")][: most // 5].tolist())


def _strongest(
    target: np.ndarray, source: np.ndarray, share: np.ndarray, among: np.ndarray, chosen: set[int], most: int
) -> list[int]:
    """Edges between chosen nodes: the strongest edge out of every node, then by share; `most` in all.

    `target`, `source` and `share` are (edge,); `among` (n,) are the edges that may be shown.
    """
    order = among[np.argsort(-np.abs(share[among]), kind="stable")]
    inside = [
        int(e) for e in order if int(target[e]) in chosen and int(source[e]) in chosen and share[e] != 0
    ]
    first: dict[int, int] = {}
    for edge in inside:
        first.setdefault(int(source[edge]), edge)
    return list(dict.fromkeys([*first.values(), *inside]))[: max(most, len(first))]
