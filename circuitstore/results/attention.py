"""Attention explained: why a head looks where it does, and through which heads an edge of a graph goes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
    graph: xr.Dataset,
    edges: Sequence[tuple[int, int]],
    *,
    model: Path | None = None,
    transcoders: Path | None = None,
    store: Path | None = None,
    settings: Sequence[str] = (),
) -> xr.Dataset:
    """Through which heads edges of a text's graph go.

        cs.heads(graph, [(source, target)])     # numbers of nodes, as in edge_source and edge_target

    `graph` is what `circuitstore.attribute` gave. Variables: loading (edge, layer, head), the part of the
    paths whose last head is this one; direct (edge,), the part of the paths through no head; and weight
    (edge,), the edge, which is their sum. `model`, `transcoders` and `store` are those that the graph was
    asked with.

    The answer is kept in the store. Raises UsageError, ModelError, StoreError.
    """
    services = pipeline.services()
    if graph.attrs.get("phase") != services.one_text.phase:
        raise UsageError(
            "graph", expected="a graph of one text, from circuitstore.attribute", got="another dataset"
        )
    words = edge_words(graph, edges)
    named = {"model": model, "transcoders": transcoders, "store": store}
    return heads_of(_tokens(graph, model), words, **named, settings=settings)


def heads_of(
    text: Asked,
    edges: Sequence[str],
    *,
    model: Path | None = None,
    transcoders: Path | None = None,
    store: Path | None = None,
    settings: Sequence[str] = (),
) -> xr.Dataset:
    """The same of a text and edges by names, SOURCE>TARGET (`docs/attention.md`)."""
    phase = pipeline.services().explained.edges
    asked = question(text, model, transcoders, store)
    return asked.answer(phase, [f"{phase}.edges={json.dumps(list(edges))}", *settings])


def edge_words(graph: xr.Dataset, edges: Sequence[tuple[int, int]]) -> list[str]:
    """Edges by the names of their nodes, SOURCE>TARGET. Raises UsageError for what is no edge."""
    if not len(edges):
        raise UsageError("edges", expected="at least one", got="none")
    rows = nodes(graph)
    first_logit = len(rows) - graph.sizes["logit"]
    words = []
    for source, target in edges:
        kinds = [rows[node]["kind"] if 0 <= node < len(rows) else "no node" for node in (source, target)]
        if kinds[0] not in ("feature", "error", "embedding") or kinds[1] not in ("feature", "logit"):
            expected = "a feature, error or embedding, and a feature or logit of this graph"
            raise UsageError(f"edge from {source} to {target}", expected=expected, got=" and ".join(kinds))
        name = _name(rows[source])
        if kinds[1] == "logit":
            number = target - first_logit
            token, against = (int(graph[f"logit_{of}_ids"][number]) for of in ("token", "against"))
            words.append(f"{name}>logit/{token}" + (f"/{against}" if against >= 0 else ""))
        else:
            words.append(f"{name}>{_name(rows[target])}")
    return words


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
