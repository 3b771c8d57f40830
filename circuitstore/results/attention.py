"""Attention explained: why a head looks where it does, and through which heads an edge of a graph goes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from circuitstore import pipeline
from circuitstore.circuits.nodes import nodes
from circuitstore.errors import UsageError
from circuitstore.results.asking import Asked, Path, question
from circuitstore.results.defaults import profile_argument, profile_name

if TYPE_CHECKING:
    import xarray as xr


def attention(
    text: Asked | xr.Dataset,
    layer: int,
    head: int,
    query: int,
    key: int,
    *,
    pairs: int = 100,
    model: Path | None = None,
    transcoders: Path | None = None,
    store: Path | None = None,
    settings: Sequence[str] = (),
) -> xr.Dataset:
    """Why a head looks from position `query` to position `key`: its score split over pairs of sources.

        cs.attention("The keys near the cabinet", layer=2, head=1, query=-1, key=2)

    `text` is a text, token ids, or a graph of one. Positions count from the prepended token, which is 0; -1
    is the last. The score is that before softmax. A source is a feature, an error or an embedding of a layer
    below, or the bias; source_kind, source_layer, source_position and source_feature (source,) name it.
    pair_query, pair_key and pair_share (pair,) are the `pairs` largest shares in nats. The share of any two
    sources i and j is query_vector[i] · key_vector[j] (source, head_dim), and all of them sum to `score`.
    `weight` is the head's attention. `model`, `transcoders` and `store` are those of
    `circuitstore.attribute`.

    The answer is kept in the store. Raises UsageError, LimitError, ModelError, StoreError.
    """
    phase = pipeline.services().explained.score
    asked = question(_tokens(text, model), model, transcoders, store)
    words = {"layer": layer, "head": head, "query": query, "key": key, "most": pairs}
    return asked.answer(phase, [*(f"{phase}.{name}={value}" for name, value in words.items()), *settings])


def heads(
    text: Asked | xr.Dataset,
    edges: Sequence[tuple[int, int] | str],
    *,
    model: Path | None = None,
    transcoders: Path | None = None,
    store: Path | None = None,
    settings: Sequence[str] = (),
) -> xr.Dataset:
    """Through which heads edges of a text's graph go.

        cs.heads(graph, [(source, target)])     # numbers of nodes, as in edge_source and edge_target
        cs.heads("The keys near the cabinet", ["embedding/2>logit/17"])     # names of nodes

    `text` is a graph that `circuitstore.attribute` gave. Where edges are named, SOURCE>TARGET
    (`docs/attention.md`), it may also be a text, token ids or a conversation. Variables: loading (edge,
    layer, head), the part of the paths whose last head is this one; direct (edge,), the part of the paths
    through no head; and weight (edge,), the edge, which is their sum. `model`, `transcoders` and `store` are
    those that the graph was asked with.

    The answer is kept in the store. Raises UsageError, ModelError, StoreError.
    """
    if not len(edges):
        raise UsageError("edges", expected="at least one", got="none")
    named = [edge for edge in edges if isinstance(edge, str)]
    if len(named) < len(edges):
        named = edge_words(_graph(text), edges)
    phase = pipeline.services().explained.edges
    asked = question(_tokens(text, model), model, transcoders, store)
    return asked.answer(phase, [f"{phase}.edges={json.dumps(named)}", *settings])


def edge_words(graph: xr.Dataset, edges: Sequence[tuple[int, int] | str]) -> list[str]:
    """Edges by the names of their nodes, SOURCE>TARGET. Raises UsageError for what is no edge."""
    rows = nodes(graph)
    return [edge if isinstance(edge, str) else _word(graph, rows, edge) for edge in edges]


def _word(graph: xr.Dataset, rows: list[dict[str, Any]], edge: tuple[int, int]) -> str:
    source, target = edge
    kinds = [rows[node]["kind"] if 0 <= node < len(rows) else "no node" for node in edge]
    if kinds[0] not in ("feature", "error", "embedding") or kinds[1] not in ("feature", "logit"):
        expected = "a feature, error or embedding, and a feature or logit of this graph"
        raise UsageError(f"edge from {source} to {target}", expected=expected, got=" and ".join(kinds))
    if kinds[1] == "feature":
        return f"{_name(rows[source])}>{_name(rows[target])}"
    number = target - len(rows) + graph.sizes["logit"]
    token, against = (int(graph[f"logit_{of}_ids"][number]) for of in ("token", "against"))
    return f"{_name(rows[source])}>logit/{token}" + (f"/{against}" if against >= 0 else "")


def _graph(text: Asked | xr.Dataset) -> xr.Dataset:
    """The graph in which edges have numbers. Raises UsageError for what is none of one text."""
    import xarray as xr

    if isinstance(text, xr.Dataset) and text.attrs.get("phase") == pipeline.services().one_text.phase:
        return text
    got = "another dataset" if isinstance(text, xr.Dataset) else "no graph"
    expected = "a graph of one text, from circuitstore.attribute, or edges by their names"
    raise UsageError("graph", expected=expected, got=got)


def _name(row: dict[str, object]) -> str:
    parts = (row["kind"], row["layer"], row["position"], row["feature"])
    return "/".join(str(part) for part in parts if part is not None)


def _tokens(text: Asked | xr.Dataset, model: Path | None) -> Asked:
    """What to ask about: of a graph its tokens, which must be those of this model's profile."""
    import xarray as xr

    if not isinstance(text, xr.Dataset):
        return text
    made, asked = text.attrs.get("profile"), profile_name(model)
    if made not in (None, asked, profile_argument(model)):
        raise UsageError("model", expected=f"{made}, whose graph this is", got=asked)
    tokens: list[int] = text["input_tokens"].values.tolist()
    return tokens
